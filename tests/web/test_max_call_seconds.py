"""A call that may last only so long: who decides how long, and what happens then."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.store import keys
from tests.conftest import ServiceFactory
from tests.support.clocks import eventually
from tests.support.handles import claims_of
from tests.support.planted import Planted
from tests.support.service import Service
from tests.web.hangups import hangups

HEADER = "x-cloakroom-max-call-seconds"
MODEL = "gpt-realtime-2.1"
SHORT = "gpt-realtime-1.5"
TRIAL_KEY = "sk-trial-0123456789abcdefghij-KLMNOPQ"


@pytest.fixture
async def limited(service_factory: ServiceFactory, planted: Planted) -> Service:
    """The service allows 600 s, the model ``short`` 120, the client ``trial`` 60 whatever it asks for."""
    return await service_factory(
        CLOAKROOM_MAX_CALL_SECONDS="600",
        CLOAKROOM_MODELS=json.dumps(
            {MODEL: "openai", SHORT: {"deployments": "openai", "max_call_seconds": 120}}
        ),
        CLOAKROOM_CLIENTS=json.dumps({"trial": {"api_key": TRIAL_KEY, "max_call_seconds": 60}}),
    )


async def leash(service: Service, body: dict[str, Any], **headers: str) -> Any:
    reply = await service.mint(body, **headers)
    assert reply.status == 200, reply
    return reply.json.get("max_call_seconds")


async def test_the_least_of_what_the_service_or_model_the_client_and_the_mint_say_holds(
    limited: Service,
) -> None:
    trial = {"Authorization": f"Bearer {TRIAL_KEY}"}
    assert await leash(limited, {"model": MODEL}) == 600
    assert await leash(limited, {"model": SHORT}) == 120
    assert await leash(limited, {"model": MODEL}, **trial) == 60
    assert await leash(limited, {"model": SHORT, "max_call_seconds": 30}) == 30
    assert await leash(limited, {"session": {"model": MODEL}, "max_call_seconds": 45}, **trial) == 45


async def test_without_a_limit_none_is_named(service: Service) -> None:
    assert await leash(service, {"model": MODEL}) is None
    handle = await service.minted()
    assert HEADER not in (await service.relay(handle)).headers


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (9, "10 to 3600"),
        (3601, "10 to 3600"),
        ("60", "10 to 3600"),
        (60.5, "10 to 3600"),
        (True, "10 to 3600"),
        (121, "10 to 120"),
    ],
)
async def test_more_or_less_than_is_allowed_is_refused_before_the_provider_is_asked(
    limited: Service, value: Any, said: str
) -> None:
    asked = limited.asked("client_secrets")
    reply = await limited.mint({"model": SHORT, "max_call_seconds": value})
    assert (reply.status, reply.code, reply.json["error"]["param"]) == (
        400,
        "invalid_request",
        "max_call_seconds",
    )
    assert said in reply.json["error"]["message"]
    assert limited.asked("client_secrets") == asked


async def test_the_beta_takes_it_beside_its_flat_session(limited: Service) -> None:
    reply = await limited.post(
        "/v1/realtime/sessions",
        json={"model": MODEL, "voice": "marin", "max_call_seconds": 90},
        headers={"Authorization": f"Bearer {limited.planted.client_key}"},
    )
    assert (reply.status, reply.json["max_call_seconds"]) == (200, 90)


async def test_a_call_that_has_lasted_as_long_as_it_may_is_hung_up(limited: Service) -> None:
    handle = await limited.minted({"model": MODEL, "max_call_seconds": 10})
    answer = await limited.relay(handle)
    assert (answer.status, answer.headers[HEADER]) == (201, "10")
    call_id = answer.headers["location"].rpartition("/")[2]
    entry, slice_ = f"max_call_seconds:{call_id}", keys.deadlines(call_id)
    seconds, _ = await limited.store_client.time()
    due = await limited.store_client.zscore(slice_, entry)
    # By the store's clock, ten seconds after the answer; it came a moment ago.
    assert 0 < due / 1000 - seconds <= 11
    assert hangups(limited) == []
    await limited.store_client.zadd(slice_, {entry: 1}, xx=True)

    async def noted() -> Any:
        return await limited.store_client.hget(keys.call(call_id), "ended_because")

    assert await eventually(noted) == "max_call_seconds"
    assert len(hangups(limited)) == 1

    async def met() -> bool:
        return not await limited.store_client.exists(slice_)

    # Just after the note.
    await eventually(met)


async def test_a_hang_up_before_takes_the_deadline_away(limited: Service) -> None:
    handle = await limited.minted({"model": MODEL, "max_call_seconds": 10})
    call_id = (await limited.relay(handle)).headers["location"].rpartition("/")[2]
    assert await limited.store_client.exists(keys.deadlines(call_id)) == 1
    assert (await limited.hang_up(handle, call_id)).status == 200
    assert await limited.store_client.exists(keys.deadlines(call_id)) == 0


async def test_the_record_of_the_handle_tells_it(limited: Service) -> None:
    handle = await limited.minted({"model": MODEL, "max_call_seconds": 30})
    held = await limited.store_client.hget(keys.handle(claims_of(handle)["jti"]), "max_call_seconds")
    assert held == "30"
