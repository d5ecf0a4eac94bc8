"""Handles without an upstream mint, through the whole service: the provider is asked nothing but the call."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from app.store.embedded.engine import LocalEngine
from app.store.execution.multiplexed import MultiplexedConnection
from tests.conftest import ServiceFactory
from tests.support.offers import fresh_offer
from tests.support.planted import Planted
from tests.support.service import Service
from tests.support.sinks import store_dump

SESSION = {
    "type": "realtime",
    "instructions": "The planted instructions of this session.",
    "audio": {"output": {"voice": "marin"}},
}


async def service_with(service_factory: ServiceFactory, planted: Planted, **settings: str) -> Service:
    """A service whose model ``assistant`` is at a server that keeps OpenAI's paths and mints nothing."""
    deployment = {
        "provider": "openai",
        "base_url": "{provider}/v1",
        "api_key": planted.openai_key,
        "model": "gpt-realtime-2.1-mini",
        "ephemeral_keys": False,
    }
    models = {"assistant": {"deployments": ["oai"], "locked": {"audio": {"output": {"voice": "marin"}}}}}
    return await service_factory(
        CLOAKROOM_DEPLOYMENTS=orjson.dumps({"oai": deployment}).decode(),
        CLOAKROOM_MODELS=orjson.dumps(models).decode(),
        **settings,
    )


def session_of(service: Service, call_id: str) -> dict[str, Any]:
    # The control page shows no session, so the book is opened.
    return dict(service.provider.calls._calls[call_id].terms.session)


async def test_the_mint_asks_nothing_and_the_call_has_the_session(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    service = await service_with(service_factory, planted)
    before = int(service.provider.clock.time())
    minted = await service.mint({"model": "assistant", "session": {**SESSION, "audio": {}}})
    assert minted.status == 200, minted
    assert service.asked() == 0
    assert before + 599 <= minted.json["expires_at"] <= service.provider.clock.time() + 601
    assert minted.json["session"] == {**SESSION, "model": "assistant"}
    reply = await service.relay(minted.json["value"])
    assert reply.status == 201, reply
    call_id = reply.headers["location"].rpartition("/")[2]
    sent = session_of(service, call_id)
    assert sent["instructions"] == SESSION["instructions"]
    assert sent["audio"]["output"]["voice"] == "marin"
    assert sent["model"] == "gpt-realtime-2.1-mini"
    assert service.asked() == 1
    assert (await service.hang_up(planted.client_key, call_id)).status == 200


async def test_the_mint_takes_one_round_trip_to_the_store(
    service_factory: ServiceFactory, planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await service_with(service_factory, planted)
    sent: list[bytes] = []
    send = MultiplexedConnection.send

    def counted(connection: MultiplexedConnection, data: bytes, *args: Any, **more: Any) -> Any:
        # Probes and leases go to the store meanwhile.
        if b"cloakroom:handle" in data:
            sent.append(data)
        return send(connection, data, *args, **more)

    assert (await service.mint({"model": "assistant"})).status == 200
    monkeypatch.setattr(MultiplexedConnection, "send", counted)
    assert (await service.mint({"model": "assistant"})).status == 200
    assert len(sent) == 1
    assert service.asked() == 0


async def test_a_locked_field_cannot_be_changed(service_factory: ServiceFactory, planted: Planted) -> None:
    service = await service_with(service_factory, planted)
    other = {"audio": {"output": {"voice": "cedar"}}}
    reply = await service.mint({"model": "assistant", "session": other})
    assert (reply.status, reply.json["error"]["param"]) == (400, "session.audio.output.voice")


async def test_a_handle_is_good_for_one_call_and_the_same_offer_gets_the_same_answer(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    service = await service_with(service_factory, planted, CLOAKROOM_HANDLE_MAX_CALLS="1")
    handle, offer = await service.minted({"model": "assistant"}), fresh_offer()
    first, again = await service.relay(handle, offer), await service.relay(handle, offer)
    assert (first.status, first.text) == (201, again.text)
    other = await service.relay(handle)
    assert (other.status, other.code) == (409, "handle_spent")
    assert len(service.provider.calls.reports()) == 1


@pytest.mark.parametrize("seconds", [10, 7200])
async def test_the_life_is_the_one_that_was_asked_for(
    service_factory: ServiceFactory, planted: Planted, seconds: int
) -> None:
    service = await service_with(service_factory, planted)
    before = int(service.provider.clock.time())
    minted = await service.mint({"model": "assistant", "expires_after": {"seconds": seconds}})
    assert before + seconds - 1 <= minted.json["expires_at"] <= service.provider.clock.time() + seconds + 1


async def test_an_offer_that_may_have_arrived_is_not_sent_again(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    service = await service_with(service_factory, planted)
    service.fault("drop_after", "calls")
    reply = await service.relay(await service.minted({"model": "assistant"}))
    assert (reply.status, reply.code) == (502, "outcome_unknown")
    assert service.asked("calls") == 1


async def test_the_session_is_in_the_store_under_seal_only(
    service_factory: ServiceFactory, engine: LocalEngine, planted: Planted
) -> None:
    service = await service_with(service_factory, planted)
    handle = await service.minted({"model": "assistant", "session": SESSION})
    await service.relay(handle)
    dump = "\n".join(await store_dump(engine.url))
    assert "assistant" in dump
    assert "planted instructions" not in dump
    assert planted.openai_key not in dump


async def test_a_translation_is_refused_in_words(service_factory: ServiceFactory, planted: Planted) -> None:
    service = await service_with(service_factory, planted)
    reply = await service.post(
        "/v1/realtime/translations/client_secrets",
        json={"session": {"model": "assistant"}},
        headers={"Authorization": f"Bearer {planted.client_key}"},
    )
    assert reply.status == 400, reply
    assert "no translation sessions" in reply.text
    assert service.asked() == 0


async def test_a_handle_outlives_a_change_of_the_setting_either_way(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    """While a change rolls out, a replica relays what another one minted under the other setting."""
    keeping = await service_with(service_factory, planted)
    origin = str(keeping.sandbox.make_url("")).rstrip("/")
    deployment = {"provider": "openai", "base_url": f"{origin}/v1", "api_key": planted.openai_key}
    deployment |= {"model": "gpt-realtime-2.1-mini"}
    minting = await service_factory(
        CLOAKROOM_DEPLOYMENTS=orjson.dumps({"oai": deployment}).decode(),
        CLOAKROOM_MODELS='{"assistant": "oai"}',
    )
    kept, keyed = await keeping.minted({"model": "assistant"}), await minting.minted({"model": "assistant"})
    assert (await minting.relay(kept)).status == 201
    assert (await keeping.relay(keyed)).status == 201


async def test_a_handle_of_a_provider_that_was_exchanged_spends_nothing(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    deployment = {"provider": "openai", "base_url": "{provider}/v1", "api_key": planted.openai_key}
    minting = await service_factory(
        CLOAKROOM_DEPLOYMENTS=orjson.dumps({"oai": deployment}).decode(),
        CLOAKROOM_MODELS='{"gpt-realtime-2.1": "oai"}',
    )
    handle = await minting.minted()
    other = await service_factory(
        CLOAKROOM_DEPLOYMENTS='{"oai": {"provider": "localai", "base_url": "{provider}/localai"}}',
        CLOAKROOM_MODELS='{"gpt-realtime-2.1": "oai"}',
        CLOAKROOM_HANDLE_MAX_CALLS="1",
    )
    refused = await other.relay(handle)
    assert (refused.status, refused.code) == (400, "invalid_request")
    assert "Mint a new handle" in refused.text
    assert other.asked() == 0
    assert (await minting.relay(handle)).status == 201


async def test_calls_that_cannot_be_made_send_mints_to_the_next_deployment(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    gone = {"provider": "localai", "base_url": "http://127.0.0.1:9/v1"}
    there = {"provider": "localai", "base_url": "{provider}/localai"}
    models = {
        "assistant": [{"deployment": "gone", "priority": 0}, {"deployment": "there", "priority": 1}],
    }
    service = await service_factory(
        CLOAKROOM_DEPLOYMENTS=orjson.dumps({"gone": gone, "there": there}).decode(),
        CLOAKROOM_MODELS=orjson.dumps({"assistant": {"deployments": models["assistant"]}}).decode(),
    )
    refused = await service.relay(await service.minted({"model": "assistant"}))
    assert (refused.status, refused.code) == (502, "upstream_unreachable")
    # It just failed, so it comes last for a while.
    assert (await service.relay(await service.minted({"model": "assistant"}))).status == 201
