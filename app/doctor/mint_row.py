"""The row of one trial mint: the life of the key, or the refusal in a sentence with what to change."""

from __future__ import annotations

import time

from app.doctor.deployment_rows import Place
from app.doctor.finding import Finding
from app.doctor.mint_trial import MintTrials, Trial
from app.errors import CloakroomError, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from app.models import Deployment


async def mint_finding(mints: MintTrials, deployment: Deployment, trial: Trial, place: Place) -> Finding:
    """Mint once, and say what came of it. The key is gone when this returns."""
    started = time.perf_counter()
    try:
        family, life = await mints.mint(deployment, trial)
    except CloakroomError as error:
        text = f"{trial.alias}: {_refusal(error)}"
        return Finding("deployment", "mint", "fail", text, _mend(error, place), deployment.name)
    took = (time.perf_counter() - started) * 1000
    text = f"{trial.alias}: a {family.value} key that lives {life.seconds:.0f} s, in {took:.0f} ms"
    return Finding("deployment", "mint", "ok", text, subject=deployment.name)


def _refusal(error: CloakroomError) -> str:
    if isinstance(error, UpstreamError) and error.upstream_status is not None:
        code = f" {error.upstream_code}" if error.upstream_code else ""
        return f"{error.upstream_status}{code}: {error.reason}"
    return error.message


def _mend(error: CloakroomError, place: Place) -> str:
    if isinstance(error, UpstreamUnreachable):
        return "mend the row 'reach' first"
    if isinstance(error, UpstreamTimeout):
        return "try again with a longer --timeout, and look at the provider's status page"
    if isinstance(error, UpstreamError) and error.advice is not None:
        # A sentence of an error message becomes a clause like every other fix.
        return error.advice[0].lower() + error.advice[1:].removesuffix(".")
    return f"check {place('base_url')} and {place('model')}, and the provider's status page"
