"""A hang-up whose provider, store or caller fails, with real processes: told, repeatable, and never lost."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import aiohttp
import openai
import pytest

from app.store import keys
from tests.support.api import hang_up
from tests.support.clocks import eventually, kept_deadline
from tests.support.onlooker import onlooker
from tests.support.stack import Stack
from tests.system.hangups import call_at, line_of, made, sdk

# The deadline of a store operation here; by default it is less than a second.
STORE_SECONDS = 3


@pytest.fixture
def stack() -> Iterator[Stack]:
    """A stack of one's own, since these tests break it."""
    with Stack(peer="static", CLOAKROOM_STORE_TIMEOUT_SECONDS=f"{STORE_SECONDS}") as own:
        yield own


async def test_a_provider_that_fails_is_told_and_the_next_hang_up_succeeds(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    _, call_id = await made(stack, http)
    async with sdk(stack.a, stack.planted.client_key) as client:
        stack.sandbox.control(
            "POST", "faults", {"kind": "status", "path": "hangup", "status": 503, "times": 3}
        )
        with pytest.raises(openai.InternalServerError) as refused:
            await client.realtime.calls.hangup(call_id)
        assert (refused.value.status_code, refused.value.type) == (503, "upstream_error")
        assert call_at(stack, call_id)["ended_at"] is None
        line = line_of(stack.a, call_id)
        assert (line["level"], line["code"], line["deployment"]) == ("error", "upstream_error", "openai")
        # The answer that is lost was to a hang-up that was done: the second try finds the call gone.
        stack.sandbox.control("POST", "faults", {"kind": "drop_after", "path": "hangup"})
        await client.realtime.calls.hangup(call_id)
    assert call_at(stack, call_id)["end_reason"] == "hangup"
    assert line_of(stack.a, call_id)["outcome"] == "gone"


async def test_a_store_that_dies_before_is_a_503_and_after_it_the_end_is_noted_late(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    handle, call_id = await made(stack, http)
    os.kill(stack.engine.pid, signal.SIGSTOP)
    try:
        with kept_deadline(STORE_SECONDS):
            reply = await hang_up(http, stack.a.url, handle, call_id)
        assert (reply.status, reply.code) == (503, "store_unavailable")
        assert reply.headers["retry-after"] == "1"
        assert call_at(stack, call_id)["ended_at"] is None
    finally:
        os.kill(stack.engine.pid, signal.SIGCONT)
    stack.sandbox.control("POST", "faults", {"kind": "delay", "path": "hangup", "seconds": 3.0})
    hanging_up = asyncio.create_task(hang_up(http, stack.b.url, handle, call_id))
    await eventually(stack.sandbox.struck)
    os.kill(stack.engine.pid, signal.SIGSTOP)
    try:
        assert (await hanging_up).status == 200
    finally:
        os.kill(stack.engine.pid, signal.SIGCONT)
    late = await asyncio.to_thread(stack.b.wait_for_event, "settled_late")
    assert (late["what"], late["call_id"]) == ("ended", call_id)
    with onlooker(stack.engine.url) as store:
        assert store.hget(keys.call(call_id), "ended_by") == "replica-b"
        assert 0 < int(str(store.pttl(keys.call(call_id)))) <= 7_200_000


async def test_a_caller_that_leaves_midway_does_not_keep_the_call_alive_or_the_end_off_the_record(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    """A page that hangs up as it closes does not wait for the answer."""
    handle, call_id = await made(stack, http)
    stack.sandbox.control("POST", "faults", {"kind": "delay", "path": "hangup", "seconds": 1.0})
    hanging_up = asyncio.create_task(hang_up(http, stack.a.url, handle, call_id))
    await eventually(stack.sandbox.struck)
    hanging_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging_up
    await eventually(lambda: call_at(stack, call_id)["end_reason"] == "hangup")
    with onlooker(stack.engine.url, decode=False) as store:
        await eventually(lambda: bool(store.hexists(keys.call(call_id), "ended_at")))
