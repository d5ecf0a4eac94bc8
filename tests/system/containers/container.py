"""One running container: a root, a network namespace, a program; and commands beside it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

from tests.support.clocks import PATIENCE
from tests.support.dockerfile import DEFAULT_PATH
from tests.support.processes import ROOT, Child
from tests.support.programs import required
from tests.system.containers.enter import __file__ as ENTER  # noqa: N812 - a script's path
from tests.system.containers.spec import Confinement
from tests.system.netns.host import Host


class Container(Child):
    """Started at once; ``Child`` has its output, its signals and its end.

    Args:
        host: its network namespace, which outlives it.
        inside: what it may do.
        environment: of the image and of the service.
    """

    def __init__(self, host: Host, inside: Confinement, environment: Mapping[str, str]) -> None:
        self.host, self._inside = host, inside
        self._environment = {"PATH": DEFAULT_PATH, "HOME": "/nonexistent", **environment}
        command = [*host.prefix, *inside.command_line(sys.executable, ENTER)]
        super().__init__(command, self._environment, ROOT)

    def run(self, command: Sequence[str], **more: str) -> subprocess.CompletedProcess[str]:
        """Run this in the container, with its user and its variables, as ``docker exec`` does."""
        nsenter = required("nsenter", package="util-linux")
        inside = self._inside
        found = [nsenter, "--target", str(self.pid), "--mount", "--net", "--root", "--wd"]
        found += ["--setuid", str(inside.uid), "--setgid", str(inside.gid), "--", *command]
        return subprocess.run(
            found,
            env={**self._environment, **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def kill(self) -> None:
        """SIGKILL, and wait."""
        if self.running:
            self.signal(signal.SIGKILL)
        self.wait()
