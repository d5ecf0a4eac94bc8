"""Users of an identity provider over two real replicas: key rotation, outage, floods, shared limits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any, Final

import aiohttp
import pytest

from tests.support.api import Reply, called, mint, post
from tests.support.clocks import eventually
from tests.support.issuer import claims_of, issuers, signed_by_another
from tests.support.processes import Replica
from tests.support.sinks import store_dump
from tests.support.stack import Stack

LIMIT: Final = 4
CLIENTS: Final = json.dumps(
    {"web": {"mints_per_minute": 5000}, "few": {"mints_per_minute_per_subject": LIMIT}}
)
# What replicas fetch by themselves, should the machine take so long that ten minutes pass.
BY_THEMSELVES: Final = 6
USERS: Final = {"client": "web", "claim": "plan", "clients": {"few": "few"}}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack(peer="static", CLOAKROOM_ISSUERS=issuers(users=USERS), CLOAKROOM_CLIENTS=CLIENTS) as stack:
        yield stack


@pytest.fixture(autouse=True)
def no_fault_is_left(stack: Stack) -> Iterator[None]:
    yield
    stack.sandbox.control("DELETE", "faults")


def token(stack: Stack, sub: str = "ada", **claims: Any) -> str:
    body = {"claims": {"sub": sub, **claims}}
    return str(stack.sandbox.control("POST", "issuer/tokens", body)["token"])


def fetched(stack: Stack) -> int:
    """How often the keys were fetched, by both replicas."""
    return int(stack.sandbox.control("GET", "state")["requests"].get("/issuer/jwks", 0))


def forged(stack: Stack, number: int) -> str:
    return signed_by_another(claims_of(f"{stack.sandbox.url}/issuer"), f"invented-{number}", "ES256")


async def mint_at(http: aiohttp.ClientSession, replica: Replica, text: str) -> Reply:
    return await mint(http, replica.url, text)


async def test_a_user_mints_at_one_replica_and_calls_at_the_other_and_his_token_is_nowhere(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    text = token(stack, "ada@acme.example")
    reply = await mint_at(http, stack.a, text)
    assert reply.status == 200, reply
    await called(http, stack.b.url, reply.json["value"])
    records = "\n".join(await store_dump(stack.engine.url))
    assert "ada@acme.example" in records
    signature = text.rpartition(".")[2]
    for place in (records, stack.a.output, stack.b.output):
        assert signature not in place
    line = [one for one in stack.a.events("mint") if one.get("issuer") == "team"][-1]
    assert (line["client"], line["status"]) == ("web", 200)


async def test_the_limit_of_a_user_counts_over_both_replicas(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    ada, bob = token(stack, plan="few"), token(stack, "bob", plan="few")
    replicas = (stack.a, stack.b)
    replies = await asyncio.gather(*(mint_at(http, replicas[number % 2], ada) for number in range(LIMIT * 4)))
    good = [reply for reply in replies if reply.status == 200]
    # The minute may turn while the test runs, and then a second one has room for as many again.
    assert len(good) in (LIMIT, LIMIT * 2)
    assert {reply.code for reply in replies if reply.status != 200} == {"rate_limited"}
    assert (await mint_at(http, stack.b, bob)).status == 200


async def test_a_rotation_of_the_keys_is_seen_by_no_user(stack: Stack, http: aiohttp.ClientSession) -> None:
    # The next early fetch is 30 s after the last one at the soonest, so fresh replicas see the rotation.
    fresh = [await asyncio.to_thread(stack.replica, f"fresh-{number}") for number in range(2)]
    for replica in fresh:
        assert (await mint_at(http, replica, token(stack))).status == 200
    before, old = fetched(stack), token(stack)
    stack.sandbox.control("POST", "issuer/keys", {"algorithm": "RS256"})
    new = token(stack)
    replies = await asyncio.gather(
        *(mint_at(http, replica, text) for replica in fresh for text in (old, new) for _ in range(10))
    )
    assert {reply.status for reply in replies} == {200}
    assert len(fresh) <= fetched(stack) - before <= len(fresh) + BY_THEMSELVES < len(replies)


async def test_a_flood_of_invented_keys_costs_the_issuer_a_fetch_in_half_a_minute_and_users_nothing(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    replica = await asyncio.to_thread(stack.replica, "flooded")
    before = fetched(stack)
    good = token(stack)
    for batch in range(5):
        texts = [forged(stack, batch * 40 + number) for number in range(40)]
        replies = await asyncio.gather(*(mint_at(http, replica, text) for text in texts))
        assert {reply.code for reply in replies} == {"invalid_token"}
        assert (await mint_at(http, replica, good)).status == 200
    # One in half a minute, and what it fetches by itself: tests/unit/outbound/test_issuer_keys.py counts.
    assert fetched(stack) - before <= BY_THEMSELVES + 200 // 20


async def test_an_outage_of_the_issuer_stops_no_user_whose_key_is_known(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    good = token(stack)
    replica = await asyncio.to_thread(stack.replica, "orphan")
    for path in ("jwks", "configuration"):
        fault = {"kind": "status", "path": path, "status": 503, "times": 0}
        stack.sandbox.control("POST", "faults", fault)
    unknown = await mint_at(http, replica, forged(stack, 0))
    assert (unknown.status, unknown.code) == (503, "sign_in_unavailable")
    for _ in range(10):
        assert (await mint_at(http, replica, good)).status == 200
    line = await asyncio.to_thread(replica.wait_for_event, "issuer_keys_not_fetched")
    assert line["issuer"] == "team"
    # A replica that starts meanwhile knows no key, serves client keys, and finds the issuer when it is back.
    late = await asyncio.to_thread(stack.replica, "late")
    assert (await mint_at(http, late, good)).code == "sign_in_unavailable"
    assert (await mint_at(http, late, stack.planted.client_key)).status == 200
    stack.sandbox.control("DELETE", "faults")

    async def signs_in() -> bool:
        return (await mint_at(http, late, good)).status == 200

    await eventually(signs_in)
    assert (await mint_at(http, replica, forged(stack, 1))).code in ("invalid_token", "sign_in_unavailable")


async def test_a_user_can_neither_hang_up_nor_use_the_admin_api(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    text = token(stack)
    handle = (await mint_at(http, stack.a, text)).json["value"]
    call_id = await called(http, stack.a.url, handle)
    headers = {"Authorization": f"Bearer {text}"}
    url = f"{stack.b.url}/v1/realtime/calls/{call_id}/hangup"
    assert (await post(http, url, headers=headers)).status == 401
    async with http.get(f"{stack.a.url}/admin/v1/handles", headers=headers) as answer:
        assert answer.status == 401
