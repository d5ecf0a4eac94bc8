"""Which headers reach a provider at each kind of request: those of the table in docs/egress.md."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest

from app.sandbox import SandboxConfig
from tests.conftest import ServiceFactory
from tests.support.offers import fresh_offer
from tests.support.planted import Planted
from tests.support.providers import PLACES, Place, settings_for
from tests.support.service import Service
from tests.support.sideband import heard

PAGE: Final = (Path(__file__).parents[2] / "docs" / "egress.md").read_text(encoding="utf-8")
TRACE: Final = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
# Every kind of header that a caller may send: for hops, proxies, caches, credentials, browsers, clouds, SDKs.
SENT: Final = dict.fromkeys(
    re.findall(
        r"\S+",
        """
        Proxy-Authorization Proxy-Connection Keep-Alive TE Trailer Via Forwarded X-Forwarded-For Max-Forwards
        X-Forwarded-Host X-Forwarded-Proto X-Forwarded-Prefix X-Real-IP True-Client-IP CF-Connecting-IP
        X-Original-URL X-Rewrite-URL X-HTTP-Method-Override X-Cluster-Client-IP Cache-Control Pragma
        If-Match If-None-Match If-Modified-Since If-Range Range Age Cookie Cookie2 Referer Accept-Language
        api-key X-API-Key X-Auth-Token X-Amz-Security-Token Ocp-Apim-Subscription-Key Accept-Charset DNT
        Sec-Fetch-Site Sec-Fetch-Mode Sec-CH-UA Metadata Metadata-Flavor X-aws-ec2-metadata-token
        X-Google-Metadata-Request OpenAI-Organization OpenAI-Project OpenAI-Beta X-OpenAI-Agents-SDK
        X-Stainless-Lang X-Stainless-Retry-Count x-ms-client-request-id x-request-id baggage b3 X-B3-TraceId
        uber-trace-id Content-Language Content-Disposition Content-Location Content-MD5 Link Priority
        Early-Data From x-hostile X_Underscored
        """,
    ),
    "hostile-value",
) | {
    "User-Agent": "hostile/1",
    "traceparent": TRACE,
    "tracestate": "shop=1",
    "OpenAI-Safety-Identifier": "user-7",
    "x-cloakroom-subject": "user-7",
}
EVERY_REQUEST: Final = {"host", "user-agent", "accept", "accept-encoding"}


def table() -> dict[str, set[str]]:
    """The headers by the kind of request, as the page has them."""
    rows = re.findall(r"^\| (every request|mint|offer|hang-up|sideband|ICE servers) \| (.*?) \|", PAGE, re.M)
    assert len(rows) == 6
    return {name: set(re.findall(r"`([A-Za-z-]+)`", cells.lower())) for name, cells in rows}


TABLE: Final = table()
# What the provider in a box calls each kind.
KINDS: Final = {
    "client_secrets": "mint",
    "translations_client_secrets": "mint",
    "tokens": "mint",
    "calls": "offer",
    "voice_live": "offer",
    "translations_calls": "offer",
    "hangup": "hang-up",
    "sideband": "sideband",
    "ice_servers": "ICE servers",
}


async def service_at(service_factory: ServiceFactory, planted: Planted, places: tuple[Place, ...]) -> Service:
    config = SandboxConfig(
        openai_keys=(planted.openai_key,),
        azure_keys=(planted.azure_key,),
        inworld_keys=(planted.openai_key,),
        qwen_keys=(planted.openai_key,),
        peer="static",
    )
    return await service_factory(sandbox=config, **settings_for(planted, places))


def check(service: Service, seen: set[str]) -> None:
    """Hold every request that arrived to the table."""
    host = f"127.0.0.1:{service.sandbox.port}"
    for entry in service.provider.journal.reports():
        operation, pairs = str(entry["operation"]), entry["headers"]
        assert isinstance(pairs, list)
        if operation == "models":
            continue
        kind = KINDS[operation]
        names = [name.lower() for name, _ in pairs]
        assert len(set(names)) == len(names), f"{kind}: a header arrived twice"
        # An offer over a WebSocket begins with a handshake.
        handshake = TABLE["sideband"] if entry["method"] == "GET" else set()
        assert set(names) <= TABLE["every request"] | TABLE[kind] | handshake, f"{kind} at {entry['path']}"
        values = dict(zip(names, (value for _, value in pairs), strict=True))
        assert "hostile" not in str(values), kind
        assert values["host"] == host
        assert values["user-agent"].startswith("cloakroom/")
        seen.add(kind)


@pytest.mark.parametrize("place", PLACES, ids=str)
async def test_at_every_provider_the_headers_are_those_of_the_table(
    service_factory: ServiceFactory, planted: Planted, place: Place
) -> None:
    service, seen = await service_at(service_factory, planted, (place,)), set[str]()
    reply = await service.mint({"session": {**place.session, "model": place.name}}, **SENT)
    assert reply.status == 200, reply
    relayed = await service.relay(reply.json["value"], fresh_offer(), **SENT)
    assert relayed.status == 201, relayed
    if place.names_calls and place.hangs_up:
        call_id = relayed.headers["location"].rpartition("/")[2]
        await service.hang_up(planted.client_key, call_id, **SENT)
    check(service, seen)
    assert "offer" in seen


async def test_openai_gets_what_the_table_has_and_nothing_is_missing(
    service: Service, planted: Planted
) -> None:
    reply = await service.mint(None, **SENT)
    relayed = await service.relay(reply.json["value"], fresh_offer(), **SENT)
    call_id = relayed.headers["location"].rpartition("/")[2]
    headers = {**SENT, "Authorization": f"Bearer {planted.client_key}"}
    async with service.http.ws_connect(
        f"{service.base}/v1/realtime?call_id={call_id}", headers=headers
    ) as socket:
        await heard(socket, "session.created")
    await service.hang_up(planted.client_key, call_id, **SENT)
    seen = set[str]()
    check(service, seen)
    assert seen == {"mint", "offer", "sideband", "hang-up"}
    got: dict[str, dict[str, Any]] = {}
    for entry in service.provider.journal.reports():
        if entry["operation"] in KINDS:
            pairs: Any = entry["headers"]
            got[KINDS[str(entry["operation"])]] = {name.lower(): value for name, value in pairs}
    assert got["mint"].keys() == TABLE["every request"] | TABLE["mint"] - {"api-key"}
    assert got["mint"]["openai-safety-identifier"] == "user-7"
    assert got["mint"]["authorization"] == f"Bearer {planted.openai_key}"
    # The trace is the caller's, the span is ours.
    assert got["mint"]["traceparent"].split("-")[1] == TRACE.split("-")[1]
    assert got["offer"].keys() >= EVERY_REQUEST | {"authorization", "content-type", "content-length"}
    assert got["offer"]["authorization"].startswith("Bearer ek_")
    assert got["hang-up"]["authorization"] == f"Bearer {planted.openai_key}"
    assert got["sideband"]["authorization"] == f"Bearer {planted.openai_key}"


async def test_ice_servers_are_asked_for_with_no_header_of_the_page(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    (place,) = [place for place in PLACES if place.name == "inworld"]
    service, seen = await service_at(service_factory, planted, (place,)), set[str]()
    handle = await service.minted({"model": place.name})
    headers = {**SENT, "Authorization": f"Bearer {handle}"}
    async with service.http.get(f"{service.base}/v1/realtime/ice-servers", headers=headers) as response:
        assert response.status == 200, await response.text()
    check(service, seen)
    assert "ICE servers" in seen


def test_the_table_lets_no_header_of_a_caller_through() -> None:
    passed = {"openai-safety-identifier", "traceparent", "tracestate", "user-agent", "api-key"}
    everything = set().union(*TABLE.values())
    assert {name.lower() for name in SENT} & everything <= passed
    assert json.dumps(sorted(TABLE["every request"])) == json.dumps(sorted(EVERY_REQUEST))
