"""``cloakroom dev`` as a process: its output, the commands that it prints, Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.support.clocks import PATIENCE

RECIPE_START, RECIPE_END = "# mint a handle", "offer.sdp"
_LISTENS: Final = re.compile(r"https?://127\.0\.0\.1:(\d+)|redis://127\.0\.0\.1:(\d+)")
_HERE: Final = (sys.executable, "-m", "app")


class Dev:
    """One run of the command. Its output is read by a thread, so it never waits for the test.

    Args:
        directory: where its temporary files go.
        program: the program as installed elsewhere.
        environ: variables besides those of this process that are not for the service.
    """

    def __init__(
        self, directory: Path, *arguments: str, program: Sequence[str] = _HERE, **environ: str
    ) -> None:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("CLOAKROOM_", "OPENAI_", "AZURE_", "FORCE_COLOR"))
        }
        # A directory of its own for temporary files shows each one that stays behind.
        self.files = directory
        self.process = subprocess.Popen(
            [*program, "dev", *arguments],
            env=kept | {"TMPDIR": str(directory)} | environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # a process group to send Ctrl-C to, as a terminal does
        )
        self._lines: list[str] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            for line in output:
                with self._news:
                    self._lines.append(line)
                    self._news.notify_all()

    @property
    def output(self) -> str:
        with self._news:
            return "".join(self._lines)

    @property
    def ports(self) -> set[int]:
        return {int(first or second) for first, second in _LISTENS.findall(self.output)}

    def recipe(self) -> str:
        """Wait for the printed commands and return them as they stand."""
        with self._news:
            there = self._news.wait_for(
                lambda: (
                    any(line.rstrip().endswith(RECIPE_END) for line in self._lines)
                    or self.process.poll() is not None
                ),
                PATIENCE,
            )
        text = self.output
        assert there, text
        assert self.process.poll() is None, text
        start = text.index(RECIPE_START)
        return text[start : text.index(RECIPE_END, start) + len(RECIPE_END)] + "\n"

    def wait_for(self, text: str) -> None:
        """Wait until ``text`` was printed."""
        with self._news:
            assert self._news.wait_for(lambda: any(text in line for line in self._lines), PATIENCE)

    def child(self, name: str) -> int:
        found = re.search(rf"^{name} .*pid (\d+)", self.output, re.MULTILINE)
        assert found, self.output
        return int(found[1])

    def ctrl_c(self) -> None:
        os.killpg(self.process.pid, signal.SIGINT)

    def wait(self) -> int:
        status = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return status

    def clean_up(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.wait()


def bash(script: str) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def assert_a_relay(answer: str) -> None:
    """What ``curl -i`` shows of a relay that worked."""
    head, _, body = answer.replace("\r\n", "\n").partition("\n\n")
    status, *headers = head.splitlines()
    fields = {name.lower(): value for name, value in (line.split(": ", 1) for line in headers)}
    assert status.split()[1] == "201", answer
    assert fields["content-type"].startswith("application/sdp")
    assert re.fullmatch(r"/v1/realtime/calls/rtc_\w+", fields["location"])
    assert body.startswith("v=0\n")
    assert "m=audio " in body
    assert "a=fingerprint:sha-256 " in body
