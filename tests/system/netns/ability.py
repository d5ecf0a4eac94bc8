"""Whether this machine can make the hosts of the proof."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys

from tests.support.clocks import PATIENCE
from tests.system.netns.host import CommandFailed, Host


def why_not() -> str | None:
    """Return the reason why this machine cannot, or None. It is found by trying each thing once."""
    if sys.platform != "linux":
        return "network namespaces are Linux's"
    if os.geteuid() != 0:
        return "only root can make network namespaces"
    trial = Host("trial", secrets.token_hex(3))
    try:
        try:
            trial.create()
            trial.ip("link", "add", "one", "type", "veth", "peer", "name", "other")
            trial.ip("rule", "add", "pref", "100", "ipproto", "udp", "unreachable")
            subprocess.run(
                [*trial.prefix, sys.executable, "-S", "-c", ""],
                capture_output=True,
                timeout=PATIENCE,
                check=True,
            )
        finally:
            trial.delete()
    except subprocess.CalledProcessError as error:
        return f"programs do not run in a network namespace here: {error.stderr.decode().strip()}"
    except (CommandFailed, OSError) as error:
        return f"network namespaces cannot be made here: {error}"
    return None
