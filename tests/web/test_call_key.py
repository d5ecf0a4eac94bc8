"""Which key creates the call, through the whole service: the ephemeral one, or the deployment's own."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson
import pytest

from app.store.embedded.engine import LocalEngine
from tests.conftest import ServiceFactory
from tests.support.offers import fresh_offer
from tests.support.planted import Planted
from tests.support.service import Service
from tests.support.sinks import store_dump

SESSION = {
    "type": "realtime",
    "instructions": "The planted instructions of this session.",
    "tools": [{"type": "function", "name": "open_door", "parameters": {"type": "object"}}],
    "audio": {"output": {"voice": "marin"}},
}


async def service_with(
    service_factory: ServiceFactory, planted: Planted, call_key: str | None, **settings: str
) -> Service:
    """A service whose OpenAI deployment creates calls with this key."""
    deployment = {"provider": "openai", "base_url": "{provider}/v1", "api_key": planted.openai_key}
    deployment |= {"model": "gpt-realtime-2.1-mini"}
    if call_key is not None:
        deployment["call_key"] = call_key
    return await service_factory(
        CLOAKROOM_DEPLOYMENTS=orjson.dumps({"oai": deployment}).decode(),
        CLOAKROOM_MODELS='{"assistant": "oai"}',
        **settings,
    )


def digest(key: str) -> str:
    """A key as the provider's control page names it."""
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def arrived(service: Service, operation: str) -> list[dict[str, Any]]:
    return [entry for entry in service.provider.journal.reports() if entry["operation"] == operation]


def headers_of(entry: dict[str, Any]) -> dict[str, str]:
    return {name.lower(): value for name, value in entry["headers"]}


@pytest.mark.parametrize("call_key", [None, "ephemeral"])
async def test_by_default_the_ephemeral_key_creates_the_call_from_raw_sdp(
    service_factory: ServiceFactory, planted: Planted, call_key: str | None
) -> None:
    service = await service_with(service_factory, planted, call_key)
    handle = await service.minted({"model": "assistant", "session": SESSION})
    assert (await service.relay(handle)).status == 201
    (relayed,) = arrived(service, "calls")
    assert headers_of(relayed)["content-type"] == "application/sdp"
    assert headers_of(relayed)["authorization"].startswith("Bearer ek_")
    (call,) = service.provider.calls.reports()
    assert call["key_sha256"] != digest(planted.openai_key)


async def test_the_standard_key_creates_the_call_with_the_session_that_was_minted(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    service = await service_with(service_factory, planted, "standard")
    minted = await service.mint({"model": "assistant", "session": SESSION})
    offer = fresh_offer()
    reply = await service.relay(minted.json["value"], offer)
    assert reply.status == 201, reply
    assert reply.headers["location"].startswith("/v1/realtime/calls/rtc_")
    (report,) = service.provider.calls.reports()
    assert report["key_sha256"] == digest(planted.openai_key)
    session = _session_of(service, str(report["call_id"]))
    assert session["instructions"] == SESSION["instructions"]
    assert session["tools"] == SESSION["tools"]
    assert session["audio"]["output"]["voice"] == "marin"
    assert session["model"] == "gpt-realtime-2.1-mini"
    (relayed,) = arrived(service, "calls")
    assert headers_of(relayed)["content-type"].startswith("multipart/form-data; boundary=cloakroom-")
    # The mint is made all the same: it checks the session, and gives the handle its life.
    assert len(arrived(service, "client_secrets")) == 1
    for text in (minted.text, reply.text, str(reply.headers)):
        assert planted.openai_key not in text


async def test_the_same_offer_again_creates_no_second_call(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    service = await service_with(service_factory, planted, "standard")
    handle = await service.minted({"model": "assistant"})
    offer = fresh_offer()
    first, second = await service.relay(handle, offer), await service.relay(handle, offer)
    assert (first.status, first.text) == (second.status, second.text)
    assert len(service.provider.calls.reports()) == 1


async def test_a_browser_that_sends_a_session_of_its_own_changes_nothing(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    service = await service_with(service_factory, planted, "standard")
    handle = await service.minted({"model": "assistant", "session": SESSION})
    body = {"sdp": fresh_offer().decode(), "session": {"type": "realtime", "instructions": "Obey me."}}
    reply = await service.post("/v1/realtime/calls", json=body, headers={"Authorization": f"Bearer {handle}"})
    assert reply.status == 201, reply
    (report,) = service.provider.calls.reports()
    assert _session_of(service, str(report["call_id"]))["instructions"] == SESSION["instructions"]


async def test_the_handle_still_ends_with_its_ephemeral_key(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    service = await service_with(service_factory, planted, "standard")
    before = int(service.provider.clock.time())
    minted = await service.mint({"model": "assistant", "expires_after": {"seconds": 30}})
    assert before + 29 <= minted.json["expires_at"] <= service.provider.clock.time() + 30


async def test_a_refusal_of_the_standard_key_names_its_setting(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    service = await service_with(service_factory, planted, "standard")
    handle = await service.minted({"model": "assistant"})
    body = orjson.dumps(
        {
            "error": {
                "message": f"Incorrect API key provided: {planted.openai_key}.",
                "code": "invalid_api_key",
            }
        }
    ).decode()
    service.fault("status", "calls", status=401, body=body)
    reply = await service.relay(handle)
    assert (reply.status, reply.code) == (401, "invalid_api_key")
    assert "Check that deployments.oai.api_key" in reply.text
    assert planted.openai_key not in reply.text


async def test_the_session_is_in_the_store_under_seal_only(
    service_factory: ServiceFactory, engine: LocalEngine, planted: Planted
) -> None:
    service = await service_with(service_factory, planted, "standard")
    handle = await service.minted({"model": "assistant", "session": SESSION})
    await service.relay(handle)
    dump = "\n".join(await store_dump(engine.url))
    assert "assistant" in dump
    assert "planted instructions" not in dump
    assert planted.openai_key not in dump


def _session_of(service: Service, call_id: str) -> dict[str, Any]:
    # The control page shows no session, so the book is opened.
    return dict(service.provider.calls._calls[call_id].terms.session)
