"""LocalAI and speech-to-speech through the whole service: what ends a call, and what neither can do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.sandbox import SandboxConfig
from app.store import keys
from tests.conftest import ServiceFactory
from tests.support.clocks import eventually
from tests.support.handles import claims_of
from tests.support.service import Service
from tests.web.hangups import hangups
from tests.web.operators import get, post
from tests.web.test_metering import one_record
from tests.web.test_sideband import refused

PLACES = {
    "home": {"provider": "localai", "base_url": "{provider}/localai"},
    "hf": {"provider": "speech-to-speech", "base_url": "{provider}/speech-to-speech"},
}


@pytest.fixture
async def service(service_factory: ServiceFactory) -> Service:
    return await service_factory(
        CLOAKROOM_DEPLOYMENTS=json.dumps(PLACES),
        CLOAKROOM_MODELS=json.dumps({name: name for name in PLACES}),
        CLOAKROOM_METERING="on",
    )


async def test_a_call_that_has_lasted_as_long_as_it_may_is_ended_by_delete(service: Service) -> None:
    handle = await service.minted({"model": "hf", "max_call_seconds": 10})
    answer = await service.relay(handle)
    assert (answer.status, answer.headers["x-cloakroom-max-call-seconds"]) == (201, "10")
    call_id = answer.headers["location"].rpartition("/")[2]
    entry = f"max_call_seconds:{call_id}"
    await service.store_client.zadd(keys.deadlines(call_id), {entry: 1}, xx=True)

    async def noted() -> Any:
        return await service.store_client.hget(keys.call(call_id), "ended_because")

    assert await eventually(noted) == "max_call_seconds"
    (hangup,) = hangups(service)
    assert (hangup["method"], hangup["status"]) == ("DELETE", 200)
    assert service.call(call_id)["end_reason"] == "hangup"


async def test_there_is_no_sideband_and_no_usage_and_both_are_said(service: Service) -> None:
    call_id = await service.called(await service.minted({"model": "hf"}))
    reply = await refused(service, call_id)
    assert (reply.status, reply.code) == (400, "invalid_request")
    assert "has no sideband" in reply.text
    assert (await one_record(service, call_id))["metered"] == "no_sideband"


async def test_a_call_that_ended_by_itself_is_gone(service: Service) -> None:
    handle = await service.minted({"model": "hf"})
    call_id = await service.called(handle)
    await service.provider.calls.hang_up(call_id)
    assert (await service.hang_up(handle, call_id)).status == 200


@pytest.mark.parametrize("model", PLACES)
async def test_an_operator_sees_the_handle_and_ends_what_can_be_ended(service: Service, model: str) -> None:
    handle = await service.minted({"model": model})
    reply = await service.relay(handle)
    shown = await get(service, f"/handles/{claims_of(handle)['jti']}")
    assert (shown["deployment"], shown["provider"]) == (model, PLACES[model]["provider"])
    assert (shown["state"], shown["calls"], shown["family"]) == ("live", 1, "realtime")
    outcome = await post(service, f"/handles/{claims_of(handle)['jti']}/revoke", {"calls": True})
    assert outcome["outcome"] == "revoked"
    again = await service.relay(handle)
    assert (again.status, again.code) == (401, "handle_revoked")
    if model == "hf":
        call_id = reply.headers["location"].rpartition("/")[2]
        await eventually(lambda: service.call(call_id)["ended_at"] is not None)


async def test_a_localai_call_is_on_no_record(service: Service) -> None:
    handle = await service.minted({"model": "home"})
    assert (await service.relay(handle)).status == 201
    (call,) = service.provider.calls.reports()
    assert (await service.hang_up(handle, str(call["call_id"]))).code == "call_id_not_found"
    assert await service.store_client.exists(keys.call(str(call["call_id"]))) == 0


async def test_a_key_that_localai_wants_and_none_has_is_named(service_factory: ServiceFactory) -> None:
    service = await service_factory(
        SandboxConfig(localai_keys=("local-key-0123456789",), peer="static"),
        CLOAKROOM_DEPLOYMENTS=json.dumps({"home": PLACES["home"]}),
        CLOAKROOM_MODELS='{"home": "home"}',
    )
    reply = await service.relay(await service.minted({"model": "home"}))
    assert reply.status == 401
    assert "asks for a key: set deployments.home.api_key" in reply.text
