"""Azure Voice Live through the whole service: the offer over a WebSocket, and what each failure comes to."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.conftest import ServiceFactory
from tests.support.api import Reply
from tests.support.clocks import eventually
from tests.support.offers import fresh_offer
from tests.support.planted import Planted
from tests.support.service import Service

PATH = "/voice-live/realtime/calls"
SESSION = {
    "type": "realtime",
    "instructions": "Be brief.",
    "audio": {"input": {"turn_detection": {"type": "azure_semantic_vad"}}, "output": {"voice": "alloy"}},
}


async def service_with(
    service_factory: ServiceFactory, planted: Planted, *, azure_key: str | None = None, **settings: str
) -> Service:
    """A service whose model ``assistant`` is at Voice Live."""
    deployment = {"provider": "azure-voice-live", "base_url": "{provider}", "model": "gpt-realtime-2.1"}
    deployment["api_key"] = azure_key or planted.azure_key
    return await service_factory(
        CLOAKROOM_DEPLOYMENTS=json.dumps({"live": deployment}),
        CLOAKROOM_MODELS=json.dumps({"assistant": ["live"]}),
        **settings,
    )


async def relayed(service: Service, **session: Any) -> Reply:
    handle = await service.minted({"model": "assistant", "session": {**SESSION, **session}})
    return await service.relay(handle)


def live_calls(service: Service) -> int:
    return service.provider.calls.counts()["live"]


async def test_the_mint_asks_nothing_and_the_offer_goes_over_the_socket(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    service = await service_with(service_factory, planted)
    minted = await service.mint({"model": "assistant", "session": SESSION})
    assert minted.json["session"] == {**SESSION, "model": "assistant"}
    assert service.asked() == 0
    reply = await service.relay(minted.json["value"])
    assert (reply.status, reply.headers["content-type"]) == (201, "application/sdp")
    call_id = reply.headers["location"].rpartition("/")[2]
    call = service.call(call_id)
    assert (call["model"], call["ended_at"]) == ("gpt-realtime-2.1", None)
    (request,) = service.provider.journal.reports()
    assert (request["path"], request["query"]) == (
        PATH,
        "api-version=2026-01-01-preview&model=gpt-realtime-2.1",
    )
    headers: Any = request["headers"]
    assert ["api-key", planted.azure_key] in [[name.lower(), value] for name, value in headers]
    # The control page shows no session, so the book is opened.
    assert service.provider.calls._calls[call_id].terms.session["instructions"] == "Be brief."


async def test_a_hang_up_closes_the_socket_and_so_ends_the_call(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    service = await service_with(service_factory, planted)
    call_id = (await relayed(service)).headers["location"].rpartition("/")[2]
    reply = await service.hang_up(planted.client_key, call_id)
    assert reply.status == 200, reply
    await eventually(lambda: service.call(call_id)["end_reason"] == "hangup")
    assert (await service.hang_up(planted.client_key, call_id)).status == 200


async def test_a_call_that_ends_at_the_provider_is_noted_as_ended(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    service = await service_with(service_factory, planted)
    call_id = (await relayed(service)).headers["location"].rpartition("/")[2]
    await service.provider.calls.hang_up(call_id)

    async def because() -> Any:
        return await service.store_client.hget(f"cloakroom:call:{{{call_id}}}", "ended_because")

    await eventually(because)
    assert await because() == "remote"


async def test_one_call_more_than_may_be_held_is_not_begun_and_its_use_is_given_back(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    service = await service_with(
        service_factory, planted, CLOAKROOM_HELD_CALLS_MAX="1", CLOAKROOM_HANDLE_MAX_CALLS="1"
    )
    call_id = (await relayed(service)).headers["location"].rpartition("/")[2]
    handle, offer = await service.minted({"model": "assistant"}), fresh_offer()
    refused = await service.relay(handle, offer)
    assert (refused.status, refused.code, refused.headers["retry-after"]) == (503, "overloaded", "1")
    assert service.asked(PATH) == 1
    await service.hang_up(planted.client_key, call_id)
    assert (await service.relay(handle, offer)).status == 201


@pytest.mark.parametrize("kind", ["drop_before", "truncate"])
async def test_a_socket_that_ends_before_the_handshake_is_done_or_after_it(
    service_factory: ServiceFactory, planted: Planted, kind: str
) -> None:
    service = await service_with(service_factory, planted)
    service.fault(kind, "voice_live")
    reply = await relayed(service)
    if kind == "drop_before":
        assert reply.status == 201
        assert service.asked(PATH) > 1
    else:
        assert (reply.status, reply.code, service.asked(PATH)) == (502, "outcome_unknown", 1)


async def test_handshakes_that_all_fail_give_the_use_back(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    service = await service_with(service_factory, planted, CLOAKROOM_HANDLE_MAX_CALLS="1")
    # A handshake says nothing of the offer, so the WebSocket client may repeat one by itself.
    service.fault("drop_before", "voice_live", times=0)
    handle = await service.minted({"model": "assistant"})
    failed = await service.relay(handle)
    assert (failed.status, failed.code) == (502, "upstream_unreachable")
    service.provider.faults.clear()
    assert (await service.relay(handle)).status == 201


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("drop_after", {}),
        ("bad_json", {}),
        ("wrong_type", {}),
        ("huge_body", {"size": 1_100_000}),
        ("raw", {"body": '{"type": "session.updated"}'}),
        ("raw", {"body": "[]"}),
    ],
)
async def test_an_offer_that_was_sent_is_never_sent_again_and_its_socket_is_closed(
    service_factory: ServiceFactory, planted: Planted, kind: str, more: dict[str, Any]
) -> None:
    service = await service_with(service_factory, planted, CLOAKROOM_HANDLE_MAX_CALLS="1")
    service.fault(kind, "voice_live", **more)
    handle, offer = await service.minted({"model": "assistant"}), fresh_offer()
    reply = await service.relay(handle, offer)
    assert (reply.status, reply.code) == (502, "outcome_unknown"), reply
    again = await service.relay(handle, offer)
    assert again.status >= 400
    assert service.asked(PATH) == 1
    await eventually(lambda: live_calls(service) == 0)


async def test_an_answer_without_an_id_makes_a_call_that_cannot_be_named(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    service = await service_with(service_factory, planted)
    service.fault("no_location", "voice_live")
    reply = await relayed(service)
    assert (reply.status, "location" in reply.headers) == (201, False)
    assert live_calls(service) == 1


async def test_a_socket_whose_relay_gave_up_is_closed(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    service = await service_with(service_factory, planted, CLOAKROOM_RELAY_TIMEOUT_SECONDS="0.5")
    service.fault("stall_after", "voice_live")
    reply = await relayed(service)
    assert (reply.status, reply.code) == (504, "upstream_timeout")
    await eventually(lambda: service.provider.calls.counts() == {"opened": 1, "live": 0, "ended": 1})
    assert service.asked(PATH) == 1


async def test_a_late_answer_s_call_is_on_record_and_is_ended(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    service = await service_with(
        service_factory,
        planted,
        CLOAKROOM_RELAY_TIMEOUT_SECONDS="0.5",
        CLOAKROOM_HANGUP_LOST_CALLS="true",
    )
    service.fault("trickle", "voice_live", seconds=1.0)
    reply = await relayed(service)
    assert (reply.status, reply.code) == (504, "upstream_timeout")
    await eventually(lambda: service.provider.calls.counts() == {"opened": 1, "live": 0, "ended": 1})
    (call,) = service.provider.calls.reports()
    key = f"cloakroom:call:{{{call['call_id']}}}"
    await eventually(lambda: service.store_client.hget(key, "ended_because"))
    assert await service.store_client.hget(key, "ended_because") == "lost"


@pytest.mark.parametrize(
    ("status", "headers", "code"),
    [(429, {"Retry-After": "7"}, None), (401, {}, None), (404, {}, None), (503, {"Retry-After": "7"}, None)],
)
async def test_a_refused_handshake_is_read_as_an_answer(
    service_factory: ServiceFactory,
    planted: Planted,
    status: int,
    headers: dict[str, str],
    code: str | None,
) -> None:
    service = await service_with(service_factory, planted)
    body = json.dumps({"error": {"code": "Refused", "message": "No."}})
    service.fault("status", "voice_live", status=status, body=body, headers=headers)
    reply = await relayed(service)
    assert reply.status == status, reply
    assert reply.headers.get("retry-after") == headers.get("Retry-After")
    assert service.asked(PATH) == 1


async def test_a_wrong_key_is_explained_and_never_shown(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    service = await service_with(service_factory, planted, azure_key="wrong-key-0123456789")
    reply = await relayed(service)
    assert reply.status == 401, reply
    assert "wrong-key" not in reply.text
    assert (await relayed(service)).status == 401


async def test_a_refused_session_is_the_caller_s_400(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    service = await service_with(service_factory, planted)
    reply = await relayed(service, colour="red")
    assert (reply.status, reply.code) == (400, "unknown_parameter"), reply
    assert "session.colour" in reply.json["error"]["message"]
    await asyncio.sleep(0)
    assert live_calls(service) == 0


async def test_the_calls_of_a_replica_that_ends_are_noted_as_ended(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    service = await service_with(service_factory, planted)
    call_id = (await relayed(service)).headers["location"].rpartition("/")[2]
    await service.server.close()
    key = f"cloakroom:call:{{{call_id}}}"
    assert await service.onlooker.hget(key, "ended_because") == "replica"
    await eventually(lambda: live_calls(service) == 0)
