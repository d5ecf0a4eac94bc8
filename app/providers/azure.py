"""Azure OpenAI: the generally available paths, and the preview (Microsoft's guide "Realtime via WebRTC").

The GA surface refuses ``api-version`` in any form, wants ``session.type``, and takes the deployment's name
where OpenAI takes the model's. In the preview, minting and relaying go to different hosts: the resource
mints, and its region's WebRTC front end takes the offer. Nothing of that is guessed from a resource's name
or date; the deployment's settings decide.

The preview takes sessions in the flat form of the beta. Source: OpenAI's migration guide from the beta to
GA, read backwards. Fields that are the same in both, and unknown fields, pass through untouched: the
provider refuses what it does not take, and nothing that an operator pinned is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

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
from app.providers.openai import OpenAI

GA_PATH: Final = "/openai/v1"
# Keeps instructions and tool calls off the browser's data channel.
FILTER_QUERY: Final = "?webrtcfilter=on"

# Microsoft's guide of April 2025: "The ephemeral API key is valid for one minute."
KEY_SECONDS: Final = 60
DEFAULT_API_VERSION: Final = "2025-04-01-preview"
RTC_PATH: Final = "/v1/realtimertc"
REGIONS: Final[Mapping[str, str]] = {
    name: f"https://{name}.realtimeapi-preview.ai.azure.com{RTC_PATH}"
    for name in ("eastus2", "swedencentral")
}

_KEYS_ONLY: Final = "Azure's preview takes offers with ephemeral keys only."

_RENAMED: Final[Mapping[str, str]] = {
    "max_output_tokens": "max_response_output_tokens",
    "output_modalities": "modalities",
}
_INPUT: Final[Mapping[str, str]] = {
    "format": "input_audio_format",
    "transcription": "input_audio_transcription",
    "noise_reduction": "input_audio_noise_reduction",
    "turn_detection": "turn_detection",
}
_OUTPUT: Final[Mapping[str, str]] = {"format": "output_audio_format", "voice": "voice", "speed": "speed"}
_FORMATS: Final[Mapping[str, str]] = {
    "audio/pcm": "pcm16",
    "audio/pcmu": "g711_ulaw",
    "audio/pcma": "g711_alaw",
}


class Azure(OpenAI):
    """OpenAI's contract under ``/openai/v1``, with the endpoint's form and the key's header of Azure."""

    traits = Traits(is_azure=True, takes_filter=True)

    def base_url(self, pasted: str | None) -> str:
        return resource_origin(pasted) + GA_PATH

    def relay_request(self, deployment: Deployment, key: Secret, offer: Offer) -> UpstreamRequest:
        request = super().relay_request(deployment, key, offer)
        return replace(request, url=request.url + FILTER_QUERY) if deployment.webrtc_filter else request

    def credential(self, deployment: Deployment) -> Mapping[str, str]:
        return standard_key_header(deployment, key_header="api-key")


def webrtc_url(pasted: str) -> str:
    """The URL that offers go to, from the whole of it or from its origin.

    Raises:
        ValueError: it is no such URL; says what is expected.
    """
    parts = http_url(pasted.strip())
    if parts is None or parts.query or parts.fragment or parts.path.rstrip("/") not in ("", RTC_PATH):
        raise ValueError(f"webrtc_url must look like {REGIONS['eastus2']}")
    return f"{parts.scheme}://{parts.netloc.lower()}{RTC_PATH}"


class AzurePreview(NoHangup, NoSideband):
    """Mints a beta session at the resource, relays to the region."""

    name = "Azure's preview"
    traits = Traits(is_azure=True, regions=REGIONS, has_front_end=True, takes_api_version=True)

    def base_url(self, pasted: str | None) -> str:
        return resource_origin(pasted)

    def webrtc_url(self, pasted: str) -> str:
        """As ``SplitsHosts``."""
        return webrtc_url(pasted)

    def mint_request(self, deployment: Deployment, mint: MintRequest) -> UpstreamRequest:
        if mint.family is not Family.REALTIME:
            raise UpstreamError(
                f"Deployment '{deployment.name}' is an azure-preview, which serves realtime sessions only.",
                upstream=(400, None),
            )
        # The preview takes no wanted life, so none is sent; ``expires_at`` tells the real one.
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

    def kept_call(self, deployment: Deployment, mint: MintRequest) -> StandardCall:
        raise InvalidRequest(_KEYS_ONLY)

    def standard_call_request(
        self, deployment: Deployment, call: StandardCall, offer: Offer
    ) -> UpstreamRequest:
        raise InvalidRequest(_KEYS_ONLY)

    def read_answer(self, deployment: Deployment, key: Secret | None, response: UpstreamResponse) -> Answer:
        # Whether it is 200 or 201, with or without Location, is not verified.
        return read_sdp_answer(deployment, key, response)


def resource_origin(pasted: str | None) -> str:
    """Keep the origin, drop every path and query: portals and samples print a dozen forms of both.

    Raises:
        ValueError: it is no endpoint.
    """
    text = (pasted or "").strip()
    parts = http_url(text if "://" in text else f"https://{text}")
    if parts is None:
        raise ValueError("base_url must be the endpoint of the Azure resource, https://NAME.openai.azure.com")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def flat_session(session: Mapping[str, Any]) -> dict[str, Any]:
    """Return the session without ``type`` and with ``audio`` spread out.

    Raises:
        InvalidRequest: a field stands there in both forms and they differ. Neither may win: one of them can
            be what an operator locked.
    """
    flat: dict[str, Any] = {}
    for name, value in session.items():
        if name == "type":
            continue
        spread = name == "audio" and isinstance(value, Mapping)
        fields = _spread(value) if spread else {_RENAMED.get(name, name): value}
        for flat_name, flat_value in fields.items():
            if flat.setdefault(flat_name, flat_value) != flat_value:
                raise InvalidRequest(
                    f"'{flat_name}' stands in the session twice, in the form of the beta and in today's, and "
                    "they differ.",
                    param=f"session.{flat_name}",
                )
    # The beta has no voice without its transcript; GA's ["audio"] means both.
    if flat.get("modalities") == ["audio"]:
        flat["modalities"] = ["audio", "text"]
    return flat


def _spread(audio: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for side, names in (("input", _INPUT), ("output", _OUTPUT)):
        fields = audio.get(side)
        if not isinstance(fields, Mapping):
            continue
        for name, value in fields.items():
            # An unknown field keeps its side, so that the provider's complaint tells it.
            flat[names.get(name, f"{side}_audio_{name}")] = _format(value) if name == "format" else value
    return flat


def _format(value: Any) -> Any:
    return _FORMATS.get(str(value.get("type")), value) if isinstance(value, Mapping) else value
