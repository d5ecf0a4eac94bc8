"""Operators end many calls at once, over a replica and straight on the store, with real processes."""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from app.store import keys
from tests.faults.drill import Progress
from tests.faults.hangups import stopped
from tests.support.api import called, mint, minted, relay
from tests.support.clocks import eventually
from tests.support.handles import claims_of
from tests.support.onlooker import onlooker
from tests.support.stack import Stack
from tests.system.commands import WAYS, Commands, Way
from tests.system.hangups import call_at

_serial = itertools.count()


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack(peer="static", CLOAKROOM_HANDLE_MAX_CALLS="0") as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def subject() -> str:
    """A user that no other test has."""
    return f"user-{next(_serial)}"


async def handle_of(http: aiohttp.ClientSession, stack: Stack, subject: str) -> str:
    reply = await mint(http, stack.a.url, stack.planted.client_key, None, **{"x-cloakroom-subject": subject})
    return str(reply.json["value"])


async def calls_of(http: aiohttp.ClientSession, stack: Stack, subject: str, count: int) -> list[str]:
    handle = await handle_of(http, stack, subject)
    return [await called(http, (stack.a, stack.b)[number % 2].url, handle) for number in range(count)]


def ends(stack: Stack, ids: list[str]) -> set[str | None]:
    """Why the calls ended at the provider."""
    return {call_at(stack, call_id)["end_reason"] for call_id in ids}


async def test_all_calls_of_one_user_end_once_though_a_replica_dies_and_the_others_go_on() -> None:
    figures = await stopped(Progress("mass-hangup"), 60)
    assert figures["hung up at the provider"] == 60


@pytest.mark.parametrize("way", WAYS)
async def test_all_that_match_end_and_the_command_counts_them(
    cloakroom: Commands, stack: Stack, http: aiohttp.ClientSession, subject: str, way: Way
) -> None:
    ids = await calls_of(http, stack, subject, 3)
    others = await calls_of(http, stack, f"{subject}-other", 1)
    choice = ("calls", "hangup", "--subject", subject)
    counted = await asyncio.to_thread(cloakroom.run, *choice, "--dry-run", way=way)
    assert (counted.status, counted.out) == (0, "would hang up 3 open calls\n")
    asked = await asyncio.to_thread(cloakroom.run, *choice, way=way)
    assert asked.status == 2
    assert "Hang up 3 open calls? There is no terminal to ask at" in asked.err
    assert ends(stack, ids) == {None}
    done = await asyncio.to_thread(cloakroom.run, *choice, "--yes", way=way)
    assert (done.status, done.out, done.err) == (0, "3 of 3 calls hung up\n", "")
    assert ends(stack, ids) == {"hangup"}
    assert ends(stack, others) == {None}
    again = await asyncio.to_thread(cloakroom.run, *choice, "--yes", way=way)
    assert (again.status, again.out) == (1, "no open call matches\n")
    who = "sre" if way == "api" else "cli:"
    shown = await asyncio.to_thread(cloakroom.run, "calls", "show", ids[0], way=way)
    assert f"by operator {who}" in shown.out
    assert "an operator ended it" in shown.out


@pytest.mark.parametrize("way", WAYS)
async def test_one_call_ends_either_way_and_a_second_hang_up_says_so(
    cloakroom: Commands, stack: Stack, http: aiohttp.ClientSession, subject: str, way: Way
) -> None:
    (call_id,) = await calls_of(http, stack, subject, 1)
    done = await asyncio.to_thread(cloakroom.run, "calls", "hangup", call_id, way=way)
    assert (done.status, done.out) == (0, f"call {call_id} hung up\n")
    assert ends(stack, [call_id]) == {"hangup"}
    again = await asyncio.to_thread(cloakroom.run, "calls", "hangup", call_id, "--json", way=way)
    assert again.json["outcome"] == "repeated"
    gone = await asyncio.to_thread(cloakroom.run, "calls", "hangup", "rtc_nobody", way=way)
    assert gone.status == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["calls", "hangup"],
        ["calls", "hangup", "rtc_1", "--client", "shop"],
        ["calls", "hangup", "--all", "--client", "shop"],
        ["calls", "hangup", "rtc_1", "--dry-run"],
        ["calls", "hangup", "--client", ""],
        ["calls", "hangup", "--all"],
    ],
)
def test_an_order_that_is_not_clear_ends_nothing(cloakroom: Commands, arguments: list[str]) -> None:
    assert cloakroom.run(*arguments).status == 2


async def test_what_has_not_ended_in_time_is_told_with_its_reason_and_ends_later(
    cloakroom: Commands, stack: Stack, http: aiohttp.ClientSession, subject: str
) -> None:
    ids = await calls_of(http, stack, subject, 2)
    refusal = {"kind": "status", "path": "hangup", "status": 403, "times": 2}
    body = '{"error": {"message": "no", "code": "not_now", "type": "x"}}'
    stack.sandbox.control("POST", "faults", {**refusal, "body": body})
    done = await asyncio.to_thread(
        cloakroom.run, "calls", "hangup", "--subject", subject, "--yes", "--wait", "1.5"
    )
    assert (done.status, done.out) == (1, "0 of 2 calls hung up\n")
    assert "2 calls: the last try failed (not_now); the replicas try again" in done.err
    await eventually(lambda: ends(stack, ids) == {"hangup"})


async def test_without_a_replica_calls_are_noted_and_the_next_one_that_starts_hangs_them_up(
    subject: str, http: aiohttp.ClientSession
) -> None:
    with Stack(peer="static", CLOAKROOM_HANDLE_MAX_CALLS="0") as stack:
        ids = await calls_of(http, stack, subject, 3)
        stack.a.signal(signal.SIGKILL)
        stack.b.signal(signal.SIGKILL)
        choice = ("calls", "hangup", "--subject", subject, "--yes")
        cloakroom = Commands(stack)
        done = await asyncio.to_thread(cloakroom.run, *choice, "--wait", "0.2", way="direct")
        assert (done.status, done.out) == (1, "0 of 3 calls hung up\n")
        assert "3 calls: noted, and not tried yet; where no replica runs, the next one" in done.err
        only = await asyncio.to_thread(cloakroom.run, *choice, "--wait", "0", way="direct")
        assert (only.status, only.out) == (
            0,
            "3 open calls noted: the replicas hang them up, whichever runs\n",
        )
        await asyncio.to_thread(stack.replica, "replica-c")
        await eventually(lambda: ends(stack, ids) == {"hangup"})


async def test_ctrl_c_leaves_the_rest_to_the_replicas(
    cloakroom: Commands, stack: Stack, http: aiohttp.ClientSession, subject: str
) -> None:
    ids = await calls_of(http, stack, subject, 2)
    stack.sandbox.control("POST", "faults", {"kind": "delay", "path": "hangup", "seconds": 3.0, "times": 2})
    process = cloakroom.start("calls", "hangup", "--subject", subject, "--yes")
    await eventually(lambda: asked_for(stack, ids) == 2)
    process.send_signal(signal.SIGINT)
    out, err = await asyncio.to_thread(process.communicate)
    assert (process.returncode, out) == (130, "")
    assert "0 of 2 calls hung up so far" in err
    assert "the replicas go on" in err
    await eventually(lambda: ends(stack, ids) == {"hangup"})


def asked_for(stack: Stack, ids: list[str]) -> int:
    """How many hang-ups of these calls the provider has had."""
    requests: dict[str, int] = stack.sandbox.control("GET", "state")["requests"]
    return sum(count for path, count in requests.items() if any(one in path for one in ids))


# --- revocations that take the calls along --------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
async def test_a_revocation_takes_the_calls_along_where_it_is_asked_to(
    cloakroom: Commands, stack: Stack, http: aiohttp.ClientSession, subject: str, way: Way
) -> None:
    handle, other = await handle_of(http, stack, subject), await handle_of(http, stack, f"{subject}-b")
    mine = [await called(http, stack.b.url, handle) for _ in range(2)]
    untouched = await called(http, stack.b.url, other)
    done = await asyncio.to_thread(cloakroom.run, "handles", "revoke", handle, "--calls", way=way)
    assert (done.status, done.out) == (0, "revoked 1 handle\n2 of 2 calls hung up\n")
    assert ends(stack, mine) == {"hangup"}
    assert ends(stack, [untouched]) == {None}
    many = ("handles", "revoke", "--subject", f"{subject}-b", "--calls")
    counted = await asyncio.to_thread(cloakroom.run, *many, "--dry-run", way=way)
    assert counted.out == "would revoke 1 handle\nwould hang up 1 open call\n"
    assert (await asyncio.to_thread(cloakroom.run, *many, way=way)).status == 2
    done = await asyncio.to_thread(cloakroom.run, *many, "--yes", "--json", way=way)
    assert done.status == 0
    assert (done.json["revoked"], done.json["calls"]["found"], done.json["calls"]["ended"]) == (1, 1, 1)
    assert ends(stack, [untouched]) == {"hangup"}


@pytest.mark.parametrize("way", WAYS)
async def test_a_call_that_another_replica_is_relaying_at_that_moment_ends_as_well(
    cloakroom: Commands, stack: Stack, http: aiohttp.ClientSession, subject: str, way: Way
) -> None:
    """The revocation comes between the claim and the provider's answer, which is held up so long."""
    handle = await handle_of(http, stack, subject)
    record = keys.handle(str(claims_of(handle)["jti"]))
    stack.sandbox.signal(signal.SIGSTOP)
    try:
        relaying = asyncio.create_task(relay(http, stack.b.url, handle))
        with onlooker(stack.engine.url) as client:
            await eventually(lambda: client.hget(record, "calls") == "1")
        done = await asyncio.to_thread(
            cloakroom.run, "handles", "revoke", "--subject", subject, "--calls", "--yes", way=way
        )
    finally:
        stack.sandbox.signal(signal.SIGCONT)
    assert (done.status, done.out) == (0, "revoked 1 handle\nno open call matches\n")
    reply = await relaying
    assert reply.status == 201
    call_id = reply.headers["location"].rpartition("/")[2]
    await eventually(lambda: ends(stack, [call_id]) == {"hangup"})
    shown = await asyncio.to_thread(cloakroom.run, "calls", "show", call_id, "--json", way=way)
    assert shown.json["ended_because"] == "operator"


async def test_a_handle_with_more_calls_than_its_record_names_takes_all_of_them_along(
    cloakroom: Commands, stack: Stack, http: aiohttp.ClientSession
) -> None:
    handle = await minted(http, stack.a.url, stack.planted.client_key)
    ids = [await called(http, stack.a.url, handle) for _ in range(23)]
    handle_id = str(claims_of(handle)["jti"])
    done = await asyncio.to_thread(cloakroom.run, "handles", "revoke", handle_id, "--calls")
    assert (done.status, done.out) == (0, "revoked 1 handle\n23 of 23 calls hung up\n")
    assert ends(stack, ids) == {"hangup"}
