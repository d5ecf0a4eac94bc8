"""Qwen-Omni at Alibaba Cloud Model Studio: temporary keys are minted, and offers go to the workspace's host.

A temporary key has every right of the key that minted it, and the paths answer no CORS: so it stays here, and
the browser gets a handle. Neither the mint nor the offer takes a session. A page sends it itself, in a
``session.update`` over the data channel; so what an operator locks could not be held, and is refused.

Sources: Model Studio's "Generate a temporary API key" and "Qwen-Omni-Realtime: access over WebRTC", November
2026. Not verified: whether a temporary key opens a call, and whether an answer has a ``Location``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

import orjson

from app.errors import InvalidRequest, UpstreamError
from app.models import Answer, Deployment, EphemeralKey, Family, MintRequest, Offer, Secret, StandardCall
from app.providers.answers import is_key, read_error, read_sdp_answer
from app.providers.base import (
    JSON_TYPE,
    SDP_TYPE,
    Traits,
    UpstreamRequest,
    UpstreamResponse,
    http_url,
    standard_key_header,
)
from app.providers.lacking import NoHangup, NoSideband
from app.providers.sessions import refuse_session

# "Set a custom time-to-live between 1 and 1,800 seconds"; 60 where none is asked for.
LONGEST_KEY_SECONDS: Final = 1800
KEY_SECONDS: Final = 60
_EXAMPLE: Final = "https://WORKSPACE.ap-southeast-1.maas.aliyuncs.com"


class Qwen(NoHangup, NoSideband):
    """Mints at ``base_url``, and presents offers at the same host unless ``webrtc_url`` is another."""

    name = "Qwen-Omni"
    traits = Traits(takes_standard_call=True, takes_session=False, needs_model=True, may_split_hosts=True)

    def base_url(self, pasted: str | None) -> str:
        return _origin(pasted, "base_url")

    def webrtc_url(self, pasted: str) -> str:
        """As ``SplitsHosts``."""
        return _origin(pasted, "webrtc_url")

    def mint_request(self, deployment: Deployment, mint: MintRequest) -> UpstreamRequest:
        _check(deployment, mint)
        seconds = mint.seconds
        if seconds is not None and seconds > LONGEST_KEY_SECONDS:
            raise InvalidRequest(
                f"'expires_after.seconds' must be at most {LONGEST_KEY_SECONDS} for this model: its provider "
                "makes no key that lives longer.",
                param="expires_after.seconds",
            )
        query = f"?{urlencode({'expire_in_seconds': seconds})}" if seconds is not None else ""
        return UpstreamRequest(
            url=f"{deployment.base_url}/api/v1/tokens{query}",
            headers={**standard_key_header(deployment), "Accept": JSON_TYPE},
            body=b"",
        )

    def read_mint(self, deployment: Deployment, response: UpstreamResponse) -> EphemeralKey:
        if response.status not in (200, 201):
            raise read_error(deployment, response, operation="mint", secrets=deployment.held_secrets())
        try:
            body = orjson.loads(response.body)
        except orjson.JSONDecodeError:
            body = None
        if not isinstance(body, dict) or not is_key(body.get("token")):
            raise UpstreamError("The provider's answer to the mint holds no usable key.")
        expires_at = body.get("expires_at")
        if expires_at is not None and type(expires_at) is not int:
            raise UpstreamError("The provider's answer to the mint holds no usable expires_at.")
        session = _session(deployment.upstream_model or "")
        return EphemeralKey(Secret(body["token"]), expires_at, session, seconds=KEY_SECONDS)

    def relay_request(self, deployment: Deployment, key: Secret, offer: Offer) -> UpstreamRequest:
        return _call(deployment, {"Authorization": f"Bearer {key.reveal()}"}, offer)

    def kept_call(self, deployment: Deployment, mint: MintRequest) -> StandardCall:
        _check(deployment, mint)
        model = deployment.upstream_model or mint.model
        return StandardCall(orjson.dumps(_session(model)), mint.safety_identifier, model)

    def standard_call_request(
        self, deployment: Deployment, call: StandardCall, offer: Offer
    ) -> UpstreamRequest:
        return _call(deployment, standard_key_header(deployment), offer)

    def read_answer(self, deployment: Deployment, key: Secret | None, response: UpstreamResponse) -> Answer:
        return read_sdp_answer(deployment, key, response)


def _origin(pasted: str | None, field: str) -> str:
    """Keep the origin: documents print the host with a dozen paths, and as ``wss``."""
    text = (pasted or "").strip()
    if text.startswith("wss://"):
        text = f"https{text.removeprefix('wss')}"
    parts = http_url(text if "://" in text else f"https://{text}")
    if parts is None or not text:
        raise ValueError(f"{field} must be the workspace's host, such as {_EXAMPLE}")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _check(deployment: Deployment, mint: MintRequest) -> None:
    """Refuse what no request could carry."""
    if mint.family is not Family.REALTIME:
        raise UpstreamError(
            f"Deployment '{deployment.name}' is Qwen-Omni, which serves realtime sessions only.",
            upstream=(400, None),
        )
    refuse_session("Qwen-Omni", mint.session)


def _session(model: str) -> Mapping[str, Any]:
    return {"type": Family.REALTIME.value, "model": model}


def _call(deployment: Deployment, credential: Mapping[str, str], offer: Offer) -> UpstreamRequest:
    model = quote(deployment.upstream_model or "", safe="")
    return UpstreamRequest(
        url=f"{deployment.webrtc_url or deployment.base_url}/api/v1/webrtc/realtime?model={model}",
        headers={**credential, "Content-Type": SDP_TYPE, "Accept": SDP_TYPE},
        body=offer.sdp,
    )
