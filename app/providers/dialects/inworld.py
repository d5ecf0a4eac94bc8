"""Inworld: OpenAI's contract without a mint. The offer goes as JSON, and ICE servers come back.

Source: Inworld's API reference, "Realtime API (WebRTC)", read in November 2026. Hanging up and sidebands are
in beta there and documented as OpenAI's. Its examples show both 200 and 201 for a call; so does this reader.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import orjson

from app.errors import OutcomeUnknown, UpstreamError
from app.models import Answer, Deployment, Family, MintRequest, Offer, Secret, StandardCall
from app.providers.answers import read_error, read_sdp_answer
from app.providers.base import (
    JSON_TYPE,
    Traits,
    UpstreamRequest,
    UpstreamResponse,
    is_call_id,
)
from app.providers.ice import AnswerWithServers, IceServer, read_ice_servers
from app.providers.lacking import MintsNothing
from app.providers.openai import OpenAI

DEFAULT_BASE_URL: Final = "https://api.inworld.ai/v1"


class Inworld(MintsNothing, OpenAI):
    """Creates each call with the standard key and the session that a handle keeps."""

    traits = Traits(mints=False)

    def base_url(self, pasted: str | None) -> str:
        if pasted is None:
            return DEFAULT_BASE_URL
        url = super().base_url(pasted)
        # Its documents name the host alone.
        return url if url.count("/") > 2 else f"{url}/v1"

    def kept_call(self, deployment: Deployment, mint: MintRequest) -> StandardCall:
        if mint.family is not Family.REALTIME:
            raise UpstreamError(
                f"Deployment '{deployment.name}' is at Inworld, which serves realtime sessions only.",
                upstream=(400, None),
            )
        return super().kept_call(deployment, mint)

    def standard_call_request(
        self, deployment: Deployment, call: StandardCall, offer: Offer
    ) -> UpstreamRequest:
        body = {"sdp": offer.sdp.decode("utf-8"), "session": orjson.Fragment(call.session)}
        return UpstreamRequest(
            url=self.calls_url(deployment, translation=False),
            headers={**self.credential(deployment), "Content-Type": JSON_TYPE, "Accept": JSON_TYPE},
            body=orjson.dumps(body),
        )

    def read_answer(self, deployment: Deployment, key: Secret | None, response: UpstreamResponse) -> Answer:
        found = _json(response)
        if found is None or not 200 <= response.status <= 299:
            # A refusal, or the answer itself, as a raw offer gets it.
            return read_sdp_answer(deployment, key, response)
        sdp, named = found.get("sdp"), found.get("id")
        call_id = named if isinstance(named, str) and is_call_id(named) else None
        plain = replace(response, body=sdp.encode("utf-8", "replace") if isinstance(sdp, str) else b"")
        try:
            answer = read_sdp_answer(deployment, key, plain)
        except OutcomeUnknown as unreadable:
            raise OutcomeUnknown(unreadable.message, call_id=call_id or unreadable.call_id) from None
        servers = read_ice_servers(found.get("ice_servers"))
        return AnswerWithServers(answer.sdp, call_id or answer.call_id, servers)

    def ice_servers_request(self, deployment: Deployment) -> UpstreamRequest:
        """As ``NamesIceServers``."""
        return UpstreamRequest(
            url=f"{deployment.base_url}/realtime/ice-servers",
            headers={**self.credential(deployment), "Accept": JSON_TYPE},
            body=b"",
            method="GET",
        )

    def read_ice_servers(self, deployment: Deployment, response: UpstreamResponse) -> tuple[IceServer, ...]:
        """As ``NamesIceServers``."""
        if response.status != 200:
            raise read_error(deployment, response, operation="call", secrets=deployment.held_secrets())
        found = _json(response)
        if found is None or not isinstance(found.get("ice_servers"), list):
            raise UpstreamError("The provider's answer holds no list of ICE servers.")
        return read_ice_servers(found["ice_servers"])


def _json(response: UpstreamResponse) -> dict[str, Any] | None:
    try:
        found = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None
