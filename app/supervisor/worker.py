"""A worker among the others, in its own process: the line to the supervisor, and what comes over it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, cast

import orjson
import structlog

from app.errors import Draining
from app.supervisor.listening import Ports, close_ports
from app.supervisor.messages import (
    ANSWERED,
    ASK,
    BEAT,
    CREW,
    DRAIN,
    LISTENING,
    METRICS,
    PART,
    STATE,
    TELL,
    TOLD,
    Message,
    Messages,
    encode,
)
from app.supervisor.supervisor import BEAT_SECONDS
from app.telemetry.workers.merged import Merged, WorkerStatus

log = structlog.get_logger("cloakroom.worker")

# Longer than the supervisor waits for a worker.
_PATIENCE_SECONDS: Final = 5.0

Tell = Callable[[], Awaitable[bytes]]
# Accepts from the sockets of each port, and returns what can be closed.
Accept = Callable[[Ports], Awaitable[list[asyncio.Server]]]


class CrewMember:
    """One of several workers. It is made before the event loop runs, and used in it.

    Args:
        number: of this worker, from 0.
        line: to the supervisor; closed by ``leave``.
        sets: the sockets of each worker, or one set for all.
    """

    def __init__(self, number: int, line: socket.socket, sets: Sequence[Ports]) -> None:
        self.number: Final = number
        self._sets = sets
        # What this worker accepts for others, by their numbers.
        self._standing_in: dict[int, list[asyncio.Server]] = {}
        self._crew_changed = asyncio.Event()
        # Set when the supervisor wants the end, or is gone.
        self.ending: Final = asyncio.Event()
        self.orphaned = False
        self._socket = line
        self._line: _Line | None = None
        self._crew: list[WorkerStatus] = []
        self._tell: Mapping[str, Tell] = {}
        self._asked: dict[int, _Answer] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._number_of_asks = 0

    async def join(self, *, metrics: Tell, state: Tell) -> None:
        """Begin to listen to the supervisor, and to tell it of this worker."""
        self._tell = {METRICS: metrics, STATE: state}
        loop = asyncio.get_running_loop()
        self._socket.setblocking(False)
        _, self._line = await loop.create_unix_connection(
            lambda: _Line(self._take, self._lost), sock=self._socket
        )
        self._spawn(self._beat())

    async def listen(self, accept: Accept) -> None:
        """Accept, and tell the supervisor so. From now on this worker stands in for those that are away."""
        await accept(_copies(self._sets[self.number % len(self._sets)]))
        self._send(encode(LISTENING))
        if len(self._sets) > 1:
            self._spawn(self._stand_in(accept))

    def close(self) -> None:
        """Accept for nobody any more."""
        for servers in self._standing_in.values():
            _close(servers)
        self._standing_in.clear()
        close_ports(self._sets)

    async def leave(self) -> None:
        """Close the line."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._line is not None:
            self._line.close()

    @property
    def missing(self) -> int:
        """How many workers do not serve just now."""
        return sum(not one.up for one in self._crew)

    async def metrics(self) -> Merged:
        """The metrics of all workers, also of those that have ended; see ``app.web.listener.workers``."""
        told: dict[str, Any] = {}
        for worker, body in (await self._ask(METRICS)).items():
            told["" if worker is None else str(worker)] = orjson.loads(body)
            await asyncio.sleep(0)
        return Merged(told, self._crew)

    async def states(self) -> list[dict[str, Any]]:
        """What an operator sees of each worker; see ``app.web.listener.workers``."""
        told = await self._ask(STATE)
        return [one.document() | orjson.loads(told.get(one.worker, b"{}")) for one in self._crew]

    async def _ask(self, what: str) -> dict[int | None, bytes]:
        """Ask all workers, and return what each of them said.

        Raises:
            Draining: the supervisor is gone, or does not answer.
        """
        if self.orphaned:
            raise Draining("This replica is shutting down. Ask another one.", retry_after=1)
        self._number_of_asks += 1
        number = self._number_of_asks
        answer = self._asked[number] = _Answer()
        self._send(encode(ASK, ask=number, what=what))
        try:
            await asyncio.wait_for(answer.whole.wait(), _PATIENCE_SECONDS)
        except TimeoutError:
            raise Draining(
                "The supervisor of this replica does not answer. Ask again.", retry_after=1
            ) from None
        finally:
            del self._asked[number]
        return answer.parts

    def _send(self, message: bytes) -> None:
        if self._line is not None:
            self._line.send(message)

    def _take(self, message: Message) -> None:
        fields = message.fields
        if message.kind == TELL:
            self._spawn(self._answer(fields["question"], fields["what"]))
        elif message.kind == CREW:
            self._crew = [WorkerStatus(**one) for one in fields["workers"]]
            self._crew_changed.set()
        elif message.kind == DRAIN:
            self.ending.set()
        elif message.kind in (PART, ANSWERED) and (answer := self._asked.get(fields["ask"])) is not None:
            if message.kind == PART:
                answer.parts[fields["worker"]] = message.body
            else:
                answer.whole.set()

    def _lost(self) -> None:
        self.orphaned = True
        self.ending.set()

    async def _answer(self, question: int, what: str) -> None:
        body = await self._tell[what]()
        self._send(encode(TOLD, body, question=question, what=what))

    async def _stand_in(self, accept: Accept) -> None:
        """Accept from the sockets of those workers that do not serve just now."""
        while not self.ending.is_set():
            away = {one.worker for one in self._crew if not one.up and one.worker != self.number}
            for number in self._standing_in.keys() - away:
                _close(self._standing_in.pop(number))
            for number in away - self._standing_in.keys():
                try:
                    self._standing_in[number] = await accept(_copies(self._sets[number]))
                except OSError as error:
                    # Too many open files. Another worker may have room.
                    log.error("cannot_stand_in", worker=number, reason=error.strerror)
            await self._crew_changed.wait()
            self._crew_changed.clear()

    async def _beat(self) -> None:
        while True:
            self._send(encode(BEAT))
            await asyncio.sleep(BEAT_SECONDS)

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _copies(ports: Ports) -> Ports:
    """The same sockets, to be closed without closing these."""
    return [[listener.dup() for listener in listeners] for listeners in ports]


def _close(servers: list[asyncio.Server]) -> None:
    for server in servers:
        server.close()


class _Answer:
    """The parts of an answer that have come so far, by worker; None stands for those that have ended."""

    def __init__(self) -> None:
        self.parts: dict[int | None, bytes] = {}
        self.whole = asyncio.Event()


class _Line(asyncio.Protocol):
    """The worker's end of the line."""

    def __init__(self, take: Callable[[Message], None], lost: Callable[[], None]) -> None:
        self._take = take
        self._lost = lost
        self._messages = Messages()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        for message in self._messages.feed(data):
            self._take(message)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._transport = None
        self._lost()

    def send(self, message: bytes) -> None:
        if self._transport is not None:
            self._transport.write(message)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
