"""LocalAI, and Hugging Face's speech-to-speech: servers that their users run themselves.

Both keep OpenAI's path for calls and mint no keys. Neither takes a session with the offer: LocalAI takes the
name of a model, speech-to-speech not even that. A page sends the rest itself, in a ``session.update`` over
the data channel. So a mint that asks for more is refused: what an operator locked would be lost in silence.

Sources: ``realtime_webrtc.go`` and ``auth/middleware.go`` of LocalAI, and ``websocket_router.py`` of
speech-to-speech, read in November 2026.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Final
from urllib.parse import quote

import orjson

from app.errors import UpstreamError
from app.models import Answer, Deployment, Family, MintRequest, Offer, Secret, StandardCall
from app.providers.answers import read_error, read_sdp_answer, retry_seconds
from app.providers.base import (
    SDP_TYPE,
    Traits,
    UpstreamRequest,
    UpstreamResponse,
    http_url,
    standard_key_header,
)
from app.providers.lacking import MintsNothing, NoHangup, NoSideband
from app.providers.sessions import refuse_session

_TRAITS: Final = Traits(mints=False, needs_credential=False, takes_session=False)
_FULL: Final = "session_limit_reached"
# speech-to-speech does not say when a slot will be free.
_FULL_SECONDS: Final = 5
_UNKNOWN_CALL: Final = b"Unknown call"


class _SelfHosted(MintsNothing, NoSideband, ABC):
    """What both have in common."""

    traits = _TRAITS
    # Where it listens, for an example.
    host: ClassVar[str]

    def base_url(self, pasted: str | None) -> str:
        parts = http_url((pasted or "").strip())
        if parts is None or parts.query or parts.fragment:
            raise ValueError(f"base_url must be the address of {self.name}, such as http://{self.host}/v1")
        path = parts.path.rstrip("/")
        # The server's address alone, as its log prints it, will do.
        return f"{parts.scheme}://{parts.netloc}{path if path.endswith('/v1') else path + '/v1'}"

    def kept_call(self, deployment: Deployment, mint: MintRequest) -> StandardCall:
        if mint.family is not Family.REALTIME:
            raise UpstreamError(
                f"Deployment '{deployment.name}' is {self.name}, which serves realtime sessions only.",
                upstream=(400, None),
            )
        refuse_session(self.name, mint.session)
        model = deployment.upstream_model or mint.model
        session = {"type": Family.REALTIME.value, "model": model}
        return StandardCall(orjson.dumps(session), mint.safety_identifier, model)

    @abstractmethod
    def calls_url(self, deployment: Deployment, call: StandardCall) -> str:
        """Where the offer goes."""

    def standard_call_request(
        self, deployment: Deployment, call: StandardCall, offer: Offer
    ) -> UpstreamRequest:
        return UpstreamRequest(
            url=self.calls_url(deployment, call),
            headers={**standard_key_header(deployment), "Content-Type": SDP_TYPE, "Accept": SDP_TYPE},
            body=offer.sdp,
        )

    def read_answer(self, deployment: Deployment, key: Secret | None, response: UpstreamResponse) -> Answer:
        return read_sdp_answer(deployment, key, _readable(response))


class LocalAI(NoHangup, _SelfHosted):
    """It names no call, so that none can be hung up."""

    name, host = "LocalAI", "localai:8080"

    def calls_url(self, deployment: Deployment, call: StandardCall) -> str:
        return f"{deployment.base_url}/realtime/calls?model={quote(call.model, safe='')}"


class SpeechToSpeech(_SelfHosted):
    """It serves one call for each of its pipelines, and hangs up by ``DELETE``."""

    name, host = "speech-to-speech", "speech:8765"

    def calls_url(self, deployment: Deployment, call: StandardCall) -> str:
        return f"{deployment.base_url}/realtime/calls"

    def read_answer(self, deployment: Deployment, key: Secret | None, response: UpstreamResponse) -> Answer:
        if response.status == 503 and _refusal(response).get("type") == _FULL:
            raise UpstreamError(
                "All session slots of the server are in use.",
                upstream=(503, _FULL),
                retry_after=retry_seconds(response.headers.get("Retry-After")) or _FULL_SECONDS,
                advice="Make a new offer when a call is over, or let the server have more slots.",
            )
        return super().read_answer(deployment, key, response)

    def hangup_request(self, deployment: Deployment, call_id: str) -> UpstreamRequest:
        return UpstreamRequest(
            url=f"{deployment.base_url}/realtime/calls/{call_id}",
            headers=standard_key_header(deployment),
            body=b"",
            method="DELETE",
        )

    def read_hangup(self, deployment: Deployment, response: UpstreamResponse) -> bool:
        if 200 <= response.status <= 299:
            return True
        if response.status == 404 and response.body.strip() == _UNKNOWN_CALL:
            return False
        secrets = deployment.held_secrets()
        raise read_error(deployment, _readable(response), operation="hangup", secrets=secrets)


def _readable(response: UpstreamResponse) -> UpstreamResponse:
    """A refusal in OpenAI's form: LocalAI's ``error`` is a sentence, speech-to-speech sends plain text.

    A path that speech-to-speech does not have is FastAPI's refusal, with ``detail``.
    """
    if not 400 <= response.status <= 599:
        return response
    body = _json(response)
    text = body.get("error", body.get("detail"))
    if text is None and response.headers.get("Content-Type", "").startswith("text/plain"):
        text = response.body.decode("utf-8", "replace")
    if not isinstance(text, str):
        return response
    return replace(response, body=orjson.dumps({"error": {"message": text}}))


def _refusal(response: UpstreamResponse) -> Mapping[str, Any]:
    error = _json(response).get("error")
    return error if isinstance(error, dict) else {}


def _json(response: UpstreamResponse) -> Mapping[str, Any]:
    try:
        body = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        return {}
    return body if isinstance(body, dict) else {}
