"""The command line as an operator runs it: a process, over the admin API or straight on the store."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from tests.support import warm
from tests.support.clocks import PATIENCE
from tests.support.processes import ROOT
from tests.support.stack import Stack

Way = Literal["api", "direct"]
WAYS: Final[tuple[Way, ...]] = ("api", "direct")
# Commands that were started in the plain way, by the stack and the way there.
_STARTED: Final[set[tuple[str, ...]]] = set()


@dataclass(frozen=True)
class Done:
    """One run of the command."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


class Commands:
    """Runs ``cloakroom`` against a stack. Whatever a run says, no secret and no traceback may be in it."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    def environment(self, way: Way, **more: str) -> dict[str, str]:
        """What a shell has: the way there, and nothing else of the service."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        if way == "direct":
            return {**kept, "CLOAKROOM_REDIS_URL": self._stack.store_url, **more}
        key = self._stack.planted.admin_key
        return {**kept, "CLOAKROOM_ADMIN_URL": self._stack.a.url, "CLOAKROOM_ADMIN_KEY": key, **more}

    def words(self, way: Way, given: Sequence[str]) -> list[str]:
        """What stands behind the program's name."""
        return [*given, *(["--direct"] if way == "direct" else [])]

    def arguments(self, way: Way, given: Sequence[str]) -> list[str]:
        return [sys.executable, "-m", "app", *self.words(way, given)]

    def start(self, *given: str, way: Way = "api", **more: str) -> subprocess.Popen[str]:
        """Start a command that goes on; its standard output is a pipe."""
        return subprocess.Popen(
            self.arguments(way, given),
            env=self.environment(way, **more),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *given: str, way: Way = "api", **more: str) -> Done:
        """Run a command to its end, without a terminal.

        The first run of a command against a stack is started as an operator starts it, and so is one whose
        surroundings are the test's. The others are forks, which take a fifth of the time.
        """
        kind = (self._stack.a.url, way, *given[:2])
        if kind in _STARTED and warm.fits(more):
            done = Done(*warm.run(self.words(way, given), self.environment(way, **more)))
        else:
            with self.start(*given, way=way, **more) as process:
                out, err = process.communicate(timeout=PATIENCE)
            done = Done(process.returncode, out, err)
            _STARTED.add(kind)
        self.assert_harmless(done.out + done.err)
        return done

    def run_at_a_terminal(self, *given: str, way: Way = "api", typed: str = "", **more: str) -> Done:
        """Run it with a terminal for all three streams, at which somebody has typed ahead."""
        master, slave = pty.openpty()
        os.write(master, typed.encode())
        with subprocess.Popen(
            self.arguments(way, given),
            env=self.environment(way, TERM="xterm", **more),
            cwd=ROOT,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        ) as process:
            os.close(slave)
            shown = _read_all(master)
            status = process.wait(PATIENCE)
        self.assert_harmless(shown)
        return Done(status, shown, "")

    def assert_harmless(self, text: str) -> None:
        for secret in self._stack.planted.all_values():
            assert secret not in text, f"a secret stands in the output: {secret[:6]}..."
        # Our own hint says "ek_eyJ...", and in an id these letters may stand by chance; none is so long.
        assert not re.search(r"eyJ[\w-]{20,}", text), "a handle stands in the output"
        assert "Traceback" not in text, text


def _read_all(master: int) -> str:
    read = b""
    while True:
        try:
            more = os.read(master, 65_536)
        except OSError:
            # Linux says EIO once the other side is closed.
            more = b""
        if not more:
            os.close(master)
            return read.decode("utf-8", "replace")
        read += more
