"""The warm pool through the whole service: two replicas, one store and one provider, which may fail."""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any, Final

import aiohttp
import pytest
import structlog

from app.models import USUAL_MODEL
from app.sandbox import SandboxConfig
from app.store import keys
from app.store.connection import StoreConnection
from app.store.embedded.engine import LocalEngine
from app.store.pools import PoolBill, PoolState, PoolStore
from app.store.scripts import POOL_PUT, POOL_RELEASE, POOL_RESERVE
from app.web.appkeys import STORE
from tests.conftest import SERVICE_PASSWORD
from tests.support.access import url_for_service
from tests.support.api import Reply
from tests.support.clocks import eventually
from tests.support.handles import claims_of
from tests.support.offers import fresh_offer
from tests.support.onlooker import async_onlooker
from tests.support.planted import Planted
from tests.support.service import Service, start_sandbox, start_service

USUAL_SECONDS: Final = 600
ORIGIN, OTHER_ORIGIN = "https://shop.example", "https://kiosk.example"
_serial = itertools.count()


class World:
    """Two replicas that share a pool; ``raw`` may do what their user may not."""

    def __init__(self, replicas: tuple[Service, Service], model: str, raw: Any) -> None:
        self.a, self.b = self.replicas = replicas
        self.model, self.raw = model, raw
        self.names = keys.pool(model)
        self.store = PoolStore(self.a.server.app[STORE])

    async def mint(self, at: Service | None = None, session: Any = None, **headers: str) -> Reply:
        body = {"session": {"type": "realtime", "model": self.model, **(session or {})}}
        return await (at or self.a).mint(body, **headers)

    async def state(self) -> PoolState:
        return await self.store.state(self.model)

    async def stock(self) -> int:
        return sum(level.stock for level in (await self.state()).shapes)

    async def warm(self, keys_wanted: int = 3, session: Any = None) -> None:
        """Mint until the pool has so many keys, and nothing is pending."""
        for _ in range(keys_wanted + 1):
            assert (await self.mint(session=session)).status == 200

        async def settled() -> bool:
            shapes = (await self.state()).shapes
            return sum(one.stock for one in shapes) >= keys_wanted and not any(one.pending for one in shapes)

        assert await eventually(settled)

    def fail(self, **more: Any) -> None:
        """From now on the provider refuses to mint."""
        self.a.fault("status", "client_secrets", **{"status": 500, "times": 0, **more})

    @property
    def asked(self) -> int:
        return self.a.asked("/client_secrets")


@pytest.fixture
async def world(
    engine: LocalEngine, planted: Planted, http: aiohttp.ClientSession, request: pytest.FixtureRequest
) -> AsyncIterator[World]:
    # Workers of a run share no store, and names are of this process alone.
    model = f"pooled-{os.getpid()}-{next(_serial)}"
    more = getattr(request, "param", {})
    models = {model: {"deployments": ["openai"], "pool": {"target": 20}, **more}, "cold": "openai"}
    place = {"provider": "openai", "base_url": "{provider}/v1", "api_key": planted.openai_key}
    deployments = {"openai": {**place, "model": USUAL_MODEL}}
    config = SandboxConfig(openai_keys=(planted.openai_key,), peer="static")
    async with AsyncExitStack() as resources:
        provider = await start_sandbox(config)
        resources.push_async_callback(provider.close)
        replicas = []
        for name in ("replica-a", "replica-b"):
            settings = {
                "CLOAKROOM_DEPLOYMENTS": json.dumps(deployments),
                "CLOAKROOM_MODELS": json.dumps(models),
                "CLOAKROOM_REPLICA": name,
                "CLOAKROOM_CORS_ORIGINS": f"{ORIGIN},{OTHER_ORIGIN}",
            }
            url = url_for_service(engine, SERVICE_PASSWORD)
            replicas.append(await start_service(http, provider, url, planted, **settings))
            resources.push_async_callback(replicas[-1].server.close)
        raw = async_onlooker(engine.url)
        resources.push_async_callback(raw.aclose)
        yield World((replicas[0], replicas[1]), model, raw)
    for service in replicas:
        service.conformance.raise_breaches()


def digits_of(reply: Reply) -> str:
    return str(claims_of(reply.json["value"])["jti"])


# --- what is served from the pool -------------------------------------------------------------------


async def test_a_mint_at_any_replica_is_served_while_the_provider_mints_nothing(world: World) -> None:
    await world.warm(4)
    world.fail()
    before = await world.state()
    replies = [await world.mint(replica) for replica in (world.a, world.b, world.b, world.a)]
    assert [reply.status for reply in replies] == [200] * 4
    assert len({digits_of(reply) for reply in replies}) == 4
    after = await world.state()
    assert after.bill.used - before.bill.used == 4
    for replica, reply in zip((world.b, world.a), replies, strict=False):
        assert (await replica.relay(reply.json["value"])).status == 201


async def test_the_provider_is_down_for_a_while_and_mints_go_on_until_the_stock_is_used_up(
    world: World,
) -> None:
    await world.warm(6)
    world.fail()
    stock = await world.stock()
    served = [(await world.mint()).status for _ in range(stock)]
    assert served == [200] * stock
    assert (await world.mint()).status >= 500
    world.a.provider.faults.clear()

    async def again() -> bool:
        return (await world.mint()).status == 200 and await world.stock() > 0

    assert await eventually(again), "and it fills again by itself"


async def test_an_answer_from_the_pool_is_like_one_of_the_provider_and_shows_no_key(world: World) -> None:
    first = await world.mint(session={"instructions": "Be brief."})
    await world.warm(2, session={"instructions": "Be brief."})
    world.fail()
    reply = await world.mint(session={"instructions": "Be brief."})
    assert reply.status == 200
    assert _form(reply.json) == _form(first.json)
    assert reply.json["session"]["model"] == world.model
    assert reply.json["session"]["instructions"] == "Be brief."
    handle = reply.json["value"]
    assert reply.json["session"]["client_secret"] == {
        "value": handle,
        "expires_at": reply.json["expires_at"],
    }
    assert reply.text.count('"ek_') == reply.text.count(handle)


def _form(node: Any) -> Any:
    """The names and types of an answer."""
    if isinstance(node, dict):
        return {name: _form(item) for name, item in node.items()}
    return [_form(item) for item in node] if isinstance(node, list) else type(node).__name__


async def test_what_belongs_to_the_caller_is_on_the_handles_record(world: World) -> None:
    await world.warm(2)
    world.fail()
    before = int(time.time())
    reply = await world.mint(world.b, **{"x-cloakroom-subject": "ann", "Origin": ORIGIN})
    assert reply.status == 200
    record = await world.raw.hgetall(keys.handle(digits_of(reply)))
    assert (record["subject"], record["client"]) == ("ann", "shop")
    assert (record["minted_by"], record["origin"]) == ("replica-b", ORIGIN)
    assert record["expires_at"] == str(reply.json["expires_at"])
    assert (record["model"], record["deployment"]) == (world.model, "openai")
    assert before <= int(record["minted_at"]) <= time.time()


async def test_the_log_line_of_a_mint_tells_whether_it_was_served_from_the_pool(
    world: World, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    await world.warm(2)
    world.fail()
    assert (await world.mint()).status == 200
    assert (await world.mint(session={"instructions": "Be brief."})).status >= 500
    assert (await world.a.mint({"model": "cold"})).status >= 500

    def lines() -> list[dict[str, Any]]:
        written.append(capsysbinary.readouterr().out)
        return [json.loads(line) for line in b"".join(written).splitlines() if line.startswith(b"{")]

    written: list[bytes] = []
    assert await eventually(lambda: len(lines()) >= 6)
    told = [(line["status"] < 500, line.get("pool"), line.get("model")) for line in lines()][-3:]
    assert told == [(True, "hit", world.model), (False, "empty", world.model), (False, None, "cold")]


async def test_a_handle_of_the_pool_lives_no_shorter_than_usual_and_no_longer_than_its_key(
    world: World,
) -> None:
    await world.warm(2)
    world.fail()
    now = time.time()
    reply = await world.mint()
    assert reply.json["expires_at"] >= int(now) + USUAL_SECONDS
    # Keys of the pool live twice as long. This one was minted before now.
    assert reply.json["expires_at"] <= time.time() + 2 * USUAL_SECONDS
    life = await world.raw.pttl(keys.handle(digits_of(reply)))
    assert 0 < life / 1000 <= reply.json["expires_at"] - now + 1
    dies = [key.expires_at for key in world.a.provider.keys._keys.values()]
    assert reply.json["expires_at"] <= max(dies)


@pytest.mark.parametrize("world", [{"default_seconds": 60, "max_seconds": 120}], indirect=True)
async def test_the_models_usual_life_is_what_is_doubled(world: World) -> None:
    await world.warm(2)
    asked = [key.expires_at - time.time() for key in world.a.provider.keys._keys.values()]
    assert any(60 < seconds <= 120 for seconds in asked)
    assert max(asked) <= 120
    world.fail()
    reply = await world.mint()
    assert time.time() + 58 < reply.json["expires_at"] <= time.time() + 120


# --- who shares --------------------------------------------------------------------------------------


async def test_equal_sessions_share_keys_and_others_do_not(world: World) -> None:
    await world.warm(3, session={"instructions": "Sell.", "audio": {"output": {"voice": "marin"}}})
    world.fail()
    bob = {"x-cloakroom-subject": "bob"}
    equal = {"audio": {"output": {"voice": "marin"}}, "instructions": "Sell."}
    assert (await world.mint(world.a, equal, **bob)).status == 200
    assert (await world.mint(session={**equal, "instructions": "Buy."})).status >= 500
    assert (await world.mint()).status >= 500
    assert (await world.mint(world.b, session=equal)).status == 200


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ({"expires_after": {"anchor": "created_at", "seconds": 600}}, {}),
        ({}, {"OpenAI-Safety-Identifier": "user-1"}),
        ({"nested": True}, {}),
    ],
    ids=["expires_after", "safety_identifier", "nested_model"],
)
async def test_a_mint_that_depends_on_its_caller_is_made_as_today(
    world: World, body: dict[str, Any], headers: dict[str, str]
) -> None:
    await world.warm(2)
    session: dict[str, Any] = {"type": "realtime", "model": world.model}
    if body.pop("nested", False):
        session["audio"] = {"input": {"transcription": {"model": "cold"}}}
    before, minted = await world.state(), world.a.provider.keys.minted
    reply = await world.a.mint({"session": session, **body}, **headers)
    assert reply.status == 200, reply
    assert world.a.provider.keys.minted == minted + 1
    after = await world.state()
    assert after.bill == before.bill
    assert after.shapes[0].takes == before.shapes[0].takes


async def test_sessions_that_come_once_each_are_minted_for_once_each(world: World) -> None:
    for number in range(8):
        assert (await world.mint(session={"instructions": f"Serve customer {number}."})).status == 200
    state = await world.state()
    assert (world.asked, state.bill) == (8, PoolBill())
    assert not any(level.pending for level in state.shapes)


async def test_a_session_stands_nowhere_in_the_store_in_clear(world: World) -> None:
    planted = "The planted instructions of this pool."
    await world.warm(2, session={"instructions": planted})
    for name in world.names:
        dumped = await world.raw.dump(name)
        assert dumped is None or planted.encode() not in _bytes(dumped)
    kept = await world.raw.hvals(world.names[1])
    assert len(kept) >= 2
    assert not any("ek_" in text or "planted" in text for text in kept)


def _bytes(dumped: Any) -> bytes:
    return dumped.encode(errors="surrogateescape") if isinstance(dumped, str) else bytes(dumped)


# --- what goes wrong ---------------------------------------------------------------------------------


async def test_a_key_that_was_changed_in_the_store_is_refused_and_the_mint_asks_the_provider(
    world: World,
) -> None:
    await world.warm(2)
    for member, kept in (await world.raw.hgetall(world.names[1])).items():
        ends_at, sealed, deployment = kept.split(" ", 2)
        await world.raw.hset(world.names[1], member, f"{int(ends_at) + 1000} {sealed} {deployment}")
    asked = world.asked
    with structlog.testing.capture_logs() as captured:
        assert (await world.mint()).status == 200
    assert any(line["event"] == "pool_key_refused" for line in captured)
    assert world.asked > asked
    assert await eventually(lambda: _lost(world, 1))


async def test_keys_that_were_swapped_are_refused(world: World) -> None:
    await world.warm(2)
    kept = await world.raw.hgetall(world.names[1])
    members, values = list(kept), list(kept.values())
    await world.raw.hset(world.names[1], mapping=dict(zip(members, [*values[1:], values[0]], strict=True)))
    assert (await world.mint()).status == 200
    assert await eventually(lambda: _lost(world, 1))


async def _lost(world: World, number: int) -> bool:
    return (await world.state()).bill.lost == number


async def test_a_store_that_fails_in_the_take_costs_a_mint_nothing(world: World) -> None:
    await world.raw.set(world.names[3], "no hash")
    asked = world.asked
    assert (await world.mint()).status == 200
    assert world.asked == asked + 1


async def test_a_refusal_for_too_many_requests_pauses_the_pool_and_not_the_mints_that_follow(
    world: World,
) -> None:
    await world.warm(3)
    # Of an ordinary mint, at the same deployment.
    world.a.fault("status", "client_secrets", status=429, times=1, headers={"Retry-After": "100"})
    assert (await world.a.mint({"model": "cold"})).status == 429
    asked, stock = world.asked, await world.stock()
    for _ in range(2):
        assert (await world.mint()).status == 200
    assert (world.asked, await world.stock()) == (asked, stock - 2)


async def test_a_pool_whose_mints_fail_asks_less_and_less_often(world: World) -> None:
    await world.warm(2)
    world.fail()
    asked = world.asked
    with structlog.testing.capture_logs() as captured:
        assert (await world.mint()).status == 200
        assert await eventually(lambda: [line for line in captured if line["event"] == "pool_rests"])
    # The few that began together, and none of them a second time.
    assert 1 <= world.asked - asked <= 4
    (level,) = (await world.state()).shapes
    assert await eventually(lambda: _nothing_pending(world)), level


async def _nothing_pending(world: World) -> bool:
    return not any(level.pending for level in (await world.state()).shapes)


# --- what it costs -----------------------------------------------------------------------------------


@contextmanager
def round_trips(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[Any, ...]]]:
    """What mints send to the store, a batch each; what refills send is left out."""
    sent: list[tuple[Any, ...]] = []
    refilling = {script.sha1 for script in (POOL_RESERVE, POOL_PUT, POOL_RELEASE)}
    run = StoreConnection._run

    def counted(self: Any, commands: Any, calls: Any = (), **options: Any) -> Any:
        if not any(command[1] in refilling for command in commands):
            sent.append(tuple(command[1] for command in commands))
        return run(self, commands, calls, **options)

    with monkeypatch.context() as patch:
        patch.setattr(StoreConnection, "_run", counted)
        yield sent


async def test_a_mint_without_a_pool_asks_the_store_as_often_as_ever_and_one_with_it_once_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.warm(3)
    with round_trips(monkeypatch) as cold:
        assert (await world.a.mint({"model": "cold"})).status == 200
    assert len(cold) == 1
    with round_trips(monkeypatch) as unsuited:
        body = {
            "session": {"type": "realtime", "model": world.model},
            "expires_after": {"anchor": "created_at", "seconds": 600},
        }
        assert (await world.a.mint(body)).status == 200
    assert len(unsuited) == 1
    used = (await world.state()).bill.used
    with round_trips(monkeypatch) as hit:
        assert (await world.mint()).status == 200
    assert len(hit) == 2
    assert (await world.state()).bill.used == used + 1


# --- the end of a replica ----------------------------------------------------------------------------


async def test_a_key_that_is_minted_while_a_replica_ends_goes_into_stock(world: World) -> None:
    await world.warm(2)
    # Longer than it takes to see that, and shorter than a replica waits at its end.
    world.a.fault("delay", "client_secrets", times=0, seconds=3)
    assert (await world.mint(world.b)).status == 200
    assert await eventually(lambda: _pending(world))
    await world.b.server.close()
    state = await world.state()
    assert sum(level.stock for level in state.shapes) == state.bill.minted - state.bill.used
    assert not any(level.pending for level in state.shapes)
    assert state.bill.lost == 0


async def _pending(world: World) -> bool:
    return any(level.pending for level in (await world.state()).shapes)


async def test_a_mint_that_takes_longer_than_a_replica_has_leaves_no_mark(world: World) -> None:
    await world.warm(2)
    world.a.fault("delay", "client_secrets", times=0, seconds=60)
    assert (await world.mint(world.b)).status == 200
    assert await eventually(lambda: _pending(world))
    await world.b.server.close()
    state = await world.state()
    assert not any(level.pending for level in state.shapes)
    assert state.bill.lost >= 1


async def test_a_bound_handle_of_the_pool_opens_calls_for_its_page_alone(world: World) -> None:
    await world.warm(2)
    world.fail()
    body = {
        "session": {"type": "realtime", "model": world.model},
        "bind": {"origin": ORIGIN},
    }
    reply = await world.a.mint(body)
    assert reply.status == 200, reply
    handle = reply.json["value"]
    refused = await world.b.relay(handle, fresh_offer(), Origin=OTHER_ORIGIN)
    assert (refused.status, refused.code) == (403, "wrong_origin")
    assert (await world.b.relay(handle, fresh_offer(), Origin=ORIGIN)).status == 201
