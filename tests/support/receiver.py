"""The receiver of docs/examples as a process: what a team would run behind the webhook of security events."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.support.page import ROOT

PROGRAM: Final = ROOT / "docs" / "examples" / "security_receiver.py"


def free_port() -> int:
    """A port of the loopback that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Receiver:
    """The program, from ``__enter__`` to ``__exit__``.

    Args:
        port: where it listens.
        secret: one of those that messages are signed with.
        output: the file for what it prints; it is appended to.
    """

    def __init__(self, port: int, secret: str, output: Path) -> None:
        self.url = f"http://127.0.0.1:{port}/hooks"
        self._environment = {**os.environ, "PORT": str(port), "WEBHOOK_SECRET": secret}
        self._output = output

    def __enter__(self) -> Self:
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, str(PROGRAM)], env=self._environment, stdout=output, stderr=output
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()

    def events(self) -> list[dict[str, Any]]:
        """The data of each event that it has accepted so far, each once, with its ``type``."""
        found = []
        *lines, _ = self._output.read_text(encoding="utf-8").split("\n")
        for line in lines:
            kind, _, rest = line.partition(" ")
            if kind.startswith("security."):
                found.append({"type": kind, **json.loads(rest.partition(" ")[2])})
        return found
