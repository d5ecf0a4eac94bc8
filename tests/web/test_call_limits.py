"""How many calls and handles a client has at once, and how many seconds of calls a day, exactly."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import time
from typing import Any, Final

import pytest

from app.models import CallLimits, Client
from app.store import keys
from app.store.listing.directory import HandleDirectory
from app.store.listing.views import HandleFilter
from app.store.records.seats import DAY_SECONDS, subject_digest
from app.web.appkeys import SETTINGS, STORE
from tests.conftest import ServiceFactory
from tests.support.api import Reply
from tests.support.clocks import eventually
from tests.support.handles import claims_of
from tests.support.offers import fresh_offer
from tests.support.service import Service

MODEL: Final = "gpt-realtime-2.1"
KEY: Final = "sk-limited-0123456789abcdefghij-KLMNOPQ"


@pytest.fixture
def limited(service_factory: ServiceFactory) -> Any:
    async def make(**limits: int) -> Service:
        return await service_factory(
            CLOAKROOM_CLIENTS=json.dumps({f"client-{secrets.token_hex(6)}": {"api_key": KEY, **limits}})
        )

    return make


def whose(service: Service) -> str:
    """The client that is limited; each test has its own."""
    (name,) = service.server.app[SETTINGS].clients
    return str(name)


async def mint(service: Service, subject: str = "", **more: Any) -> Reply:
    headers = {"Authorization": f"Bearer {KEY}"} | ({"x-cloakroom-subject": subject} if subject else {})
    return await service.mint({"model": MODEL, **more}, **headers)


async def handle(service: Service, subject: str = "", **more: Any) -> str:
    reply = await mint(service, subject, **more)
    assert reply.status == 200, reply
    return str(reply.json["value"])


async def call(service: Service, *, subject: str = "", **more: Any) -> tuple[str, str]:
    """A handle of the limited client, and its call."""
    held = await handle(service, subject, **more)
    return held, await service.called(held)


async def seconds_used(service: Service, subject: str = "") -> int:
    now, _ = await service.store_client.time()
    name = keys.call_seconds(whose(service), now // DAY_SECONDS, subject_digest(subject))
    return int(await service.store_client.get(name) or 0)


async def test_one_call_too_many_is_refused_before_the_provider_is_asked(
    limited: Any,
) -> None:
    service = await limited(max_open_calls=2, max_call_seconds=600)
    await call(service)
    first, call_id = await call(service)
    third, asked = await handle(service), service.asked("calls")
    refused = await service.relay(third)
    assert (refused.status, refused.code) == (429, "too_many_calls")
    # At the latest when the first call has lasted as long as it may, and five seconds for the hang-up.
    assert 0 < int(refused.headers["retry-after"]) <= 605
    assert service.asked("calls") == asked
    held = await service.store_client.hgetall(keys.handle(claims_of(third)["jti"]))
    assert (held["calls"], held["relay_1"].split()[1]) == ("0", "too_many_calls")
    # A call that was hung up gives its place back at once.
    assert (await service.hang_up(first, call_id)).status == 200
    assert (await service.relay(third)).status == 201


async def test_each_subject_has_its_own_calls(limited: Any) -> None:
    service = await limited(max_open_calls_per_subject=1)
    await call(service, subject="ann")
    assert (await service.relay(await handle(service, "ann"))).code == "too_many_calls"
    assert (await service.relay(await handle(service, "bob"))).status == 201
    # Without a subject there is nobody to count for.
    for _ in range(2):
        await call(service)


async def test_the_same_offer_again_is_the_same_call(limited: Any) -> None:
    service = await limited(max_open_calls=1)
    held, offer = await handle(service), fresh_offer()
    answers = await asyncio.gather(*(service.relay(held, offer) for _ in range(8)))
    assert {answer.status for answer in answers} == {201}
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert await service.store_client.zcard(keys.open_calls(whose(service))) == 1


async def test_of_many_at_once_as_many_as_are_allowed_get_through(limited: Any) -> None:
    service = await limited(max_open_calls=5)
    handles = [await handle(service) for _ in range(20)]
    answers = await asyncio.gather(*(service.relay(held) for held in handles))
    told = sorted(answer.status for answer in answers)
    assert told == [201] * 5 + [429] * 15


@pytest.mark.parametrize(
    ("kind", "status"), [("status", 400), ("close_before_request", 502)], ids=["refused", "unreachable"]
)
async def test_an_offer_that_made_no_call_keeps_no_place(limited: Any, kind: str, status: int) -> None:
    service = await limited(max_open_calls=1, max_call_seconds_per_day=1000)
    held = await handle(service)
    if kind == "status":
        service.fault("status", "calls", status=400)
    else:
        await service.stop_provider()
    assert (await service.relay(held)).status == status
    assert await service.store_client.zcard(keys.open_calls(whose(service))) == 0
    assert await seconds_used(service) == 0


async def test_a_refused_handle_takes_no_place(limited: Any) -> None:
    service = await limited(max_open_calls=1)
    held = await handle(service)
    await service.store_client.hset(keys.handle(claims_of(held)["jti"]), "revoked_at", "1")
    assert (await service.relay(held)).code == "handle_revoked"
    assert await service.store_client.zcard(keys.open_calls(whose(service))) == 0


async def test_a_call_gets_what_is_left_of_the_day_and_gives_back_what_it_did_not_use(limited: Any) -> None:
    service = await limited(max_call_seconds_per_day=100)
    first = await handle(service, max_call_seconds=70)
    answer = await service.relay(first)
    assert answer.headers["x-cloakroom-max-call-seconds"] == "70"
    second = await handle(service, max_call_seconds=70)
    rest = await service.relay(second)
    # Thirty are left, whatever the handle allows; the call is hung up then.
    assert rest.headers["x-cloakroom-max-call-seconds"] == "30"
    call_id = rest.headers["location"].rpartition("/")[2]
    assert await service.store_client.hget(keys.call(call_id), "max_call_seconds") == "30"
    assert await service.store_client.exists(keys.deadlines(call_id))
    refused = await service.relay(await handle(service))
    assert (refused.status, refused.code) == (429, "call_seconds_spent")
    assert 0 < int(refused.headers["retry-after"]) <= DAY_SECONDS
    assert await seconds_used(service) == 100
    await service.hang_up(second, call_id)
    # It lasted a second at most.
    assert 70 <= await seconds_used(service) <= 72
    again = await service.relay(await handle(service))
    assert 28 <= int(again.headers["x-cloakroom-max-call-seconds"]) <= 30


async def test_each_subject_has_its_own_seconds_of_the_day(limited: Any) -> None:
    service = await limited(max_call_seconds_per_day_per_subject=40)
    await call(service, subject="ann")
    assert await seconds_used(service, "ann") == 40
    assert (await service.relay(await handle(service, "ann"))).code == "call_seconds_spent"
    assert (await service.relay(await handle(service, "bob"))).status == 201


async def test_a_place_whose_time_is_over_frees_itself(limited: Any) -> None:
    service = await limited(max_open_calls=1)
    held, _ = await call(service)
    seats = keys.open_calls(whose(service))
    (offer,) = await service.store_client.zrange(seats, 0, -1)
    await service.store_client.zadd(seats, {offer: 1}, xx=True)
    assert (await service.relay(held)).status == 201
    assert await service.store_client.zcard(seats) == 1
    assert len(await service.store_client.hgetall(keys.seats(whose(service)))) == 1


async def test_a_handle_tells_nobody_else_whose_it_is(limited: Any) -> None:
    service = await limited(max_open_calls=1)
    held = await handle(service, "ann")
    payload = held.split(".")[1]
    text = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)).decode()
    assert set(json.loads(text)) == {"iss", "aud", "iat", "exp", "jti", "own"}
    for name in (whose(service), "ann", subject_digest("ann")):
        assert name not in text
    # A client without limits has nothing to carry.
    assert "own" not in claims_of(await service.minted())


async def test_a_client_has_so_many_handles_at_once(limited: Any) -> None:
    service = await limited(max_live_handles=2)
    held = [await handle(service) for _ in range(2)]
    asked = service.asked("client_secrets")
    refused = await mint(service)
    assert (refused.status, refused.code) == (429, "too_many_handles")
    assert 0 < int(refused.headers["retry-after"]) <= 600
    assert service.asked("client_secrets") == asked
    live = keys.live_handles(whose(service))
    ids = {claims_of(one)["jti"] for one in held}
    assert set(await service.store_client.zrange(live, 0, -1)) == ids
    # Expired ones do not count.
    await service.store_client.zadd(live, dict.fromkeys(ids, 1), xx=True)
    assert (await mint(service)).status == 200


async def test_a_revoked_handle_makes_room_for_another(limited: Any) -> None:
    service = await limited(max_live_handles=2)
    first, second = [await handle(service) for _ in range(2)]
    directory = HandleDirectory(service.server.app[STORE])
    now = time.time()
    assert await directory.revoke(claims_of(first)["jti"], by="test", now=now) == "revoked"
    third = await handle(service)
    assert (await directory.revoke_page(HandleFilter(client=whose(service)), by="test", now=now)).revoked == 2
    assert await service.store_client.zcard(keys.live_handles(whose(service))) == 0
    for held in (first, second, third):
        assert (await service.relay(held)).code == "handle_revoked"


async def test_a_mint_that_failed_counts_as_no_handle(limited: Any) -> None:
    service = await limited(max_live_handles=1)
    service.fault("status", "client_secrets", status=400)
    assert (await mint(service)).status == 400
    assert await service.store_client.zcard(keys.live_handles(whose(service))) == 0
    assert (await mint(service)).status == 200


async def test_many_mints_at_once_give_as_many_handles_as_are_allowed(limited: Any) -> None:
    service = await limited(max_live_handles=5)
    told = await asyncio.gather(*(mint(service) for _ in range(20)))
    assert sorted(reply.status for reply in told) == [200] * 5 + [429] * 15


def test_no_limit_is_none() -> None:
    assert not Client("shop").call_limits.any
    assert CallLimits(max_open_calls=1).any
    assert not CallLimits(max_open_calls=1).by_day


async def test_a_call_that_lasted_as_long_as_it_may_gives_its_place_back(limited: Any) -> None:
    service = await limited(max_open_calls=1)
    held, call_id = await call(service, max_call_seconds=10)
    slice_ = keys.deadlines(call_id)
    await service.store_client.zadd(slice_, {f"max_call_seconds:{call_id}": 1}, xx=True)

    async def free() -> bool:
        return bool(await service.store_client.zcard(keys.open_calls(whose(service))) == 0)

    await eventually(free)
    assert (await service.relay(held)).status == 201
