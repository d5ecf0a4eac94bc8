"""What is open of sidebands in this process, and what passes between a backend and its call's provider.

Each direction takes one event, waits until the other side has room for it, and takes the next: no event waits
in between, so a side that does not read stops the side that sends. Audio does not pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from app.broker.calls.sideband import Sidebands
from app.errors import CloakroomError, Draining, Overloaded
from app.models import LONGEST_CALL_SECONDS
from app.outbound.sideband import (
    ABNORMAL,
    FAILED,
    NO_CODE,
    NORMAL,
    RESTART,
    TOO_BIG,
    UNSUPPORTED,
    Closed,
    EventSocket,
)
from app.providers.events import appends_audio, audio_refused, carries_audio, ends_session
from app.store.records.record import CallRecord
from app.telemetry.sideband_metrics import SidebandMetrics

log = structlog.get_logger("cloakroom.sideband")

# What a backend must not send: no events (1002, 1003, 1007), or too much (1009).
_INVALID: Final = frozenset({1002, UNSUPPORTED, 1007, TOO_BIG})


@dataclass(slots=True)
class Traffic:
    """What went through one sideband, and how it ended.

    ``said_over``: the provider sent the last event of the session. ``cause`` is one of
    ``app.telemetry.sideband_metrics.CLOSINGS``; ``closed`` is what the backend was told,
    or told us where it left.
    """

    from_provider: int = 0
    from_backend: int = 0
    audio_dropped: int = 0
    audio_refused: int = 0
    said_over: bool = False
    cause: str = "failed"
    closed: Closed = field(default_factory=lambda: Closed(FAILED))

    def fields(self) -> dict[str, Any]:
        """For the log line."""
        return {
            "outcome": self.cause,
            "close_code": self.closed.code,
            "events_from_provider": self.from_provider,
            "events_from_backend": self.from_backend,
            "audio_dropped": self.audio_dropped,
            "audio_refused": self.audio_refused,
        }


@dataclass(frozen=True, slots=True)
class Backend:
    """The backend's end. ``begin`` answers its handshake, or raises ``ConnectionError``."""

    socket: EventSocket
    begin: Callable[[], Awaitable[object]]


class OpenSidebands:
    """The sidebands of this process.

    Args:
        most: how many may be open or being opened.
    """

    def __init__(self, metrics: SidebandMetrics, *, most: int) -> None:
        self.metrics = metrics
        self._most = most
        self._open = 0
        self._ending = asyncio.Event()

    def end_all(self) -> None:
        """Close them soon, and open no more: the process ends."""
        self._ending.set()

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place for as long as a sideband is opened and open.

        Raises:
            Draining: the process ends.
            Overloaded: there is none.
        """
        if self._ending.is_set():
            raise Draining("This replica is shutting down. Attach through another one.", retry_after=1)
        if self._open >= self._most:
            raise Overloaded(
                f"This replica has no room for more than {self._most} sidebands (CLOAKROOM_SIDEBAND_MAX). "
                "Try again: another replica may have room.",
                retry_after=1,
            )
        self._open += 1
        self.metrics.open.inc()
        try:
            yield
        finally:
            self._open -= 1
            self.metrics.open.dec()

    @contextmanager
    def counting_refusals(self) -> Iterator[None]:
        """Count an error that is the answer to a handshake."""
        try:
            yield
        except CloakroomError as error:
            self.metrics.refused(error)
            raise

    async def carry(
        self, sidebands: Sidebands, call: CallRecord, provider: EventSocket, backend: Backend
    ) -> Traffic:
        """Pass events on until one side ends, or the process does; then close both. Never raises an error.

        A sideband lasts as long as the longest call at most.
        """
        traffic = Traffic()
        try:
            await backend.begin()
        except BaseException as error:
            await provider.close(NORMAL, "")
            if not isinstance(error, ConnectionError):
                raise
            traffic.cause, traffic.closed = "backend", Closed(ABNORMAL)
            self.metrics.closed(traffic.cause)
            return traffic
        try:
            left, ended = await self._first_to_end(provider, backend.socket, traffic)
            if left == "drained":
                ended = Closed(RESTART, "This replica restarts; the call goes on. Reconnect.")
            elif left == "backend":
                left = "invalid" if ended.code in _INVALID else left
            else:
                ending = await sidebands.ending(call, ended, said_over=traffic.said_over)
                left, ended = ending.cause, ending.closed
            traffic.cause, traffic.closed = left, ended
        except Exception:
            # The upgrade was answered, so the gate cannot answer.
            log.exception("sideband_failed", call_id=call.id)
            traffic.closed = Closed(FAILED, "Something went wrong in the service. Reconnect.")
        finally:
            await _close(provider, backend.socket, traffic.closed)
            self.metrics.closed(traffic.cause)
        return traffic

    async def _first_to_end(
        self, provider: EventSocket, backend: EventSocket, traffic: Traffic
    ) -> tuple[str, Closed]:
        """Which of ``provider``, ``backend`` and ``drained`` came first, and how that side closed."""
        directions = (
            asyncio.create_task(self._to_backend(provider, backend, traffic)),
            asyncio.create_task(self._to_provider(backend, provider, traffic)),
        )
        drained = asyncio.create_task(self._ending.wait())
        tasks = (*directions, drained)
        try:
            await asyncio.wait(tasks, timeout=LONGEST_CALL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if drained.done():
                return "drained", Closed(RESTART)
            for direction in directions:
                if direction.done():
                    return direction.result()
            return "provider", Closed(NO_CODE)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _to_backend(
        self, provider: EventSocket, backend: EventSocket, traffic: Traffic
    ) -> tuple[str, Closed]:
        while True:
            event = await provider.receive()
            if isinstance(event, Closed):
                return "provider", event
            if carries_audio(event):
                traffic.audio_dropped += 1
                self.metrics.audio["provider"].inc()
                continue
            try:
                await backend.send(event)
            except ConnectionError:
                return "backend", Closed(ABNORMAL)
            traffic.from_provider += 1
            traffic.said_over = traffic.said_over or ends_session(event)
            self.metrics.passed["provider"].inc()

    async def _to_provider(
        self, backend: EventSocket, provider: EventSocket, traffic: Traffic
    ) -> tuple[str, Closed]:
        while True:
            event = await backend.receive()
            if isinstance(event, Closed):
                return "backend", event
            if appends_audio(event):
                traffic.audio_refused += 1
                self.metrics.audio["backend"].inc()
                try:
                    await backend.send(audio_refused(event))
                except ConnectionError:
                    return "backend", Closed(ABNORMAL)
                continue
            try:
                await provider.send(event)
            except ConnectionError:
                return "provider", Closed(ABNORMAL)
            traffic.from_backend += 1
            self.metrics.passed["backend"].inc()


async def _close(provider: EventSocket, backend: EventSocket, closed: Closed) -> None:
    """Leave the provider, which ends no call, and tell the backend why."""
    _, taken = await asyncio.gather(
        provider.close(NORMAL, ""),
        backend.close(closed.code if closed.sendable else NORMAL, closed.reason),
    )
    if not taken or closed.code == ABNORMAL:
        # It may still be there and read nothing: bytes that wait for it would keep the connection.
        backend.abort()
