"""Which mints share keys: those for which the provider would be asked the same. Pure.

What belongs to the caller is on our handle's record alone, so callers with equal sessions share a shape. A
shape is a proof: nothing of a session may stand in the store in clear, nor be found out by trying.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from app.broker.routing.attempts import Candidate
from app.handles.sealing import Sealer
from app.models import MintRequest

_PURPOSE = "pool-shape"


def shape_of(sealer: Sealer, request: MintRequest, candidates: Sequence[Candidate]) -> str | None:
    """The shape of a mint; None where what the provider is asked depends on the caller, or it mints no keys.

    ``request`` is the caller's; the candidates have it as each deployment is to get it.
    """
    if request.seconds is not None or request.nested_model is not None:
        return None
    places = []
    for candidate in candidates:
        deployment = candidate.deployment
        if not deployment.ephemeral_keys or candidate.request.safety_identifier is not None:
            return None
        # A name may lead elsewhere after a change of the settings.
        places.append([deployment.name, deployment.base_url, deployment.upstream_model, deployment.call_key])
    if not places:
        return None
    places.sort(key=lambda place: str(place[0]))
    asked = candidates[0].request
    try:
        text = orjson.dumps([asked.model, asked.family, places, asked.session], option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        return None  # nested too deeply, which the mint will say
    return sealer.prove(_PURPOSE, request.model, text.decode())


def pooled(candidates: Sequence[Candidate], *, seconds: int) -> list[Candidate]:
    """The candidates as the pool asks them: without anything of the caller, for keys that live so long."""
    return [
        Candidate(
            one.deployment,
            MintRequest(one.request.model, one.request.family, one.request.session, seconds=seconds),
        )
        for one in candidates
    ]
