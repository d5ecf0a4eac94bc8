"""Minting at the provider: tries, and deployments, within one deadline.

Minting is safe to repeat: an unused key costs nothing and expires by itself. When a deployment fails, the
next one is tried at once. When all have failed, there is a pause and another turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from app.errors import CloakroomError, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from app.handles.lifetimes import Life, life_of
from app.models import Clocks, Deployment, EphemeralKey, MintRequest
from app.outbound.upstream import (
    LEAST_SHARE_OF_A_TRY,
    MAX_TRIES,
    SHARE_OF_A_TRY,
    NoAnswer,
    NotConnected,
    Upstream,
    may_pass,
    pause_after,
)
from app.providers.base import Provider
from app.telemetry.timings import Timings

# The caller's session is at fault at every deployment, except where Azure says 400 about its own.
_CALLERS_FAULT: Final = frozenset({400, 413, 415, 422})
_DEPLOYMENTS_FAULT: Final = frozenset({"OpperationNotSupported", "OperationNotSupported"})
# A deployment that just failed is tried after the others for so long, in seconds.
_COOLING_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A deployment, and the request to send to it."""

    deployment: Deployment
    request: MintRequest


@dataclass(frozen=True, slots=True)
class _Failure:
    """One try's end. ``elsewhere``: another deployment may do better; ``again``: this one may, later."""

    error: CloakroomError
    elsewhere: bool
    again: bool


class MintAttempts:
    """Tries candidates in their order.

    Args:
        deadline: seconds for all tries together.
    """

    def __init__(
        self,
        *,
        providers: Mapping[str, Provider],
        upstream: Upstream,
        deadline: float,
        clocks: Clocks,
    ) -> None:
        self._providers = providers
        self._upstream = upstream
        self._deadline = deadline
        self._clocks = clocks
        self._cooling: dict[str, float] = {}

    async def mint(
        self, candidates: Sequence[Candidate], timings: Timings
    ) -> tuple[Candidate, EphemeralKey, Life]:
        """Return the first key that a candidate gives.

        Raises:
            UpstreamError, UpstreamUnreachable, UpstreamTimeout: the last failure, when none does.
        """
        ordered = self._coolest_first(candidates)
        deadline = self._clocks.monotonic() + self._deadline
        tries = 0
        while True:
            candidate = ordered[tries % len(ordered)]
            tries += 1
            result = await self._try(candidate, deadline, timings, last=tries >= len(ordered))
            if not isinstance(result, _Failure):
                return candidate, *result
            if len(ordered) > 1 and result.elsewhere:
                self._cooling[candidate.deployment.name] = self._clocks.monotonic() + _COOLING_SECONDS
            if tries < len(ordered) and result.elsewhere:
                continue
            pause = pause_after(result.error, tries)
            worthwhile = self._clocks.monotonic() + pause + self._deadline * LEAST_SHARE_OF_A_TRY < deadline
            if not result.again or tries >= max(MAX_TRIES, len(ordered)) or not worthwhile:
                raise result.error
            await asyncio.sleep(pause)

    def cooling(self) -> list[str]:
        """The deployments that failed just now, so that their alternatives are tried first."""
        now = self._clocks.monotonic()
        return [name for name, end in self._cooling.items() if end > now]

    def _coolest_first(self, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
        if len(candidates) == 1 or not self._cooling:
            return candidates
        now = self._clocks.monotonic()
        self._cooling = {name: end for name, end in self._cooling.items() if end > now}
        return sorted(candidates, key=lambda candidate: candidate.deployment.name in self._cooling)

    async def _try(
        self, candidate: Candidate, deadline: float, timings: Timings, *, last: bool
    ) -> tuple[EphemeralKey, Life] | _Failure:
        deployment = candidate.deployment
        provider = self._providers[deployment.provider]
        left = max(deadline - self._clocks.monotonic(), 0.001)
        share = self._deadline * SHARE_OF_A_TRY if last else left / 2
        status: int | None = None
        timings.deployment = deployment.name
        sent = self._clocks.monotonic()
        try:
            request = provider.mint_request(deployment, candidate.request)
            response = await self._upstream.post(request, timeout=min(left, share), timings=timings)
            status = response.status
            key = provider.read_mint(deployment, response)
            date, under_way = response.headers.get("Date"), self._clocks.monotonic() - sent
            return key, life_of(key, date, now=self._clocks.now(), under_way=under_way)
        except NotConnected:
            error = UpstreamUnreachable("The provider cannot be reached.", retry_after=1)
            return _Failure(error, elsewhere=True, again=True)
        except NoAnswer as failure:
            if failure.timed_out:
                late = UpstreamTimeout("The provider did not answer in time.")
                return _Failure(late, elsewhere=True, again=True)
            cut = UpstreamError("The provider broke off its answer.")
            return _Failure(cut, elsewhere=True, again=True)
        except UpstreamError as refused:
            callers = status in _CALLERS_FAULT and refused.upstream_code not in _DEPLOYMENTS_FAULT
            return _Failure(refused, elsewhere=not callers, again=may_pass(status, refused))
