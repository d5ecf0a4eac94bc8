"""Nothing that a caller sends chooses a URL, a header or a credential of ours at the provider."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from app.sandbox import SandboxConfig
from tests.conftest import ServiceFactory
from tests.support.offers import fresh_offer
from tests.support.planted import Planted
from tests.support.service import Service

HOSTILE_HEADERS = {
    "api-key": "hostile-key-0123456789",
    "Cookie": "session=hostile",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "gopher",
    "Forwarded": "host=evil.example",
    "X-Original-URL": "/v1/files",
    "X-HTTP-Method-Override": "DELETE",
    "OpenAI-Organization": "org-hostile",
    "OpenAI-Project": "proj-hostile",
    "OpenAI-Beta": "hostile=v1",
    "X-OpenAI-Agents-SDK": "openai-agents-sdk.hostile",
    "User-Agent": "hostile/1",
    "Accept": "text/html",
    "Traceparent": "00-hostile",
}
HOSTILE_QUERY = (
    "model=hostile&api-version=2024-10-01-preview&webrtcfilter=off&deployment=x"
    "&base_url=http%3A%2F%2Fevil.example"
)
HOSTILE_FIELDS = {
    "base_url": "http://evil.example",
    "api_base": "http://evil.example",
    "url": "http://evil.example",
    "webrtc_url": "http://evil.example",
    "region": "swedencentral",
    "api_version": "2024-10-01-preview",
    "api_key": "hostile-key-0123456789",
    "client_secret": {"value": "ek_hostile_0123456789", "expires_at": 1},
    "call_key": "standard",
    "provider": "azure",
    "deployment": "other",
    "headers": {"X-Hostile": "1"},
    "extra_headers": {"Authorization": "Bearer hostile"},
}
# All that may ever arrive; Host and the credential are compared by value.
HEADERS = {
    "host",
    "authorization",
    "api-key",
    "content-type",
    "content-length",
    "accept",
    "accept-encoding",
    "user-agent",
}


@dataclass(frozen=True)
class Place:
    """A deployment, where its requests must go, and how its standard key must travel."""

    deployment: dict[str, Any]
    mint: str
    call: str
    key_header: str


PLACES = {
    "openai": Place(
        {"provider": "openai", "base_url": "{provider}/v1"},
        "/v1/realtime/client_secrets?",
        "/v1/realtime/calls?",
        "authorization",
    ),
    "openai, standard key": Place(
        {"provider": "openai", "base_url": "{provider}/v1", "call_key": "standard"},
        "/v1/realtime/client_secrets?",
        "/v1/realtime/calls?",
        "authorization",
    ),
    "azure": Place(
        {"provider": "azure", "base_url": "{provider}", "model": "voice-prod"},
        "/openai/v1/realtime/client_secrets?",
        "/openai/v1/realtime/calls?webrtcfilter=on",
        "api-key",
    ),
    "azure preview": Place(
        {
            "provider": "azure-preview",
            "base_url": "{provider}",
            "webrtc_url": "{provider}",
            "model": "voice-prod",
        },
        "/openai/realtimeapi/sessions?api-version=2025-04-01-preview",
        "/v1/realtimertc?model=voice-prod",
        "api-key",
    ),
}
# An alias that a caller may choose freely, as where ``*`` is configured.
ALIASES = [
    "gpt-realtime-2.1",
    "gpt-realtime-2.1/../../files",
    "gpt-realtime-2.1@evil.example",
    "gpt-realtime-2.1:80/x",
]


async def service_at(service_factory: ServiceFactory, planted: Planted, place: Place) -> Service:
    """A service that takes any model name and has this one deployment."""
    key = planted.openai_key if place.deployment["provider"] == "openai" else planted.azure_key
    config = SandboxConfig(
        openai_keys=(planted.openai_key,), azure_keys=(planted.azure_key,), azure_preview=True, peer="static"
    )
    return await service_factory(
        sandbox=config,
        CLOAKROOM_DEPLOYMENTS=orjson.dumps({"voice": {"api_key": key, **place.deployment}}).decode(),
        CLOAKROOM_MODELS='{"*": "voice"}',
    )


@pytest.mark.parametrize("alias", ALIASES)
@pytest.mark.parametrize("name", PLACES)
async def test_what_arrives_at_the_provider_is_the_deployments_alone(
    service_factory: ServiceFactory, planted: Planted, name: str, alias: str
) -> None:
    place = PLACES[name]
    service = await service_at(service_factory, planted, place)
    session = {"type": "realtime", "model": alias, "instructions": "http://evil.example", **HOSTILE_FIELDS}
    reply = await service.post(
        f"/v1/realtime/client_secrets?{HOSTILE_QUERY}",
        json={"session": session},
        headers={**HOSTILE_HEADERS, "Authorization": f"Bearer {planted.client_key}"},
    )
    assert reply.status == 200, reply
    bodies: list[dict[str, Any]] = [
        {"data": fresh_offer(), "headers": {"Content-Type": "application/sdp"}},
        {"json": {"sdp": fresh_offer().decode(), "session": session, **HOSTILE_FIELDS}, "headers": {}},
    ]
    for body in bodies:
        headers = {**HOSTILE_HEADERS, **body.pop("headers"), "Authorization": f"Bearer {reply.json['value']}"}
        relayed = await service.post(f"/v1/realtime/calls?{HOSTILE_QUERY}", headers=headers, **body)
        assert relayed.status == 201, relayed
    arrived = service.provider.journal.reports()
    assert [f"{entry['path']}?{entry['query']}" for entry in arrived] == [place.mint, place.call, place.call]
    host = f"127.0.0.1:{service.sandbox.port}"
    standard = planted.openai_key if place.deployment["provider"] == "openai" else planted.azure_key
    for number, entry in enumerate(arrived):
        sent = _headers(entry)
        assert sent.keys() <= HEADERS
        assert sent["host"] == host
        assert sent["user-agent"].startswith("cloakroom/")
        assert "hostile" not in str(sent).lower()
        assert "evil" not in str(sent).lower()
        by_standard_key = number == 0 or "call_key" in place.deployment
        credentials = {header: sent[header] for header in ("authorization", "api-key") if header in sent}
        if by_standard_key:
            prefix = "Bearer " if place.key_header == "authorization" else ""
            assert credentials == {place.key_header: prefix + standard}
        else:
            assert credentials.keys() == {"authorization"}
            assert credentials["authorization"].startswith("Bearer ek_")
            assert standard not in credentials["authorization"]


def _headers(entry: dict[str, object]) -> dict[str, str]:
    pairs = entry["headers"]
    assert isinstance(pairs, list)
    found = {name.lower(): value for name, value in pairs}
    assert len(found) == len(pairs), "a header arrived twice"
    return found
