"""Calls that no browser holds, with real processes: a replica dies or stands still, and they end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
import redis as sync_redis

from app.store import keys
from tests.faults.drill import Progress
from tests.faults.orphans import abandoned, idle
from tests.support.api import called, minted, relay
from tests.support.clocks import eventually, kept_deadline, until
from tests.support.handles import claims_of
from tests.support.offers import fresh_offer
from tests.support.stack import Stack
from tests.system.commands import WAYS, Commands
from tests.system.hangups import call_at

# What the issue promises about a replica that died; here about a hang-up that it had begun.
KNOWN_SECONDS = 2.0


@pytest.fixture
def stack() -> Iterator[Stack]:
    with Stack(
        peer="static", CLOAKROOM_HANGUP_LOST_CALLS="true", CLOAKROOM_RELAY_TIMEOUT_SECONDS="120"
    ) as own:
        yield own


async def test_the_calls_of_browsers_that_left_end_though_a_replica_dies() -> None:
    figures = await abandoned(Progress("orphans"), 12)
    assert figures["hung up"] == 12


async def test_what_an_idle_replica_asks_for_does_not_grow_with_the_number_of_calls() -> None:
    await idle(Progress("idle-deadlines"), 500)


def plant(stack: Stack, call_id: str, *, reason: str = "undelivered") -> None:
    """A deadline that has come."""
    with sync_redis.Redis.from_url(stack.engine.url) as client:
        client.zadd(keys.deadlines(call_id), {f"{reason}:{call_id}": 1})


async def test_a_hang_up_that_a_replica_began_before_it_died_is_finished_by_another(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    call_id = await called(http, stack.a.url, await minted(http, stack.a.url, stack.planted.client_key))
    stack.b.stop()
    stack.sandbox.control("POST", "faults", {"kind": "stall", "path": "hangup"})
    plant(stack, call_id)
    await eventually(stack.sandbox.struck)
    again = stack.replica("replica-c")
    # While the first one lives and waits, it holds the call.
    await asyncio.sleep(KNOWN_SECONDS)
    assert call_at(stack, call_id)["ended_at"] is None
    stack.a.signal(signal.SIGKILL)
    with kept_deadline(KNOWN_SECONDS):
        told = await asyncio.to_thread(again.wait_for_event, "call_hung_up")
    assert (told["call_id"], told["reason"], told["outcome"]) == (call_id, "undelivered", "ended")
    assert call_at(stack, call_id)["end_reason"] == "hangup"


async def test_a_call_that_ended_this_way_is_told_by_the_command_line(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    handle = await minted(http, stack.a.url, stack.planted.client_key)
    call_id = await called(http, stack.a.url, handle)
    plant(stack, call_id)
    until(lambda: stack.a.events("call_hung_up") or stack.b.events("call_hung_up"))
    commands = Commands(stack)
    for way in WAYS:
        shown = commands.run("handles", "show", str(claims_of(handle)["jti"]), way=way)
        assert "so it was hung up" in shown.out, shown
        told = commands.run("calls", "show", call_id, "--json", way=way)
        assert told.json["ended_because"] == "undelivered", told


async def test_a_replica_that_stood_still_hangs_up_the_call_that_its_browser_was_told_is_unknown(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    frozen = stack.replica("frozen")
    handle, offer = await minted(http, frozen.url, stack.planted.client_key), fresh_offer()
    stack.sandbox.control("POST", "faults", {"path": "calls", "kind": "delay", "seconds": 1.0})
    first = asyncio.create_task(relay(http, frozen.url, handle, offer))
    await eventually(stack.sandbox.struck)
    frozen.signal(signal.SIGSTOP)
    try:
        told = await relay(http, stack.b.url, handle, offer)
    finally:
        frozen.signal(signal.SIGCONT)
    late = await first
    for reply in (told, late, await relay(http, stack.b.url, handle, offer)):
        assert (reply.status, reply.code) == (502, "outcome_unknown"), reply
    lost = await asyncio.to_thread(frozen.wait_for_event, "call_lost")
    call: Any = call_at(stack, lost["call_id"])

    def ended() -> bool:
        return bool(call_at(stack, call["call_id"])["end_reason"] == "hangup")

    await eventually(ended)
    with sync_redis.Redis.from_url(stack.engine.url, decode_responses=True) as client:
        record = client.hgetall(keys.handle(str(claims_of(handle)["jti"])))
    assert record["relay_1"].endswith(" outcome_unknown")
    assert record["relay_2"].endswith(f" outcome_unknown {call['call_id']}")
