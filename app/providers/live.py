"""GPT-Live at OpenAI and Azure: a call is created as JSON with the standard key; no ephemeral keys exist.

Source: the types of OpenAI's Python SDK 3.52 (``openai.types.live``) and its ``client.live``. None of it was
tried against the real services. What the SDK does not tell is kept here, in one place:

- the form of a session's id, taken to be safe in a path, and the codes that say "there is no such session"
  (``_GONE``);
- how long a session may last: an hour at most is assumed, as of a realtime one;
- whether Azure answers alike, under ``/openai/v1/live/sessions``;
- whether a page may be kept from ``error`` and ``info``: both are in the list, so nothing depends on it.

Creating a session is billed at once, and the relay sends an offer again only while no connection was made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from app.errors import InvalidRequest, OutcomeUnknown, UpstreamError
from app.models import Answer, Deployment, Family, MintRequest, Offer, Secret, StandardCall
from app.providers.answers import is_sdp_answer, read_error, read_hangup, read_no_sideband
from app.providers.azure import GA_PATH, resource_origin
from app.providers.base import (
    JSON_TYPE,
    Traits,
    UpstreamRequest,
    UpstreamResponse,
    is_call_id,
    standard_key_header,
)
from app.providers.lacking import MintsNothing
from app.providers.openai import REGIONS, OpenAI
from app.providers.sessions import with_models

_FAMILIES: Final = (Family.LIVE,)
_GONE: Final = frozenset({"call_id_not_found", "session_not_found", "live_session_not_found"})
TRANSPORT: Final = "webrtc"

# What a page may send and see on its data channel where the operator says nothing else: mute, leave, what is
# said, what it has cost, how it ends. Left out: whatever changes the session, puts words into the
# conversation, or tells of the backend's work. Leaving the lists out would allow every event.
PAGE_SENDS: Final = ("session.input_audio.mute", "session.input_audio.unmute", "session.close")
PAGE_SEES: Final = (
    "session.started",
    "session.input_audio.muted",
    "session.input_audio.unmuted",
    "session.input_transcript.delta",
    "session.output_transcript.delta",
    "session.usage.updated",
    "session.closed",
    "error",
    "info",
)
# They repeat the whole session, its instructions too.
TELLS_SESSION: Final = frozenset({"session.started", "session.closed"})


def page_events(*, with_session: bool) -> dict[str, Any]:
    """``session.client`` with the events of a page; ``with_session``: also those that repeat the session."""
    seen = [{"type": name} for name in PAGE_SEES if with_session or name not in TELLS_SESSION]
    return {"data_channel": {"allowed_client_events": list(PAGE_SENDS), "allowed_server_events": seen}}


class OpenAILive(MintsNothing, OpenAI):
    """Keeps the session at the mint, creates the call with it and the offer."""

    traits = Traits(
        mints=False,
        takes_standard_call=True,
        tells_ends=True,
        federates=True,
        regions=REGIONS,
        families=_FAMILIES,
    )

    def kept_call(self, deployment: Deployment, mint: MintRequest) -> StandardCall:
        if mint.family is not Family.LIVE:
            raise InvalidRequest(
                "This model is GPT-Live: set 'session.type' to 'live'.", param="session.type"
            )
        session = with_models(mint.family, mint.session, main=deployment.upstream_model or mint.model)
        # Ours: Live's session names no type.
        session.pop("type", None)
        named = session.get("safety_identifier")
        if named is not None and not isinstance(named, str):
            raise InvalidRequest(
                "'session.safety_identifier' must be a string.", param="session.safety_identifier"
            )
        try:
            body = orjson.dumps(session)
        except orjson.JSONEncodeError:
            raise InvalidRequest("'session' is nested too deeply.", param="session") from None
        return StandardCall(session=body, safety_identifier=mint.safety_identifier, model=session["model"])

    def standard_call_request(
        self, deployment: Deployment, call: StandardCall, offer: Offer
    ) -> UpstreamRequest:
        session = orjson.loads(call.session)
        if call.safety_identifier is not None and session.get("safety_identifier") is None:
            session["safety_identifier"] = call.safety_identifier
        transport = {"type": TRANSPORT, "sdp": offer.sdp.decode()}
        return UpstreamRequest(
            url=f"{deployment.base_url}/live/sessions",
            headers={**self.credential(deployment), "Content-Type": JSON_TYPE, "Accept": JSON_TYPE},
            body=orjson.dumps({"session": session, "transport": transport}),
        )

    def read_answer(self, deployment: Deployment, key: Secret | None, response: UpstreamResponse) -> Answer:
        if not 200 <= response.status <= 299:
            raise read_error(deployment, response, operation="call", secrets=deployment.held_secrets())
        call_id, sdp = _created(response)
        held = [secret.reveal().encode() for secret in deployment.held_secrets()]
        if not is_sdp_answer(sdp) or any(secret in sdp for secret in held):
            raise OutcomeUnknown(
                "The provider accepted the offer, but its answer is no SDP. A call may exist: do not resend "
                "it.",
                call_id=call_id,
            )
        if call_id is None:
            # It could never be ended, and its time is billed.
            raise OutcomeUnknown(
                "The provider accepted the offer, but its answer names no session. A call may exist: do not "
                "resend it."
            )
        return Answer(sdp=sdp, call_id=call_id)

    def hangup_url(self, deployment: Deployment, call_id: str) -> str:
        return f"{deployment.base_url}/live/sessions/{call_id}/hangup"

    def read_hangup(self, deployment: Deployment, response: UpstreamResponse) -> bool:
        return read_hangup(deployment, response, gone=_GONE)

    def sideband_request(self, deployment: Deployment, call_id: str) -> UpstreamRequest:
        # With graceful_close the provider says how the session ended before it closes the socket.
        base = f"ws{deployment.base_url.removeprefix('http')}"
        return UpstreamRequest(
            url=f"{base}/live/sessions/{call_id}/attach?graceful_close=true",
            headers=self.credential(deployment),
            body=b"",
        )

    def read_no_sideband(self, deployment: Deployment, response: UpstreamResponse) -> UpstreamError | None:
        return read_no_sideband(deployment, response, gone=_GONE)


class AzureLive(OpenAILive):
    """The same under ``/openai/v1``, with the endpoint's form and the key's header of Azure."""

    traits = Traits(is_azure=True, mints=False, takes_standard_call=True, families=_FAMILIES)

    def base_url(self, pasted: str | None) -> str:
        return resource_origin(pasted) + GA_PATH

    def credential(self, deployment: Deployment) -> Mapping[str, str]:
        return standard_key_header(deployment, key_header="api-key")


def _created(response: UpstreamResponse) -> tuple[str | None, bytes]:
    """The id and the SDP of ``{session: {id}, transport: {type, sdp}}``; None and nothing where missing."""
    try:
        body = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        return None, b""
    session, transport = (_object(body, name) for name in ("session", "transport"))
    call_id, sdp = session.get("id"), transport.get("sdp")
    named = call_id if isinstance(call_id, str) and is_call_id(call_id) else None
    if not isinstance(sdp, str) or transport.get("type", TRANSPORT) != TRANSPORT:
        return named, b""
    return named, sdp.encode("utf-8", "replace")


def _object(fields: Any, name: str) -> Mapping[str, Any]:
    value = fields.get(name) if isinstance(fields, dict) else None
    return value if isinstance(value, dict) else {}
