"""The supervisor: starts workers, replaces those that die, passes on signals, and carries what they say.

It is one loop in one thread, without asyncio, so that it may fork at any time.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import structlog

from app.supervisor.deaths import MOST_DEATHS, WITHIN_SECONDS, Deaths, how_it_ended
from app.supervisor.lines import Lines
from app.supervisor.listening import Ports, addresses, close_ports
from app.supervisor.messages import ASK, BEAT, CREW, DRAIN, LISTENING, TOLD, Message, encode
from app.supervisor.process import WorkerProcess
from app.supervisor.questions import Questions
from app.supervisor.signals import heard, received

log = structlog.get_logger("cloakroom.supervisor")

# A worker says so often that it is alive; after so many times of silence it hangs, and is killed.
BEAT_SECONDS: Final = 1.0
MOST_SILENCE: Final = 30
# After so many, the others accept from its socket.
SOME_SILENCE: Final = 3
# What workers may take longer than their time to drain and to shut down, before they are killed.
_GRACE_SECONDS: Final = 30.0
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)

# Is the worker of this number, in the new process, at its end of the line; returns the exit status.
Work = Callable[[int, socket.socket], int]


class WorkersFailed(Exception):
    """The workers cannot be kept alive; says which one, how it ended, and how often."""


@dataclass(slots=True)
class _Place:
    """A worker's number, with the process that has it just now."""

    number: int
    process: WorkerProcess | None = None
    deaths: Deaths = field(default_factory=Deaths)
    # When the next process is started, where none runs.
    start_at: float | None = None
    # A SIGHUP came before the process could take it.
    owed_hangup: bool = False

    @property
    def up(self) -> bool:
        process = self.process
        return process is not None and process.listening and process.silent <= SOME_SILENCE


class Supervisor:
    """Runs workers until a signal ends them, or until they cannot be kept alive.

    Args:
        count: how many.
        work: what each of them does.
        sets: the sockets that the workers accept from; closed when they drain.
        ending_seconds: how long the workers may drain and shut down.
    """

    def __init__(self, count: int, work: Work, sets: Sequence[Ports], *, ending_seconds: float) -> None:
        self._places = [_Place(number) for number in range(count)]
        self._work = work
        self._sets = sets
        self._ending_seconds = ending_seconds
        self._lines = Lines(self._take)
        self._questions = Questions()
        self._next_tick = time.monotonic() + BEAT_SECONDS
        # Whether a worker ever served, and whether all of them did.
        self._served = self._complete = False
        self._told_to_end = False
        self._kill_at: float | None = None
        self._failure: str | None = None

    def run(self) -> None:
        """Return when all workers have ended because they should.

        Raises:
            WorkersFailed: the first worker did not come to serve, or one died again and again.
        """
        found = addresses(self._sets[0]) if self._sets else []
        log.info("supervising", workers=len(self._places), addresses=found, pid=os.getpid())
        with heard(_SIGNALS) as ear:
            self._lines.add_ear(ear, partial(self._hear, ear))
            # Alone at first: what is wrong with the settings or the store is told once.
            self._start(self._places[0])
            while self._left():
                self._lines.wait(self._pause())
                self._look(time.monotonic())
        close_ports(self._sets)
        if self._failure is not None:
            raise WorkersFailed(self._failure)
        log.info("stopped")

    def _left(self) -> bool:
        """Whether a worker runs or is to be started."""
        return any(place.process is not None or place.start_at is not None for place in self._places)

    def _pause(self) -> float:
        """How long nothing has to be done, unless something comes."""
        times = [self._next_tick, self._kill_at, self._questions.next_deadline]
        times += [place.start_at for place in self._places]
        return max(0.0, min(moment for moment in times if moment is not None) - time.monotonic())

    def _look(self, now: float) -> None:
        """Do what is due."""
        self._questions.look(now)
        for place in self._places:
            if place.start_at is not None and place.start_at <= now:
                self._start(place)
        if now >= self._next_tick:
            self._next_tick = now + BEAT_SECONDS
            self._tick()
        if self._kill_at is not None and now >= self._kill_at:
            self._kill_at = now + BEAT_SECONDS
            log.error("workers_killed", seconds=self._ending_seconds + _GRACE_SECONDS)
            self._kill()

    # --- workers ----------------------------------------------------------------------------------------

    def _start(self, place: _Place) -> None:
        place.start_at, place.owed_hangup = None, False
        try:
            place.process = WorkerProcess(partial(self._work, place.number), self._lines.close_in_child)
        except OSError as error:
            self._try_again(place, f"could not be started ({error.strerror or error})")
            return
        self._lines.add(place.number, place.process)
        log.info("worker_started", worker=place.number, worker_pid=place.process.pid)

    def _take(self, number: int, process: WorkerProcess, message: Message) -> None:
        was_silent, process.silent = process.silent > SOME_SILENCE, 0
        if was_silent:
            self._tell_crew()
        fields = message.fields
        if message.kind == LISTENING:
            self._serves(self._places[number], process)
        elif message.kind == ASK:
            serving = {one.number: one.process for one in self._places if one.process is not None and one.up}
            self._questions.ask(process, fields["ask"], fields["what"], serving, now=time.monotonic())
        elif message.kind == TOLD:
            self._questions.told(number, fields["question"], fields["what"], message.body)
        elif message.kind != BEAT:
            raise ValueError(f"a worker sent a message of unknown kind: {message.kind!r}")

    def _serves(self, place: _Place, process: WorkerProcess) -> None:
        process.listening = True
        if place.owed_hangup:
            place.owed_hangup = False
            process.signal(signal.SIGHUP)
        if not self._served:
            self._served = True
            for other in self._places[1:]:
                if not self._ending:
                    self._start(other)
        self._tell_crew()
        if not self._complete and all(one.up for one in self._places):
            self._complete = True
            log.info("workers_listening", workers=len(self._places))

    def _tell_crew(self) -> None:
        """Let each worker know of the others, for which it may have to stand in."""
        if self._ending:
            return
        crew = [
            {
                "worker": place.number,
                "pid": place.process.pid if place.process is not None else None,
                "up": place.up,
                "restarts": place.deaths.number,
            }
            for place in self._places
        ]
        self._send_all(encode(CREW, workers=crew))

    def _send_all(self, message: bytes) -> None:
        for place in self._places:
            if place.process is not None:
                place.process.send(message)

    def _tick(self) -> None:
        """Notice workers that hang. A time in which this process stood still counts as one second."""
        for place in self._places:
            process = place.process
            if process is None:
                continue
            process.silent += 1
            if process.silent == SOME_SILENCE + 1:
                self._tell_crew()
            if process.silent > MOST_SILENCE:
                log.error("worker_hangs", worker=place.number, worker_pid=process.pid, seconds=process.silent)
                process.signal(signal.SIGKILL)

    # --- deaths -----------------------------------------------------------------------------------------

    def _reap(self) -> None:
        for place in self._places:
            if place.process is not None and (status := place.process.ended()) is not None:
                self._bury(place, place.process, status)

    def _bury(self, place: _Place, process: WorkerProcess, status: int) -> None:
        self._lines.end(place.number, process)
        place.process = None
        self._questions.died(place.number, process)
        how = how_it_ended(status)
        if self._ending:
            log.info("worker_ended", worker=place.number, worker_pid=process.pid, how=how)
        else:
            self._try_again(place, how, worker_pid=process.pid)

    def _try_again(self, place: _Place, how: str, **told: int) -> None:
        """Start the worker again after a while, unless that would be in vain."""
        pause = place.deaths.add(time.monotonic())
        deaths = place.deaths.number
        log.error("worker_died", worker=place.number, **told, how=how, deaths=deaths, again_in_seconds=pause)
        if not self._served:
            self._fail(f"worker {place.number} {how} before it served; what it said is above")
        elif pause is None:
            self._fail(
                f"worker {place.number} died {MOST_DEATHS} times within {WITHIN_SECONDS:g} s; "
                f"the last time it {how}"
            )
        else:
            place.start_at = time.monotonic() + pause
            self._tell_crew()

    def _fail(self, why: str) -> None:
        self._failure = why
        log.error("workers_failed", reason=why)
        self._drain()

    # --- the end ----------------------------------------------------------------------------------------

    @property
    def _ending(self) -> bool:
        return self._kill_at is not None

    def _drain(self) -> None:
        """Have all workers drain and end. Nothing is started any more."""
        if self._ending:
            return
        for place in self._places:
            place.start_at = None
        self._kill_at = time.monotonic() + self._ending_seconds + _GRACE_SECONDS
        self._send_all(encode(DRAIN))
        # The workers accept until they have drained. Then nobody does, and callers shall see that.
        close_ports(self._sets)

    def _kill(self) -> None:
        for place in self._places:
            if place.process is not None:
                place.process.signal(signal.SIGKILL)

    def _hear(self, ear: socket.socket) -> None:
        for number in received(ear):
            if number == signal.SIGCHLD:
                self._reap()
            elif number == signal.SIGHUP:
                self._pass_on_hangup()
            elif self._told_to_end:
                self._end_at_once(number)
            else:
                self._told_to_end = True
                log.info("ending", signal=number.name)
                self._drain()

    def _pass_on_hangup(self) -> None:
        """A worker that is not there yet reads everything when it starts."""
        for place in self._places:
            if place.process is not None and place.up:
                place.process.signal(signal.SIGHUP)
            place.owed_hangup = place.process is not None and not place.up

    def _end_at_once(self, number: signal.Signals) -> None:
        """End as any process does that does not handle the signal."""
        self._kill()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        # The first process of a container has no default to meet.
        os._exit(128 + number)
