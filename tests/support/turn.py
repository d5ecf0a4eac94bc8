"""A real TURN server on loopback: coturn, which takes credentials that a shared secret proves."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Final, Self

from app.store.embedded import lifeline
from tests.support.clocks import PATIENCE, until
from tests.support.programs import required

_HOST: Final = "127.0.0.1"
# RFC 8489, section 5: a Binding request without attributes.
_BINDING: Final = b"\x00\x01\x00\x00\x21\x12\xa4\x42"


class TurnServer:
    """coturn with ``use-auth-secret``; ``url`` and ``secret`` are what the service is told of it."""

    def __init__(self, secret: str) -> None:
        self._program = required("turnserver", package="coturn")
        self.secret = secret
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind((_HOST, 0))
            self.port = int(free.getsockname()[1])
        self.url = f"turn:{_HOST}:{self.port}?transport=udp"
        self._folder = tempfile.TemporaryDirectory()
        self._log = Path(self._folder.name) / "log"

    def __enter__(self) -> Self:
        folder = Path(self._folder.name)
        config = folder / "turnserver.conf"
        lines = [
            f"listening-ip={_HOST}",
            f"relay-ip={_HOST}",
            f"listening-port={self.port}",
            "use-auth-secret",
            f"static-auth-secret={self.secret}",
            "realm=turn.test",
            # The provider in a box has its peer there.
            "allow-loopback-peers",
            "no-cli",
            "no-tls",
            "no-dtls",
            "verbose",
            "log-file=stdout",
            f"pidfile={folder / 'pid'}",
            f"userdb={folder / 'users'}",
        ]
        config.write_text("\n".join(lines) + "\n", encoding="utf-8")
        with self._log.open("wb") as log:
            self._process = lifeline.popen(
                [self._program, "-c", str(config)],
                cwd=folder,
                env={"PATH": os.environ["PATH"]},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(PATIENCE)
        self._folder.cleanup()

    @property
    def log(self) -> str:
        """What it has written so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def _wait(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.connect((_HOST, self.port))

            def answers() -> bool:
                assert self._process.poll() is None, f"the TURN server ended:\n{self.log}"
                try:
                    asking.send(_BINDING + os.urandom(12))
                    return bool(select.select([asking], [], [], 0.1)[0] and asking.recv(1500))
                except ConnectionRefusedError:
                    return False

            until(answers, lambda: f"no answer of the TURN server:\n{self.log}")
