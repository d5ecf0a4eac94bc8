"""Minting at the provider: tries, and deployments, within one deadline.

Minting is safe to repeat: an unused key costs nothing and expires by itself. When a deployment fails, the
next one is tried at once. When all have failed, there is a pause and another turn.

A deployment without ephemeral keys is asked nothing: the call is created later, with the standard credential,
from what is kept now. So its mint shows nothing about it, but is not made while its breaker is open.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

import orjson

from app.broker.routing.breaker import ANSWERED, SHOWS_NOTHING, Breakers, Verdict
from app.errors import (
    CloakroomError,
    InvalidRequest,
    UpstreamError,
    UpstreamUnavailable,
    UpstreamUnreachable,
)
from app.handles.grants import Grant
from app.handles.lifetimes import Life, life_of, own_life
from app.models import USUAL_KEY_SECONDS, Clocks, Deployment, Family, MintRequest, StandardCall, value
from app.outbound.upstream import (
    LEAST_SHARE_OF_A_TRY,
    MAX_TRIES,
    SHARE_OF_A_TRY,
    NoAnswer,
    NotAllowed,
    NotConnected,
    Upstream,
    failure_of,
    may_pass,
    pause_after,
)
from app.providers.base import Provider
from app.telemetry.timings import Timings

# The caller's session is at fault at every deployment, except where Azure says 400 about its own.
_CALLERS_FAULT: Final = frozenset({400, 413, 415, 422})
_DEPLOYMENTS_FAULT: Final = frozenset({"OpperationNotSupported", "OperationNotSupported"})
# With these, Retry-After is meant for all requests and not for this one alone (RFC 6585, RFC 9110).
_STATUSES_THAT_WAIT: Final = frozenset({429, 503})


@value
class Candidate:
    """A deployment, and the request to send to it."""

    deployment: Deployment
    request: MintRequest


class Granted(NamedTuple):
    """What a candidate gave: the grant, the session as its provider has or will have it, and their life."""

    candidate: Candidate
    grant: Grant
    session: Mapping[str, Any]
    life: Life


@value
class _Failure:
    """One try's end. ``again``: this candidate may do better later; ``shown`` is about its deployment.

    ``unfit``: it has no such sessions, and another deployment may.
    """

    error: CloakroomError
    again: bool
    shown: Verdict
    unfit: bool = False


class MintAttempts:
    """Tries candidates in their order.

    Args:
        deadline: seconds for all tries together.
        breakers: which deployments may be asked.
    """

    def __init__(
        self,
        *,
        providers: Mapping[str, Provider],
        upstream: Upstream,
        deadline: float,
        clocks: Clocks,
        breakers: Breakers,
    ) -> None:
        self._providers = providers
        self._upstream = upstream
        self._deadline = deadline
        self._clocks = clocks
        self._breakers = breakers

    async def mint(
        self, candidates: Sequence[Candidate], timings: Timings, *, spent: float = 0.0, once: bool = False
    ) -> Granted:
        """Return the first grant that a candidate gives.

        Args:
            spent: what is over of the deadline, in seconds.
            once: ask no candidate a second time.

        Raises:
            InvalidRequest: the session cannot be sent.
            UpstreamUnavailable: none may be asked now; raised at once.
            UpstreamError, UpstreamUnreachable, UpstreamTimeout: the last failure, when none does.
        """
        line = deque(self._breakers.in_order(candidates, _name))
        deadline = self._clocks.monotonic() + self._deadline - spent
        fresh, most_tries, tries = len(line), max(MAX_TRIES, len(line)), 0
        error: CloakroomError | None = None
        while line:
            candidate, fresh = line.popleft(), fresh - 1
            era = self._breakers.enter(candidate.deployment.name)
            if era is None:
                continue
            tries += 1
            verdict = SHOWS_NOTHING
            try:
                result = await self._try(candidate, deadline, timings, last=fresh <= 0)
                if isinstance(result, _Failure):
                    verdict = result.shown
                elif candidate.deployment.ephemeral_keys:
                    verdict = ANSWERED
            finally:
                self._breakers.leave(candidate.deployment.name, era, verdict)
            if not isinstance(result, _Failure):
                return result
            error = result.error
            if not (result.shown.elsewhere or result.unfit) or tries == most_tries:
                break
            if result.again and not once:
                line.append(candidate)
            if fresh <= 0 and line and not await self._paused(error, tries, deadline):
                break
        raise error or self._unavailable(candidates)

    async def _paused(self, error: CloakroomError, tries: int, deadline: float) -> bool:
        """Pause before a candidate's next try. Returns False at once where too little time would be left."""
        pause = pause_after(error, tries)
        if self._clocks.monotonic() + pause + self._deadline * LEAST_SHARE_OF_A_TRY >= deadline:
            return False
        await asyncio.sleep(pause)
        return True

    def _unavailable(self, candidates: Sequence[Candidate]) -> UpstreamUnavailable:
        seconds = self._breakers.retry_after(map(_name, candidates))
        return UpstreamUnavailable(
            "The provider failed too often just now, or asked us to wait. Nothing was sent to it. "
            f"Try again in {seconds} s.",
            retry_after=seconds,
        )

    async def _try(
        self, candidate: Candidate, deadline: float, timings: Timings, *, last: bool
    ) -> Granted | _Failure:
        deployment = candidate.deployment
        provider = self._providers[deployment.provider]
        left = max(deadline - self._clocks.monotonic(), 0.001)
        share = self._deadline * SHARE_OF_A_TRY if last else left / 2
        status: int | None = None
        timings.deployment = deployment.name
        sent = self._clocks.monotonic()
        try:
            if not deployment.ephemeral_keys:
                return _kept(provider, candidate, now=self._clocks.now())
            request = provider.mint_request(deployment, candidate.request)
            response = await self._upstream.post(request, timeout=min(left, share), timings=timings)
            status = response.status
            key = provider.read_mint(deployment, response)
            date, under_way = response.headers.get("Date"), self._clocks.monotonic() - sent
            life = life_of(key, date, now=self._clocks.now(), under_way=under_way)
            return Granted(candidate, Grant(key.value, _kept_beside(provider, candidate)), key.session, life)
        except (NotConnected, NoAnswer) as failure:
            return _failed(failure_of(failure), again=not isinstance(failure, NotAllowed))
        except InvalidRequest as unfit:
            return _Failure(unfit, again=False, shown=SHOWS_NOTHING, unfit=True)
        except UpstreamError as refused:
            # Frames that its traceback holds may hold the error itself: a cycle.
            refused.with_traceback(None)
            return _Failure(refused, again=may_pass(status, refused), shown=_shown_by(status, refused))


def _kept(provider: Provider, candidate: Candidate, *, now: float) -> Granted | _Failure:
    try:
        call = provider.kept_call(candidate.deployment, candidate.request)
    except (InvalidRequest, UpstreamError) as refused:
        return _Failure(refused, again=False, shown=SHOWS_NOTHING, unfit=True)
    seconds = candidate.request.seconds
    life = own_life(USUAL_KEY_SECONDS if seconds is None else seconds, now=now)
    return Granted(candidate, Grant(None, call), orjson.loads(call.session), life)


def _kept_beside(provider: Provider, candidate: Candidate) -> StandardCall | None:
    """What is kept beside the key, so that the standard key can create the call; None if it is not to."""
    deployment, request = candidate.deployment, candidate.request
    # Whether a translation's path takes a session is not verified, so its ephemeral key creates the call.
    if deployment.call_key != "standard" or request.family is Family.TRANSLATION:
        return None
    return provider.kept_call(deployment, request)


def _name(candidate: Candidate) -> str:
    return candidate.deployment.name


def _failed(error: CloakroomError, *, again: bool) -> _Failure:
    return _Failure(error, again=again, shown=Verdict("failed", elsewhere=True, reason=error.message))


def shown_by_call(error: CloakroomError) -> Verdict:
    """What a failed call shows about its deployment, where mints show nothing.

    A browser wrote the offer, and one that its provider cannot digest must not close the deployment to
    others. So only what no offer can cause is a failure.
    """
    if isinstance(error, UpstreamUnreachable):
        return Verdict("failed", elsewhere=True, reason=error.message)
    status = error.upstream_status if isinstance(error, UpstreamError) else None
    if status is None:
        return SHOWS_NOTHING
    wait = error.retry_after if status in _STATUSES_THAT_WAIT else None
    return Verdict("answered" if status < 500 else None, elsewhere=wait is not None, wait=wait)


def _shown_by(status: int | None, refused: UpstreamError) -> Verdict:
    """What an unusable answer shows. Without a status nothing was sent: there is no credential."""
    if status is None:
        return Verdict(None, elsewhere=True)
    callers = status in _CALLERS_FAULT and refused.upstream_code not in _DEPLOYMENTS_FAULT
    wait = refused.retry_after if status in _STATUSES_THAT_WAIT else None
    health: Literal["answered", "failed"] = "answered" if 400 <= status < 500 else "failed"
    return Verdict(health, elsewhere=not callers, wait=wait, reason=refused.reason)
