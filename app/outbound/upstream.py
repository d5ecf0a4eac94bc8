"""The interface to the providers' HTTP that the use cases depend on, what its failures prove, and retries.

A relay must never be sent twice once it may have arrived, so two failures are told apart: ``NotConnected``
(no byte of the request was written, so the provider saw nothing) and ``NoAnswer`` (bytes may have left). To
swap the client for a library, write another class with these methods, and make it in ``app.main``.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final, Protocol, TypeVar

from app.errors import CloakroomError, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from app.outbound.addresses import SETTING
from app.providers.base import UpstreamRequest, UpstreamResponse
from app.telemetry.timings import Timings, Try, TryOutcome

Read = TypeVar("Read")

MAX_TRIES: Final = 3
RETRY_STATUSES: Final = frozenset({429, 500, 502, 503, 504})
# A 429 that does not pass (OpenAI's guide "Error codes").
_HOPELESS_CODES: Final = frozenset({"insufficient_quota"})
_BACKOFF_SECONDS: Final = 0.1
# One stalled try must leave time for another within the deadline.
SHARE_OF_A_TRY: Final = 0.6
# A try that starts with less than this left would only turn the cause into a timeout.
LEAST_SHARE_OF_A_TRY: Final = 0.2
NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})


class NotConnected(Exception):
    """Nothing was sent: no connection was made, or the request cannot be written as HTTP."""


class NotAllowed(NotConnected):
    """The server's address may not be dialled, so trying again changes nothing.

    The message is a clause for operators: it has the address, and names the setting.
    """


class NoAnswer(Exception):
    """The request may have arrived, but no usable answer came. ``timed_out``: none came in time.

    ``head`` has the status and the headers of an answer whose body did not come, or was no good.
    """

    def __init__(self, *, timed_out: bool, head: UpstreamResponse | None = None) -> None:
        super().__init__("timed out" if timed_out else "connection lost or answer malformed")
        self.timed_out = timed_out
        self.head = head


class Upstream(Protocol):
    """Sends one request, once. Whether to send it again is the use case's decision."""

    async def post(self, request: UpstreamRequest, *, timeout: float, timings: Timings) -> UpstreamResponse:
        """Send the request by its method and read the whole answer within ``timeout`` seconds.

        Redirects are not followed, and no cookie is kept: it would tie callers together. ``timings`` gets the
        try. Its trace, if there is one, is passed on to the provider.

        Raises:
            NotConnected: nothing was sent.
            NoAnswer: it was sent, and no whole, well-formed answer of a sane size came in time.
        """

    async def get(self, request: UpstreamRequest, *, timeout: float) -> UpstreamResponse:
        """Ask what changes nothing, outside of any caller's request; the request's body is not sent.

        Raises:
            NotConnected, NoAnswer: as ``post``.
        """

    async def close(self) -> None:
        """End every connection; requests under way fail."""


async def tried(
    send: Callable[[Mapping[str, str]], Awaitable[UpstreamResponse]], timings: Timings, method: str
) -> UpstreamResponse:
    """Send once, with the headers of the trace. ``timings`` gets the try, and the trace its span."""
    trace, started = timings.trace, time.perf_counter()
    span = trace.ask(timings.deployment, method) if trace is not None else None
    outcome: TryOutcome = "cut_off"
    status: int | None = None
    try:
        response = await send(span.headers if span is not None else NO_HEADERS)
    except NotConnected:
        outcome = "unreachable"
        raise
    except NoAnswer as failure:
        outcome = "timeout" if failure.timed_out else "cut_off"
        raise
    else:
        outcome, status = "answered", response.status
        return response
    finally:
        timings.tries.append(Try(timings.deployment, time.perf_counter() - started, outcome, status))
        if span is not None:
            span.end(outcome, status)


def may_pass(status: int | None, refused: UpstreamError) -> bool:
    """Whether the same request may succeed a moment later, by this answer."""
    return status in RETRY_STATUSES and refused.upstream_code not in _HOPELESS_CODES


def pause_after(failure: CloakroomError, tries: int) -> float:
    """Seconds to wait after so many tries: what the provider asked for, else a random time that doubles."""
    if isinstance(failure, UpstreamError) and failure.retry_after is not None:
        return failure.retry_after
    return _BACKOFF_SECONDS * 2.0**tries * random.uniform(0.5, 1)  # noqa: S311 - spreads load, no secret


async def send_until_answered(
    upstream: Upstream,
    request: UpstreamRequest,
    read: Callable[[UpstreamResponse], Read],
    *,
    deadline: float,
    monotonic: Callable[[], float],
    timings: Timings,
) -> Read:
    """Send, read, and send again after a failure that may pass.

    Args:
        read: makes the result of an answer; raises ``UpstreamError`` for a refusal.
        deadline: seconds for all tries and pauses together.
        monotonic: returns seconds.
        timings: gets every try.

    Raises:
        UpstreamError, UpstreamUnreachable, UpstreamTimeout: the last failure.
    """
    end = monotonic() + deadline
    tries = 0
    while True:
        tries += 1
        left = max(end - monotonic(), 0.001)
        result = await _try(upstream, request, timings, timeout=min(left, deadline * SHARE_OF_A_TRY))
        if isinstance(result, UpstreamResponse):
            try:
                return read(result)
            except UpstreamError as refused:
                if not may_pass(result.status, refused):
                    raise
                # Frames that its traceback holds may hold the error itself: a cycle.
                failure: CloakroomError = refused.with_traceback(None)
        else:
            failure = result
        pause = pause_after(failure, tries)
        worthwhile = monotonic() + pause + deadline * LEAST_SHARE_OF_A_TRY < end
        if tries == MAX_TRIES or not worthwhile:
            raise failure
        await asyncio.sleep(pause)


async def _try(
    upstream: Upstream,
    request: UpstreamRequest,
    timings: Timings,
    *,
    timeout: float,
) -> UpstreamResponse | CloakroomError:
    try:
        return await upstream.post(request, timeout=timeout, timings=timings)
    except NotAllowed as refused:
        raise failure_of(refused) from refused
    except (NotConnected, NoAnswer) as failure:
        return failure_of(failure)


def failure_of(failure: NotConnected | NoAnswer) -> CloakroomError:
    """The error to answer with where a request that may be sent again got no answer."""
    if isinstance(failure, NotAllowed):
        return UpstreamUnreachable(
            "This service may not connect to the provider's address, so nothing was sent. Its operator can "
            f"allow the address ({SETTING}); the log has it."
        )
    if isinstance(failure, NotConnected):
        return UpstreamUnreachable("The provider cannot be reached.", retry_after=1)
    if failure.timed_out:
        return UpstreamTimeout("The provider did not answer in time.")
    return UpstreamError("The provider broke off its answer.")
