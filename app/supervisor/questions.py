"""What one worker asks all of them, while the answers come in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from app.supervisor.messages import ANSWERED, METRICS, PART, TELL, encode
from app.supervisor.process import WorkerProcess
from app.telemetry.workers.snapshots import departed

# A worker that takes longer has its last answer given.
PATIENCE_SECONDS: Final = 1.0


@dataclass(slots=True)
class _Question:
    asker: WorkerProcess
    # The asker's number of it.
    ask: int
    what: str
    until: float
    waiting: set[int]


@dataclass(slots=True)
class Questions:
    """The questions under way, the last answers of each worker, and what the dead ones have counted.

    A worker that does not answer in time has not vanished, and one that died leaves its counts: a sum that
    fell would look like a restart to a scraper.
    """

    _open: dict[int, _Question] = field(default_factory=dict)
    _last: dict[int, dict[str, bytes]] = field(default_factory=dict)
    _departed: bytes = b""
    _number: int = 0

    def ask(
        self, asker: WorkerProcess, ask: int, what: str, workers: dict[int, WorkerProcess], *, now: float
    ) -> None:
        """Ask these workers."""
        self._number += 1
        until = now + PATIENCE_SECONDS
        self._open[self._number] = _Question(asker, ask, what, until, set(workers))
        for worker in workers.values():
            worker.send(encode(TELL, question=self._number, what=what))

    def told(self, worker: int, question: int, what: str, body: bytes) -> None:
        """Take a worker's answer."""
        self._last.setdefault(worker, {})[what] = body
        if question in self._open:
            self._open[question].waiting.discard(worker)
            self._settle()

    def died(self, worker: int, process: WorkerProcess) -> None:
        """Keep what the worker counted, and wait for it no longer."""
        last = self._last.pop(worker, {})
        if METRICS in last:
            self._departed = departed(self._departed, last[METRICS])
        self._open = {number: one for number, one in self._open.items() if one.asker is not process}
        for one in self._open.values():
            one.waiting.discard(worker)
        self._settle()

    @property
    def next_deadline(self) -> float | None:
        """When ``look`` has something to do."""
        return min((one.until for one in self._open.values()), default=None)

    def look(self, now: float) -> None:
        """Answer what has waited for too long."""
        for one in self._open.values():
            if one.until <= now:
                one.waiting.clear()
        self._settle()

    def _settle(self) -> None:
        for number, one in list(self._open.items()):
            if not one.waiting:
                del self._open[number]
                self._answer(one)

    def _answer(self, one: _Question) -> None:
        # What is known now, and not what came for this question: a worker may have died meanwhile.
        for worker, last in sorted(self._last.items()):
            if one.what in last:
                one.asker.send(encode(PART, last[one.what], ask=one.ask, worker=worker))
        if one.what == METRICS and self._departed:
            one.asker.send(encode(PART, self._departed, ask=one.ask, worker=None))
        one.asker.send(encode(ANSWERED, ask=one.ask))
