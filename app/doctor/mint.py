"""A trial mint: a real key with the shortest life, by the service's own code, thrown away; and its row."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from app.broker.routing.attempts import Candidate, MintAttempts
from app.broker.routing.breaker import Breakers
from app.broker.session_policy import ModelPolicy, under_policy
from app.doctor.finding import FIX_REACH_FIRST, Finding
from app.doctor.source import Origin
from app.errors import CloakroomError, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from app.handles.lifetimes import Life
from app.models import MIN_KEY_SECONDS, Clocks, Deployment, Family, MintRequest
from app.outbound.upstream import Upstream
from app.providers.registry import PROVIDERS
from app.providers.sessions import with_models
from app.telemetry.timings import Timings

Place = Callable[[str], str]

# Azure's codes for a deployment that does not serve the kind of session that was asked for.
_OTHER_KIND: Final = frozenset({"OpperationNotSupported", "OperationNotSupported"})
# Codes that a chat model gets, too. LiteLLM's file may have such entries, and they are served if unmarked.
_NOT_REALTIME: Final = _OTHER_KIND | {"model_not_found"}
_LEAVE_OUT: Final = "if it is a chat model, leave the entry out with model_info.mode: chat"
_FAMILY_WORDS: Final = (
    ("transcribe", Family.TRANSCRIPTION),
    ("whisper", Family.TRANSCRIPTION),
    ("translate", Family.TRANSLATION),
)


@dataclass(frozen=True, slots=True)
class Trial:
    """The name to mint under, and the operator's policy for it."""

    alias: str
    policy: ModelPolicy


class MintTrials:
    """Mints at one deployment at a time.

    Args:
        deadline: seconds for one mint with all its retries.
        clock: returns epoch seconds.
        monotonic: returns seconds.
    """

    def __init__(
        self,
        upstream: Upstream,
        *,
        deadline: float,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._upstream = upstream
        self._deadline = deadline
        self._clocks = Clocks(clock, monotonic)

    async def mint(self, deployment: Deployment, trial: Trial) -> tuple[Family, Life]:
        """Return the kind of session that was minted, and the remaining life of its key.

        Raises:
            CloakroomError: as ``MintAttempts.mint``; if two kinds were refused, the error of the first.
        """
        first = _likely_family(deployment, trial.alias)
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
        session = with_models(family, under_policy(trial.policy, {}, family), main=name, nested=None)
        request = MintRequest(model=trial.alias, family=family, session=session, seconds=MIN_KEY_SECONDS)
        # Each trial is told for itself, so none of them closes the way to the next one.
        attempts = MintAttempts(
            providers=PROVIDERS,
            upstream=self._upstream,
            deadline=self._deadline,
            clocks=self._clocks,
            breakers=Breakers(self._clocks.monotonic),
        )
        granted = await attempts.mint([Candidate(deployment, request)], Timings())
        return family, granted.life


def _likely_family(deployment: Deployment, alias: str) -> Family:
    """The kind that a model's name tells; realtime where it tells none, as Azure deployments' names may."""
    if Family.REALTIME not in deployment.families:
        return min(deployment.families)
    lowered = (deployment.upstream_model or alias).lower()
    return next((family for word, family in _FAMILY_WORDS if word in lowered), Family.REALTIME)


async def mint_finding(
    mints: MintTrials, deployment: Deployment, trial: Trial, place: Place, origin: Origin
) -> Finding:
    """Mint once and return the row: the key's life, or the refusal with what to change.

    Where the provider mints nothing, it is asked nothing: the row tells whether calls can have this session.
    """
    started = time.perf_counter()
    try:
        family, life = await mints.mint(deployment, trial)
    except CloakroomError as error:
        text = f"{trial.alias}: {_refusal(error)}"
        fix = _fix(error, place)
        if origin == "litellm" and isinstance(error, UpstreamError) and error.upstream_code in _NOT_REALTIME:
            fix = f"{fix}; {_LEAVE_OUT}"
        return Finding("deployment", "mint", "fail", text, fix, deployment.name)
    if not deployment.ephemeral_keys:
        made = "with the deployment's credential" if deployment.has_credential else "without a credential"
        text = f"{trial.alias}: nothing is minted upstream; a handle keeps the session, a call is made {made}"
        return Finding("deployment", "mint", "ok", text, subject=deployment.name)
    took = (time.perf_counter() - started) * 1000
    text = f"{trial.alias}: a {family.value} key that lives {life.seconds:.0f} s, in {took:.0f} ms"
    return Finding("deployment", "mint", "ok", text, subject=deployment.name)


def _refusal(error: CloakroomError) -> str:
    if isinstance(error, UpstreamError) and error.upstream_status is not None:
        code = f" {error.upstream_code}" if error.upstream_code else ""
        return f"{error.upstream_status}{code}: {error.reason}"
    return error.message


def _fix(error: CloakroomError, place: Place) -> str:
    if isinstance(error, UpstreamUnreachable):
        return FIX_REACH_FIRST
    if isinstance(error, UpstreamTimeout):
        return "try again with a longer --timeout, and look at the provider's status page"
    if isinstance(error, UpstreamError) and error.advice is not None:
        # The sentence of an error message becomes a clause, like every fix.
        return error.advice[0].lower() + error.advice[1:].removesuffix(".")
    return f"check {place('base_url')} and {place('model')}, and the provider's status page"
