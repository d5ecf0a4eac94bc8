"""Azure OpenAI, preview (contracts, section 3): older resources that do not serve the GA paths.

Minting and relaying go to different hosts: the resource mints, and its region's WebRTC front end takes the
offer. Nothing of it is guessed from a resource's name or date: the deployment's settings say it all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import orjson

from app.errors import InvalidRequest, UpstreamError
from app.models import Answer, Deployment, EphemeralKey, Family, MintRequest, Offer, Secret
from app.providers.azure import resource_origin
from app.providers.base import (
    JSON_TYPE,
    SDP_TYPE,
    UpstreamRequest,
    UpstreamResponse,
    http_url,
    is_key,
    read_error,
    read_sdp_answer,
    standard_key_header,
)
from app.providers.beta import flat_session
from app.providers.hangup import read_hangup

# Microsoft's guide of April 2025: "The ephemeral API key is valid for one minute."
KEY_SECONDS: Final = 60
DEFAULT_API_VERSION: Final = "2025-04-01-preview"
RTC_PATH: Final = "/v1/realtimertc"
REGIONS: Final[Mapping[str, str]] = {
    name: f"https://{name}.realtimeapi-preview.ai.azure.com{RTC_PATH}"
    for name in ("eastus2", "swedencentral")
}


def webrtc_url(pasted: str) -> str:
    """The URL that offers go to, from the whole of it or from its origin.

    Raises:
        ValueError: it is no such URL; says what is expected.
    """
    parts = http_url(pasted.strip())
    if parts is None or parts.query or parts.fragment or parts.path.rstrip("/") not in ("", RTC_PATH):
        raise ValueError(f"webrtc_url must look like {REGIONS['eastus2']}")
    return f"{parts.scheme}://{parts.netloc.lower()}{RTC_PATH}"


class AzurePreview:
    """Mints a beta session at the resource, relays to the region."""

    def base_url(self, pasted: str | None) -> str:
        return resource_origin(pasted)

    def mint_request(self, deployment: Deployment, mint: MintRequest) -> UpstreamRequest:
        if mint.family is not Family.REALTIME:
            raise UpstreamError(
                f"Deployment '{deployment.name}' is an azure-preview, which serves realtime sessions only.",
                upstream_status=400,
            )
        # A wanted life is not passed on: the preview takes none, and ``expires_at`` tells what came of it.
        session = {**flat_session(mint.session), "model": deployment.upstream_model or mint.model}
        try:
            body = orjson.dumps(session)
        except orjson.JSONEncodeError:
            raise InvalidRequest("'session' is nested too deeply.", param="session") from None
        version = quote(deployment.api_version or DEFAULT_API_VERSION, safe="")
        return UpstreamRequest(
            url=f"{deployment.base_url}/openai/realtimeapi/sessions?api-version={version}",
            headers={
                **standard_key_header(deployment, key_header="api-key"),
                "Content-Type": JSON_TYPE,
                "Accept": JSON_TYPE,
            },
            body=body,
        )

    def read_mint(self, deployment: Deployment, response: UpstreamResponse) -> EphemeralKey:
        if response.status not in (200, 201):
            raise read_error(deployment, response, operation="mint", secrets=deployment.held_secrets())
        try:
            body = orjson.loads(response.body)
        except orjson.JSONDecodeError:
            body = None
        secret = body.get("client_secret") if isinstance(body, dict) else None
        if not isinstance(body, dict) or not isinstance(secret, dict) or not is_key(secret.get("value")):
            raise UpstreamError("The provider's answer to the mint holds no usable key.")
        expires_at = secret.get("expires_at")
        if expires_at is not None and type(expires_at) is not int:
            raise UpstreamError("The provider's answer to the mint holds no usable expires_at.")
        session: dict[str, Any] = body
        return EphemeralKey(Secret(secret["value"]), expires_at, session, seconds=KEY_SECONDS)

    def relay_request(self, deployment: Deployment, key: Secret, offer: Offer) -> UpstreamRequest:
        model = quote(deployment.upstream_model or "", safe="")
        return UpstreamRequest(
            url=f"{deployment.webrtc_url}?model={model}",
            headers={"Authorization": f"Bearer {key.reveal()}", "Content-Type": SDP_TYPE, "Accept": SDP_TYPE},
            body=offer.sdp,
        )

    def read_answer(self, deployment: Deployment, key: Secret, response: UpstreamResponse) -> Answer:
        # 200 or 201, with or without Location: which of them is not verified.
        return read_sdp_answer(deployment, key, response)

    def hangup_request(self, deployment: Deployment, call_id: str) -> UpstreamRequest:
        # Microsoft's guide of April 2025 names none, and to guess a path would be to promise it.
        raise InvalidRequest(
            "This call runs on Azure's preview, which cannot hang up. Close the browser's peer connection.",
            param="call_id",
        )

    def read_hangup(self, deployment: Deployment, response: UpstreamResponse) -> bool:
        return read_hangup(deployment, response)
