"""What strangers, slow callers and a greedy client cannot take from the others, with real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import Callable, Iterator

import aiohttp
import pytest

from tests.support import api
from tests.support.clocks import PATIENCE, eventually
from tests.support.offers import fresh_offer
from tests.support.processes import Replica
from tests.support.scrape import scrape
from tests.support.stack import Stack

QUIET_KEY = "ck_quiet_5Jr1mZ8tq0vB7nYx2LkDfGhPwEaScUi3"
PLACES = 12
PER_MINUTE = 2


@pytest.fixture
def slow_provider(static_stack: Stack) -> Iterator[Callable[[float], None]]:
    """Lets each mint at the provider take so many seconds, until the test ends."""

    def slow(seconds: float) -> None:
        fault = {"kind": "delay", "path": "client_secrets", "seconds": seconds, "times": 100_000}
        static_stack.sandbox.control("POST", "faults", fault)

    yield slow
    static_stack.sandbox.control("DELETE", "faults")


async def test_a_quiet_client_mints_and_its_users_call_while_another_one_floods_a_slow_provider(
    static_stack: Stack, http: aiohttp.ClientSession, slow_provider: Callable[[float], None]
) -> None:
    greedy_key = static_stack.planted.client_key
    replica = static_stack.replica(
        "shared",
        CLOAKROOM_MAX_IN_FLIGHT=str(PLACES),
        CLOAKROOM_CLIENTS=f'{{"quiet": {{"api_key": "{QUIET_KEY}"}}}}',
    )
    handle = await api.minted(http, replica.url, QUIET_KEY)
    slow_provider(0.4)
    # Nobody else comes: it has every place.
    alone = await asyncio.gather(*(api.mint(http, replica.url, greedy_key) for _ in range(PLACES)))
    assert {reply.status for reply in alone} == {200}
    answers: Counter[int] = Counter()

    async def flood() -> None:
        while True:
            answers[(await api.mint(http, replica.url, greedy_key)).status] += 1

    floods = [asyncio.create_task(flood()) for _ in range(4 * PLACES)]
    try:
        await eventually(lambda: answers[503] > PLACES, lambda: answers)
        for _ in range(8):
            assert (await api.mint(http, replica.url, QUIET_KEY)).status == 200
            assert (await api.relay(http, replica.url, handle, fresh_offer())).status == 201
            async with http.get(f"{replica.url}/readyz") as ready:
                assert ready.status == 200
    finally:
        for one in floods:
            one.cancel()
        await asyncio.gather(*floods, return_exceptions=True)
    # The greedy one was served too, with what the others left.
    assert answers[200] > PLACES, answers
    assert answers.keys() == {200, 503}
    seen = await scrape(http, replica.url)
    assert (seen.value("cloakroom_fair_share_total", verdict="served") or 0) > 0
    assert (seen.value("cloakroom_fair_share_total", verdict="refused") or 0) >= answers[503]


async def test_bad_credentials_are_refused_early_and_good_ones_of_the_same_address_always_work(
    static_stack: Stack, http: aiohttp.ClientSession
) -> None:
    good = static_stack.planted.client_key
    replica = static_stack.replica("guessed", CLOAKROOM_REFUSED_CREDENTIALS_PER_MINUTE=str(PER_MINUTE))
    handle = await api.minted(http, replica.url, good)
    first = [await api.mint(http, replica.url, "ck_guess") for _ in range(PER_MINUTE)]
    assert [reply.status for reply in first] == [401] * PER_MINUTE
    # A token comes back now and then, so not each of them is limited.
    later = [await api.relay(http, replica.url, f"ek_guess_{number}") for number in range(30)]
    limited = [reply for reply in later if reply.status == 429]
    assert len(limited) > 10
    assert {reply.code for reply in limited} == {"rate_limited"}
    assert {reply.headers["retry-after"] for reply in limited} == {"30"}
    for _ in range(5):
        assert (await api.mint(http, replica.url, good)).status == 200
        assert (await api.relay(http, replica.url, handle, fresh_offer())).status == 201
        assert (await api.mint(http, replica.url, "", **{"api-key": ""})).status in (401, 429)
    seen = await scrape(http, replica.url)
    told = seen.value("cloakroom_credentials_refused_total", answer="429") or 0
    assert told >= len(limited)
    # Most of them were refused before they were parsed, so no line was written for them.
    assert len(replica.events("relay")) < len(later)
    (line, *_) = replica.events("credentials_limited")
    assert line["address"] == "127.0.0.1"


async def test_behind_proxies_each_caller_is_counted_by_what_the_last_of_them_saw(
    static_stack: Stack, http: aiohttp.ClientSession
) -> None:
    replica = static_stack.replica(
        "behind",
        CLOAKROOM_REFUSED_CREDENTIALS_PER_MINUTE=str(PER_MINUTE),
        CLOAKROOM_TRUSTED_PROXIES="2",
        CLOAKROOM_CONNECTIONS_PER_ADDRESS="1",
    )

    async def guess(forwarded: str) -> int:
        headers = {"X-Forwarded-For": forwarded}
        return (await api.mint(http, replica.url, "ck_guess", **headers)).status

    # Whatever the caller writes before it, in whatever port and address of its own network.
    guesses = [f"6.6.6.{number}, [2001:db8::{number}]:1{number}, 10.0.0.9" for number in range(1, 20)]
    answers = [await guess(one) for one in guesses]
    assert answers[:PER_MINUTE] == [401] * PER_MINUTE
    assert answers.count(429) > 5
    assert await guess("6.6.6.6, 2001:db8:0:1::1, 10.0.0.9") == 401
    # Its peer is a proxy, which may have any number of connections.
    both = await asyncio.gather(*(guess(f"198.51.100.{number}, 10.0.0.9") for number in range(1, 9)))
    assert both == [401] * 8


def connect(replica: Replica, receive_buffer: int | None = None) -> socket.socket:
    host, _, port = replica.url.removeprefix("http://").partition(":")
    one = socket.socket()
    if receive_buffer is not None:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    one.settimeout(PATIENCE)
    one.connect((host, int(port)))
    return one


def read_to_the_end(one: socket.socket) -> bytes:
    """All that comes until the server ends the connection, in either way."""
    found = b""
    with contextlib.suppress(ConnectionError):
        while part := one.recv(65_536):
            found += part
    return found


HEAD = b"POST /v1/realtime/client_secrets HTTP/1.1\r\nHost: slow.test\r\n"


@pytest.fixture(scope="module")
def strict(static_stack: Stack) -> Replica:
    return static_stack.replica(
        "strict",
        CLOAKROOM_HEAD_TIMEOUT_SECONDS="1",
        CLOAKROOM_BODY_TIMEOUT_SECONDS="1",
        CLOAKROOM_IDLE_TIMEOUT_SECONDS="2",
        CLOAKROOM_READ_TIMEOUT_SECONDS="1",
        CLOAKROOM_CONNECTIONS_PER_ADDRESS="40",
    )


@pytest.mark.parametrize("beginning", [b"P", HEAD, b"DELETE /v1", b"\r\n", b"HEAD "])
async def test_a_head_that_does_not_end_ends_its_connection(
    strict: Replica, http: aiohttp.ClientSession, beginning: bytes
) -> None:
    before = (await scrape(http, strict.url)).value("cloakroom_connections_cut_total", reason="head") or 0
    with connect(strict) as one:
        one.sendall(beginning)
        assert await asyncio.to_thread(read_to_the_end, one) == b""
    seen = await scrape(http, strict.url)
    assert seen.value("cloakroom_connections_cut_total", reason="head") == before + 1


async def test_a_body_that_does_not_come_is_told_so(static_stack: Stack, strict: Replica) -> None:
    credential = f"Authorization: Bearer {static_stack.planted.client_key}\r\n".encode()
    with connect(strict) as one:
        one.sendall(HEAD + credential + b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
        answer = await asyncio.to_thread(read_to_the_end, one)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"did not arrive within 1 seconds" in answer


async def test_a_body_without_a_credential_is_not_waited_for(strict: Replica) -> None:
    with connect(strict) as one:
        one.sendall(HEAD + b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
        answer = await asyncio.to_thread(read_to_the_end, one)
    assert answer.startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("first", [b"", b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"])
async def test_an_idle_connection_ends_whether_it_was_used_or_not(strict: Replica, first: bytes) -> None:
    with connect(strict) as one:
        one.sendall(first)
        answer = await asyncio.to_thread(read_to_the_end, one)
    assert answer.startswith(b"HTTP/1.1 200 ") if first else answer == b""


async def test_a_caller_that_does_not_read_its_answers_loses_its_connection(
    strict: Replica, http: aiohttp.ClientSession
) -> None:
    """It asks for far more than all buffers on the way hold."""
    asked = 300
    with connect(strict, receive_buffer=4096) as one:
        one.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * asked)

        async def cut() -> bool:
            seen = await scrape(http, strict.url)
            return (seen.value("cloakroom_connections_cut_total", reason="unread") or 0) > 0

        await eventually(cut)
        # What lies in the kernel's buffers still comes, and then the end.
        answers = await asyncio.to_thread(read_to_the_end, one)
    assert answers.count(b"HTTP/1.1 200 ") < asked
    assert (await scrape(http, strict.url)).value("cloakroom_requests_in_flight") == 1


async def test_an_address_has_only_so_many_connections(strict: Replica, http: aiohttp.ClientSession) -> None:
    with contextlib.ExitStack() as many:
        opened = [many.enter_context(connect(strict)) for _ in range(60)]
        # The test's own session has some of the 40, and those of other tests may still be ending.
        last = opened[-1]
        assert await asyncio.to_thread(read_to_the_end, last) == b""
    line = await asyncio.to_thread(strict.wait_for_event, "connections_limited")
    assert "CLOAKROOM_TRUSTED_PROXIES" in line["advice"]

    async def served_again() -> bool:
        try:
            seen = await scrape(http, strict.url)
        except aiohttp.ClientError:
            return False
        return (seen.value("cloakroom_connections_cut_total", reason="address") or 0) >= 20

    await eventually(served_again)
