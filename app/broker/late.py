"""Answers that come after their relay gave up: they name calls that nobody else can name.

A relay that times out, or that is cut off, leaves its request at the provider. Here the connection stays open
for a while, so that the call's id can still be read and the call be hung up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from app.outbound.upstream import NoAnswer, NotConnected, Upstream
from app.providers.base import UpstreamRequest, UpstreamResponse
from app.telemetry.timings import Timings, Try

log = structlog.get_logger("cloakroom.late")

# How much longer than its relay an answer is waited for.
PATIENCE_SECONDS: Final = 60.0
# Each keeps one of the client's connections.
AT_MOST: Final = 256

Late = Callable[[UpstreamResponse], Awaitable[None]]


class LateAnswers:
    """Sends requests that may be given up before they are answered."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._waiting: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """Requests that were given up and may still be answered."""
        return len(self._waiting)

    async def post(
        self, request: UpstreamRequest, *, timeout: float, timings: Timings, late: Late
    ) -> UpstreamResponse:
        """As ``Upstream.post``. ``late`` gets an answer that comes later, or after a cancellation."""
        own = Timings(trace=timings.trace, deployment=timings.deployment)
        longer = timeout + PATIENCE_SECONDS
        task = asyncio.create_task(self._upstream.post(request, timeout=longer, timings=own))
        try:
            done, _ = await asyncio.wait({task}, timeout=timeout)
        except asyncio.CancelledError:
            self._wait_on(task, late)
            raise
        if done:
            timings.tries += own.tries
            return task.result()
        self._wait_on(task, late)
        timings.tries.append(Try(timings.deployment, timeout, "timeout", None))
        raise NoAnswer(timed_out=True)

    async def close(self, *, grace: float) -> None:
        """Wait ``grace`` seconds for what is left, and give up the rest."""
        if not self._waiting:
            return
        _, unanswered = await asyncio.wait(self._waiting, timeout=grace)
        for task in unanswered:
            task.cancel()
        await asyncio.gather(*unanswered, return_exceptions=True)

    def _wait_on(self, task: asyncio.Task[UpstreamResponse], late: Late) -> None:
        if len(self._waiting) >= AT_MOST:
            task.cancel()
            return
        waiting = asyncio.create_task(_hand_over(task, late), name="late-answer")
        self._waiting.add(waiting)
        waiting.add_done_callback(self._waiting.discard)


async def _hand_over(task: asyncio.Task[UpstreamResponse], late: Late) -> None:
    try:
        try:
            response = await task
        except NoAnswer as failure:
            if failure.head is None:
                return
            # Its headers may name the call.
            response = failure.head
        await late(response)
    except NotConnected:
        return
    except Exception:
        log.exception("late_answer_failed")
