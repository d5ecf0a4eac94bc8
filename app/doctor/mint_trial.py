"""A real mint with the shortest life, through the service's own tries; the key is thrown away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from app.broker.attempts import Candidate, MintAttempts
from app.broker.session_policy import under_policy
from app.errors import CloakroomError, UpstreamError
from app.handles.lifetimes import Life
from app.models import MIN_KEY_SECONDS, Clocks, Deployment, Family, MintRequest, ModelPolicy
from app.outbound.client import UpstreamClient
from app.providers.registry import PROVIDERS
from app.providers.sessions import with_models
from app.telemetry.timings import Timings

# A deployment may serve another kind of session than the first that is asked for; Azure says so like this.
_OTHER_KIND: Final = frozenset({"OpperationNotSupported", "OperationNotSupported"})
_FAMILY_WORDS: Final = (
    ("transcribe", Family.TRANSCRIPTION),
    ("whisper", Family.TRANSCRIPTION),
    ("translate", Family.TRANSLATION),
)


@dataclass(frozen=True, slots=True)
class Trial:
    """The name to mint under, and what the operator fixed for it."""

    alias: str
    policy: ModelPolicy


class MintTrials:
    """Mints at one deployment at a time.

    Args:
        deadline: seconds for one mint, the service's own repeats included.
        clock: returns epoch seconds.
        monotonic: returns seconds.
    """

    def __init__(
        self,
        upstream: UpstreamClient,
        *,
        deadline: float,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._attempts = MintAttempts(
            providers=PROVIDERS, upstream=upstream, deadline=deadline, clocks=Clocks(clock, monotonic)
        )

    async def mint(self, deployment: Deployment, trial: Trial) -> tuple[Family, Life]:
        """Return the kind of session that was minted, and the life that was left of its key.

        Raises:
            CloakroomError: as ``MintAttempts.mint``; of two kinds that were refused, the first one's.
        """
        first = _likely_family(deployment.upstream_model or trial.alias)
        try:
            return await self._mint(deployment, trial, first)
        except UpstreamError as refused:
            if refused.upstream_code not in _OTHER_KIND or first is not Family.REALTIME:
                raise
            try:
                return await self._mint(deployment, trial, Family.TRANSCRIPTION)
            except CloakroomError:
                raise refused from None

    async def _mint(self, deployment: Deployment, trial: Trial, family: Family) -> tuple[Family, Life]:
        name = deployment.upstream_model or trial.alias
        session = with_models(family, under_policy(trial.policy, {}), main=name, nested=None)
        request = MintRequest(model=trial.alias, family=family, session=session, seconds=MIN_KEY_SECONDS)
        _, _, life = await self._attempts.mint([Candidate(deployment, request)], Timings())
        return family, life


def _likely_family(upstream_name: str) -> Family:
    """The kind that a provider's name tells; Azure's deployments may be called anything."""
    lowered = upstream_name.lower()
    return next((family for word, family in _FAMILY_WORDS if word in lowered), Family.REALTIME)
