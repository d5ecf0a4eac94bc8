"""``cloakroom pool show`` as an operator runs it, over both ways, against replicas and a provider."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any, Final

import aiohttp
import pytest

from app.models import USUAL_MODEL
from tests.support import api
from tests.support.clocks import eventually
from tests.support.processes import Replica
from tests.support.scrape import scrape
from tests.support.stack import Stack
from tests.system.commands import WAYS, Commands, Way

LIMITED: Final = "gpt-realtime-2.1-mini"
MODELS: Final = {
    USUAL_MODEL: {"deployments": "openai", "pool": {"target": 8}},
    LIMITED: {"deployments": "openai", "pool": {"target": 5, "max_waste": 0.2}},
    "gpt-realtime-1.5": "openai",
}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack(peer="static", CLOAKROOM_MODELS=json.dumps(MODELS)) as running:
        yield running


async def pools(cloakroom: Commands, way: Way = "api") -> dict[str, dict[str, Any]]:
    done = await asyncio.to_thread(cloakroom.run, "pool", "show", "--json", way=way)
    assert done.status == 0, done
    return {pool["model"]: pool for pool in done.json["data"]}


async def mint(http: aiohttp.ClientSession, stack: Stack, *, times: int) -> None:
    for number in range(times):
        replica = (stack.a, stack.b)[number % 2]
        assert (await api.mint(http, replica.url, stack.planted.client_key)).status == 200


async def filled(http: aiohttp.ClientSession, stack: Stack, cloakroom: Commands) -> dict[str, Any]:
    """The pool of the usual model, once it has the keys that it wants."""
    await mint(http, stack, times=6)

    async def ready() -> bool:
        return bool((await pools(cloakroom))[USUAL_MODEL]["state"] == "ready")

    await eventually(ready)
    return (await pools(cloakroom))[USUAL_MODEL]


async def test_mints_at_two_replicas_are_on_one_bill(
    stack: Stack, cloakroom: Commands, http: aiohttp.ClientSession
) -> None:
    before = await filled(http, stack, cloakroom)
    await mint(http, stack, times=2)
    after = (await pools(cloakroom))[USUAL_MODEL]
    assert after["used"] == before["used"] + 2
    assert 0 < before["stock"] <= before["goal"] <= before["target"] == 8
    assert before["minted"] == before["used"] + before["stock"]
    assert (before["wasted"], before["lost"], before["replicas"]) == (0, 0, 2)
    assert before["demand"] >= 6


async def test_the_counts_of_all_replicas_and_their_workers_add_up_to_the_bill(
    stack: Stack, cloakroom: Commands, http: aiohttp.ClientSession
) -> None:
    several = stack.replica("replica-c", CLOAKROOM_WORKERS="2")
    replicas = (stack.a, stack.b, several)
    for _ in range(4):
        assert (await api.mint(http, several.url, stack.planted.client_key)).status == 200

    async def told(name: str, replica: Replica, **labels: str) -> float:
        scraped = await scrape(http, replica.url)
        return scraped.value(f"cloakroom_pool_{name}", model=USUAL_MODEL, **labels) or 0.0

    async def as_billed() -> bool:
        # A key is on the bill a moment before its replica counts it.
        pool = (await pools(cloakroom))[USUAL_MODEL]
        counted = {
            outcome: sum([await told("keys_total", replica, outcome=outcome) for replica in replicas])
            for outcome in ("minted", "used", "wasted", "lost")
        }
        return not pool["pending"] and counted == {outcome: pool[outcome] for outcome in counted}

    await eventually(as_billed)
    stock = (await pools(cloakroom))[USUAL_MODEL]["stock"]

    async def in_stock() -> bool:
        # Each worker reads the whole store, at most every ten seconds: their figures are no sum.
        return [await told("stock", replica) for replica in replicas] == [stock] * 3

    assert stock > 0
    await eventually(in_stock)
    several.stop()


async def test_both_ways_tell_the_same(
    stack: Stack, cloakroom: Commands, http: aiohttp.ClientSession
) -> None:
    await filled(http, stack, cloakroom)

    async def both() -> bool:
        # A replica tells the others its pools some moments after its start.
        first, second = [await pools(cloakroom, way) for way in WAYS]
        for each in (*first.values(), *second.values()):
            each.pop("demand")
        return first == second and first.keys() == {USUAL_MODEL, LIMITED}

    await eventually(both)


async def test_the_table_says_how_each_pool_stands(
    stack: Stack, cloakroom: Commands, http: aiohttp.ClientSession, way: Way
) -> None:
    await filled(http, stack, cloakroom)

    async def whole() -> bool:
        return len((await asyncio.to_thread(cloakroom.run, "pool", "show", way=way)).lines) >= 3

    await eventually(whole)
    done = cloakroom.run("pool", "show", way=way)
    header, *rows = done.lines
    assert header.split()[:5] == ["MODEL", "STOCK", "TARGET", "DEMAND", "MINTED"]
    assert {row.split()[0] for row in rows[:2]} == {USUAL_MODEL, LIMITED}
    (idle,) = (row for row in rows if row.startswith(LIMITED))
    assert idle.endswith("  idle")
    one = cloakroom.run("pool", "show", "--model", LIMITED, way=way)
    assert (one.status, len(one.lines), one.lines[1].split()[0]) == (0, 2, LIMITED)


@pytest.mark.parametrize("columns", [80, 120])
async def test_at_a_terminal_no_line_of_the_table_wraps(
    stack: Stack, cloakroom: Commands, http: aiohttp.ClientSession, columns: int
) -> None:
    await filled(http, stack, cloakroom)
    done = cloakroom.run_at_a_terminal("pool", "show", COLUMNS=str(columns))
    lines = re.sub(r"\x1b\[[0-9;]*m", "", done.out).splitlines()
    assert done.status == 0, done
    assert all(len(line) <= columns for line in lines[:3]), lines
    assert lines[0].split()[0] == "MODEL"
    assert lines[0].split()[-1] == "STATE"


async def test_a_model_without_a_pool_is_refused_with_the_status_of_what_is_not_there(
    cloakroom: Commands, way: Way
) -> None:
    done = cloakroom.run("pool", "show", "--model", "gpt-realtime-1.5", way=way)
    assert done.status == 1
    assert "no running replica has a warm pool for the model gpt-realtime-1.5" in done.err


async def test_a_pause_at_one_replica_is_told_by_the_other(
    stack: Stack, cloakroom: Commands, http: aiohttp.ClientSession
) -> None:
    stack.sandbox.control(
        "POST",
        "faults",
        {"kind": "status", "path": "client_secrets", "status": 429, "headers": {"Retry-After": "200"}},
    )
    reply = await api.mint(http, stack.a.url, stack.planted.client_key, {"model": "gpt-realtime-1.5"})
    assert reply.status == 429

    async def told() -> dict[str, Any] | None:
        headers = {"Authorization": f"Bearer {stack.planted.admin_key}"}
        async with http.get(f"{stack.b.url}/admin/v1/pools", headers=headers) as response:
            found = {pool["model"]: pool for pool in (await response.json())["data"]}
        return found[USUAL_MODEL] if found[USUAL_MODEL]["paused"] else None

    pool = await eventually(told)
    assert pool is not None
    (paused,) = pool["paused"]
    assert (paused["replica"], paused["reason"]) == ("replica-a", "limited")
    assert pool["state"] != "paused", "the other replica mints"
    done = await asyncio.to_thread(cloakroom.run, "pool", "show", "--model", USUAL_MODEL)
    assert done.lines[-1].startswith(f"{USUAL_MODEL} is paused at replica-a: the provider says wait ")


def test_without_a_replica_the_store_alone_knows_no_pool(stack: Stack, cloakroom: Commands) -> None:
    stack.b.stop()
    stack.a.stop()
    done = cloakroom.run("pool", "show", way="direct")
    assert (done.status, done.out) == (0, "")
    assert "no running replica has a warm pool" in done.err
