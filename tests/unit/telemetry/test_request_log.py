"""The lines of requests are whole, also where several processes write to one pipe."""

from __future__ import annotations

import asyncio
import io
import json
import select
import sys
from types import SimpleNamespace

import pytest

from app.telemetry.logs import RequestLog


class Pipe(io.BytesIO):
    """Keeps each write for itself."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> int:  # type: ignore[override]  # only bytes are written
        self.writes.append(data)
        return len(data)


def written_to(monkeypatch: pytest.MonkeyPatch) -> Pipe:
    """Standard output from here on. A fixture would be too early: pytest sets it again for the test."""
    written = Pipe()
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=written))
    return written


async def lines_in_one_turn(log: RequestLog, number: int, size: int) -> None:
    for at in range(number):
        log.write("info", "mint", {"at": at, "filling": "x" * size})
    await asyncio.sleep(0)


async def test_the_lines_of_a_turn_are_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = written_to(monkeypatch)
    await lines_in_one_turn(RequestLog(replica="a", level="info"), 100, 500)
    (written,) = pipe.writes
    assert [json.loads(line)["at"] for line in written.splitlines()] == list(range(100))


async def test_a_shared_output_gets_whole_lines_that_a_pipe_takes_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pipe = written_to(monkeypatch)
    await lines_in_one_turn(RequestLog(replica="a.0", level="info", shared=True), 100, 500)
    assert len(pipe.writes) < 100
    assert all(written.endswith(b"\n") and len(written) <= select.PIPE_BUF for written in pipe.writes)
    told = [json.loads(line) for written in pipe.writes for line in written.splitlines()]
    assert [line["at"] for line in told] == list(range(100))


async def test_a_line_that_is_longer_is_a_write_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = written_to(monkeypatch)
    log = RequestLog(replica="a.0", level="info", shared=True)
    log.write("info", "mint", {"at": 0})
    log.write("info", "mint", {"at": 1, "filling": "x" * 2 * select.PIPE_BUF})
    log.write("info", "mint", {"at": 2})
    await asyncio.sleep(0)
    assert [json.loads(written)["at"] for written in pipe.writes] == [0, 1, 2]
