"""Azure Voice Live: an offer goes over the provider's WebSocket, and nothing is minted.

Source: Microsoft's guide "Voice Live API with WebRTC" of April 2026, and the types of its SDKs for .NET and
JavaScript, which have the call's id. The session has the flat form of the beta.

The socket stays open after the answer, says the guide, and programs in the field hang up by closing it. There
is no other hang-up. So the socket is held while the call lasts, and closed to end it.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

import orjson

from app.errors import InvalidRequest, OutcomeUnknown
from app.models import Answer, Deployment, Family, MintRequest, Offer, Secret, StandardCall
from app.providers.answers import is_sdp_answer, read_error, read_hangup
from app.providers.azure import flat_session, resource_origin
from app.providers.base import (
    Exchange,
    Traits,
    UpstreamRequest,
    UpstreamResponse,
    is_call_id,
    standard_key_header,
)
from app.providers.lacking import MintsNothing, NoSideband
from app.providers.openai import mint_session

PATH: Final = "/voice-live/realtime/calls"
DEFAULT_API_VERSION: Final = "2026-01-01-preview"
_CREATED: Final = "rtc.call.sdp.created"
# ``error`` is about the session. Whether an answer may follow it is not said; the socket is closed at once.
EXCHANGE: Final = Exchange(
    answered_by=frozenset({_CREATED}),
    refused_by=frozenset({"rtc.call.error", "error"}),
    sdp_field="sdp_answer",
    call_field="rtc_call_id",
)
_EXCHANGED: Final = 101
# ``error.type`` is one of two words; there is no status.
_STATUS_OF: Final = {"invalid_request_error": 400}


class AzureVoiceLive(MintsNothing, NoSideband):
    """Keeps the session under the handle, and creates the call with the resource's key or an Entra token."""

    name = "Azure Voice Live"
    traits = Traits(
        is_azure=True,
        mints=False,
        takes_api_version=True,
        holds_socket=True,
        data_channel="voice-live-events",
        families=(Family.REALTIME,),
    )

    def base_url(self, pasted: str | None) -> str:
        origin = resource_origin(pasted)
        if origin.endswith(".openai.azure.com"):
            name = origin.partition("://")[2].partition(".")[0]
            raise ValueError(
                f"base_url must be the resource's endpoint for Voice Live: https://{name}.services.ai.azure.com"
            )
        return origin

    def kept_call(self, deployment: Deployment, mint: MintRequest) -> StandardCall:
        # Kept in the form of the mint, which its answer shows. What cannot be made flat is refused now.
        session = mint_session(deployment, mint)
        flat_session(session)
        try:
            kept = orjson.dumps(session)
        except orjson.JSONEncodeError:
            raise InvalidRequest("'session' is nested too deeply.", param="session") from None
        return StandardCall(kept, None, deployment.upstream_model or mint.model)

    def standard_call_request(
        self, deployment: Deployment, call: StandardCall, offer: Offer
    ) -> UpstreamRequest:
        # The query names the model.
        session = flat_session(orjson.loads(call.session))
        session.pop("model", None)
        version = quote(deployment.api_version or DEFAULT_API_VERSION, safe="")
        message = {"type": "rtc.call.sdp.create", "sdp_offer": offer.sdp.decode(), "session": session}
        origin = deployment.base_url.removeprefix("http")
        return UpstreamRequest(
            url=f"ws{origin}{PATH}?api-version={version}&model={quote(call.model, safe='')}",
            headers=standard_key_header(deployment, key_header="api-key"),
            body=orjson.dumps(message),
            exchange=EXCHANGE,
        )

    def read_answer(self, deployment: Deployment, key: Secret | None, response: UpstreamResponse) -> Answer:
        secrets = deployment.held_secrets()
        if response.status != _EXCHANGED:
            # The handshake's refusal: nothing of the offer was sent.
            raise read_error(deployment, response, operation="call", secrets=secrets)
        event: dict[str, Any] = orjson.loads(response.body)
        if event["type"] != _CREATED:
            raise read_error(deployment, _as_answer(event), operation="call", secrets=secrets)
        named, sdp = event.get(EXCHANGE.call_field), event.get(EXCHANGE.sdp_field)
        call_id = named if isinstance(named, str) and is_call_id(named) else None
        answer = sdp.encode(errors="replace") if isinstance(sdp, str) else b""
        if not is_sdp_answer(answer) or any(secret.reveal().encode() in answer for secret in secrets):
            raise OutcomeUnknown(
                "The provider accepted the offer, but its answer is no SDP. A call may exist: do not resend "
                "it.",
                call_id=call_id,
            )
        return Answer(sdp=answer, call_id=call_id)

    def hangup_request(self, deployment: Deployment, call_id: str) -> UpstreamRequest:
        # Not reached: its calls end with their sockets (``traits.holds_socket``).
        raise InvalidRequest("A call at Azure Voice Live ends with its socket.", param="call_id")

    def read_hangup(self, deployment: Deployment, response: UpstreamResponse) -> bool:
        return read_hangup(deployment, response)


def _as_answer(event: dict[str, Any]) -> UpstreamResponse:
    """The refusal as an HTTP answer would have it: one that blames the request is a 400, any other a 500."""
    error = event.get("error")
    error = error if isinstance(error, dict) else {}
    status = _STATUS_OF.get(str(error.get("type")), 500)
    return UpstreamResponse(status, {}, orjson.dumps({"error": error}))
