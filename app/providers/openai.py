"""OpenAI, generally available, and every API that keeps its paths (contracts, sections 1 and 5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from app.errors import InvalidRequest
from app.models import Answer, Deployment, EphemeralKey, Family, MintRequest, Offer, Secret
from app.providers.base import (
    JSON_TYPE,
    SDP_TYPE,
    UpstreamRequest,
    UpstreamResponse,
    http_url,
    read_ephemeral_key,
    read_sdp_answer,
    standard_key_header,
)
from app.providers.hangup import read_hangup
from app.providers.sessions import with_models

DEFAULT_BASE_URL: Final = "https://api.openai.com/v1"


class OpenAI:
    """Mints with the standard key as a bearer token, relays the raw offer with the ephemeral key."""

    def base_url(self, pasted: str | None) -> str:
        if pasted is None:
            return DEFAULT_BASE_URL
        parts = http_url(pasted.strip())
        if parts is None or parts.query or parts.fragment:
            raise ValueError(
                "base_url must look like https://api.openai.com/v1, without user, query or fragment"
            )
        return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"

    def mint_request(self, deployment: Deployment, mint: MintRequest) -> UpstreamRequest:
        try:
            body = orjson.dumps(mint_body(deployment, mint))
        except orjson.JSONEncodeError:
            # It reads 1024 levels and writes 254.
            raise InvalidRequest("'session' is nested too deeply.", param="session") from None
        return UpstreamRequest(
            url=f"{deployment.base_url}/realtime/{_branch(mint.family is Family.TRANSLATION)}client_secrets",
            headers={
                **self.credential(deployment),
                **safety_header(mint.safety_identifier),
                "Content-Type": JSON_TYPE,
                "Accept": JSON_TYPE,
            },
            body=body,
        )

    def read_mint(self, deployment: Deployment, response: UpstreamResponse) -> EphemeralKey:
        return read_ephemeral_key(deployment, response)

    def relay_request(self, deployment: Deployment, key: Secret, offer: Offer) -> UpstreamRequest:
        return UpstreamRequest(
            url=f"{deployment.base_url}/realtime/{_branch(offer.translation)}calls",
            headers={"Authorization": f"Bearer {key.reveal()}", "Content-Type": SDP_TYPE, "Accept": SDP_TYPE},
            body=offer.sdp,
        )

    def read_answer(self, deployment: Deployment, key: Secret, response: UpstreamResponse) -> Answer:
        return read_sdp_answer(deployment, key, response)

    def hangup_request(self, deployment: Deployment, call_id: str) -> UpstreamRequest:
        return UpstreamRequest(
            url=f"{deployment.base_url}/realtime/calls/{call_id}/hangup",
            # A type without a body, as OpenAI's own SDK sends it.
            headers={**self.credential(deployment), "Content-Type": JSON_TYPE, "Accept": JSON_TYPE},
            body=b"",
        )

    def read_hangup(self, deployment: Deployment, response: UpstreamResponse) -> bool:
        return read_hangup(deployment, response)

    def credential(self, deployment: Deployment) -> Mapping[str, str]:
        """The header that carries the deployment's standard key."""
        return standard_key_header(deployment)


def safety_header(identifier: str | None) -> dict[str, str]:
    """``OpenAI-Safety-Identifier``, where the caller or the operator wants one sent."""
    return {"OpenAI-Safety-Identifier": identifier} if identifier is not None else {}


def _branch(translation: bool) -> str:
    return "translations/" if translation else ""


def mint_body(deployment: Deployment, mint: MintRequest) -> dict[str, Any]:
    """``{session, expires_after?}``: the caller's session with the model under the provider's name."""
    session = with_models(mint.family, mint.session, main=deployment.upstream_model or mint.model)
    # Translations have paths of their own, and no type.
    if mint.family is not Family.TRANSLATION:
        session["type"] = mint.family.value
    if mint.seconds is None:
        return {"session": session}
    return {"expires_after": {"anchor": "created_at", "seconds": mint.seconds}, "session": session}
