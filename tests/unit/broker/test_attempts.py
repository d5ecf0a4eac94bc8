"""Minting over deployments that fail: which is asked when, which breaker opens, and that deadlines are kept.

Each deployment is a server of few words behind the real outbound client, in virtual time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from app.broker.routing.attempts import Candidate, MintAttempts, shown_by_call
from app.broker.routing.breaker import COOLING_SECONDS, FAILURES_IN_A_ROW, Breakers, Verdict
from app.errors import (
    CloakroomError,
    InvalidRequest,
    OutcomeUnknown,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnavailable,
    UpstreamUnreachable,
)
from app.models import Clocks, Family, StandardCall
from app.outbound.client import UpstreamClient
from app.providers.registry import PROVIDERS
from app.telemetry.timings import Timings
from tests.support.egress import here
from tests.unit.outbound.peer import Peer, Reply, saying
from tests.unit.values import EPHEMERAL_KEY, NOW, deployment, mint_request

pytestmark = pytest.mark.virtual_time

DEADLINE = 10.0
# What the promise allows.
LATEST = DEADLINE * 1.05
FAILED = Verdict("failed")


def now() -> float:
    return asyncio.get_running_loop().time()


def answer(status: int, body: Any = b"", **headers: str) -> Reply:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return saying(f"HTTP/1.1 {status} X\r\n{lines}Content-Length: {len(raw)}\r\n\r\n".encode() + raw)


minted = answer(200, {"value": EPHEMERAL_KEY, "expires_at": int(NOW) + 600, "session": {}})
silent = saying()
cut = saying(then_close=True)
failing = answer(503)
redirecting = answer(307, Location="https://elsewhere.example/")
refusing = answer(400, {"error": {"message": "No such voice.", "code": "invalid_value"}})
wrong_key = answer(401, {"error": {"message": "Who?", "code": "invalid_api_key"}})
broke = answer(429, {"error": {"message": "No credit.", "code": "insufficient_quota"}})


def dripping(
    *, every: float, what: bytes, first: bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
) -> Reply:
    """Something of an answer again and again, without an end."""

    async def reply(writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while not writer.is_closing():
            writer.write(what)
            await writer.drain()
            await asyncio.sleep(every)

    return reply


class Place:
    """One deployment and its provider. ``reply`` can be changed at any time."""

    def __init__(self, name: str, reply: Reply) -> None:
        self.name, self.reply = name, reply

        async def as_told(writer: asyncio.StreamWriter) -> None:
            await self.reply(writer)

        self.peer = Peer(as_told)
        self.candidate: Candidate

    async def start(self) -> None:
        url = await self.peer.start()
        self.candidate = Candidate(deployment(name=self.name, base_url=url), mint_request())

    @property
    def asked(self) -> int:
        return len(self.peer.requests)


class Mints:
    """A replica's mints over some places."""

    def __init__(self, places: Sequence[Place], client: UpstreamClient) -> None:
        self.places = places
        self.breakers = Breakers(now)
        self.attempts = MintAttempts(
            providers=PROVIDERS,
            upstream=client,
            deadline=DEADLINE,
            clocks=Clocks(lambda: NOW, now),
            breakers=self.breakers,
        )

    async def mint(self, *places: Place) -> str | CloakroomError:
        """The name of the deployment that minted, or what went wrong."""
        candidates = [place.candidate for place in places or self.places]
        started = now()
        try:
            granted = await self.attempts.mint(candidates, Timings())
        except CloakroomError as error:
            return error
        finally:
            assert now() - started <= LATEST
        return granted.candidate.deployment.name


Over = Callable[..., Awaitable[Mints]]


@pytest.fixture
async def over() -> AsyncIterator[Over]:
    clients, places = [], list[Place]()

    async def start(*replies: Reply, connect_timeout: float = 3.0) -> Mints:
        mine = [Place(name, reply) for name, reply in zip("abcdef", replies, strict=False)]
        for place in mine:
            await place.start()
        places.extend(mine)
        clients.append(UpstreamClient(connect_timeout=connect_timeout, egress=here()))
        return Mints(mine, clients[-1])

    yield start
    for client in clients:
        await client.close()
    for place in places:
        await place.peer.close()


FAILURES = [
    pytest.param(silent, id="silent"),
    pytest.param(cut, id="cut"),
    pytest.param(failing, id="503"),
    pytest.param(redirecting, id="redirect"),
    pytest.param(answer(200, b"<html>"), id="garbled"),
    pytest.param(saying(b"HTTP/1.1 200 OK\r\nX: \x00\r\n\r\n"), id="forbidden header"),
    pytest.param(answer(200, b" " * 300_000), id="huge"),
    pytest.param(answer(200, {"value": EPHEMERAL_KEY, "expires_at": int(NOW) - 5}), id="expired key"),
    pytest.param(dripping(every=3, what=b"1\r\nx\r\n"), id="dripping body"),
    pytest.param(dripping(every=3, what=b"x", first=b"HTTP/1.1 200 OK\r\nX: "), id="dripping head"),
]
ANSWERS = [
    pytest.param(wrong_key, "invalid_api_key", id="401"),
    pytest.param(broke, "insufficient_quota", id="no credit"),
]


SLOW = [failure for failure in FAILURES if failure.id in ("silent", "dripping body", "dripping head")]


@pytest.mark.parametrize("failure", FAILURES)
async def test_the_next_deployment_mints_and_the_failing_one_comes_last_for_a_while(
    over: Over, failure: Reply
) -> None:
    mints = await over(failure, minted)
    with capture_logs() as lines:
        assert [await mints.mint(), await mints.mint()] == ["b", "b"]
        assert mints.places[0].asked == 1
        for _ in range(FAILURES_IN_A_ROW - 1):
            mints.breakers.leave("a", 0, FAILED)
    assert [line["failures_in_a_row"] for line in lines] == [FAILURES_IN_A_ROW], "it counted as a failure"


async def test_one_that_always_fails_is_asked_ever_more_seldom_while_the_other_serves(over: Over) -> None:
    mints = await over(failing, minted)
    asked = []
    for _ in range(12):
        assert await mints.mint() == "b"
        asked.append(mints.places[0].asked)
        await asyncio.sleep(COOLING_SECONDS)
    # Five failures open it for 1 s, then for 2, 4, 8, 16 s; the order by cooling keeps it back for 5 s.
    assert asked == [1, 2, 3, 4, 5, 6, 7, 8, 8, 9, 9, 9]


@pytest.mark.parametrize("failure", [silent, cut, failing], ids=["silent", "cut", "503"])
async def test_with_every_breaker_open_the_caller_is_told_at_once_and_nothing_is_sent(
    over: Over, failure: Reply
) -> None:
    mints = await over(failure, failure)
    while len(set(mints.breakers.closed())) < 2:
        assert not isinstance(await mints.mint(), str)
    asked, started = [place.asked for place in mints.places], now()
    result = await mints.mint()
    assert isinstance(result, UpstreamUnavailable)
    assert result.retry_after == mints.breakers.retry_after("ab")
    assert (now() - started, [place.asked for place in mints.places]) == (0, asked)


async def test_after_the_time_that_it_was_told_a_caller_gets_through(over: Over) -> None:
    mints = await over(failing)
    (place,) = mints.places
    while not set(mints.breakers.closed()):
        await mints.mint()
    refused = await mints.mint()
    assert isinstance(refused, UpstreamUnavailable)
    place.reply = minted
    await asyncio.sleep(refused.retry_after or 0)
    assert await mints.mint() == "a"
    assert set(mints.breakers.closed()) == set()


async def test_while_one_mint_tries_the_others_are_refused_or_go_elsewhere(over: Over) -> None:
    mints = await over(failing, minted)
    place, other = mints.places
    while not set(mints.breakers.closed()):
        await mints.mint(place)
    place.reply = silent
    await asyncio.sleep(1)
    asked = place.asked
    trying = asyncio.create_task(mints.mint(place))
    await asyncio.sleep(0.5)
    assert place.asked == asked + 1
    for _ in range(3):
        assert isinstance(await mints.mint(place), UpstreamUnavailable)
        assert await mints.mint(place, other) == "b"
    assert place.asked == asked + 1
    assert isinstance(await trying, UpstreamTimeout)
    assert place.asked == asked + 1, "its breaker is open again, so it is not tried a second time"


async def test_a_caller_that_hangs_up_while_it_tries_leaves_the_try_to_the_next(over: Over) -> None:
    mints = await over(failing)
    (place,) = mints.places
    while not set(mints.breakers.closed()):
        await mints.mint()
    await asyncio.sleep(1)
    place.reply = silent
    trying = asyncio.create_task(mints.mint())
    await asyncio.sleep(0.5)
    trying.cancel()
    await asyncio.gather(trying, return_exceptions=True)
    place.reply = minted
    assert await mints.mint() == "a"


@pytest.mark.parametrize(("reply", "code"), [*ANSWERS, pytest.param(refusing, "invalid_value", id="400")])
async def test_a_refusal_keeps_its_reason_however_often_it_comes(over: Over, reply: Reply, code: str) -> None:
    mints = await over(reply)
    for _ in range(4 * FAILURES_IN_A_ROW):
        result = await mints.mint()
        assert isinstance(result, UpstreamError)
        assert result.answer_code == code
    assert mints.places[0].asked == 4 * FAILURES_IN_A_ROW


async def test_a_fault_of_the_callers_session_is_asked_of_no_other_deployment(over: Over) -> None:
    mints = await over(refusing, minted)
    assert isinstance(await mints.mint(), UpstreamError)
    assert [place.asked for place in mints.places] == [1, 0]
    assert set(mints.breakers.cooling()) == set()


@pytest.mark.parametrize("status", [429, 503])
async def test_one_that_asks_to_wait_is_not_asked_until_then(over: Over, status: int) -> None:
    mints = await over(answer(status, Retry_After="60"), minted)
    first, _ = mints.places
    assert await mints.mint() == "b"
    for _ in range(5):
        await asyncio.sleep(11)
        assert await mints.mint() == "b"
    refused = await mints.mint(first)
    assert isinstance(refused, UpstreamUnavailable)
    assert (refused.retry_after, first.asked) == (5, 1)
    first.reply = minted
    await asyncio.sleep(5)
    assert await mints.mint() == "a"


@pytest.mark.parametrize("status", [429, 503])
async def test_a_retry_after_that_is_a_date_is_kept_to_as_well(over: Over, status: int) -> None:
    day = "Sat, 28 Nov 2026 10:00:"
    mints = await over(answer(status, Date=f"{day}00 GMT", Retry_After=f"{day}42 GMT"))
    first = await mints.mint()
    assert isinstance(first, UpstreamError)
    assert first.retry_after == 42
    second = await mints.mint()
    assert isinstance(second, UpstreamUnavailable)
    assert (second.retry_after, mints.places[0].asked) == (42, 1)


async def test_a_short_retry_after_is_waited_for_by_the_mint_that_got_it(over: Over) -> None:
    mints = await over(answer(429, Retry_After="2"))
    (place,) = mints.places
    first = asyncio.create_task(mints.mint())
    await asyncio.sleep(1)
    second = await mints.mint()
    assert isinstance(second, UpstreamUnavailable)
    assert (second.retry_after, place.asked) == (1, 1)
    place.reply = minted
    assert await first == "a"
    assert place.asked == 2


async def test_what_may_pass_is_tried_again_and_what_will_not_is_not(over: Over) -> None:
    mints = await over(failing, wrong_key)
    first, second = mints.places
    assert isinstance(await mints.mint(), UpstreamError)
    assert (first.asked, second.asked) == (2, 1)


async def test_a_mint_that_asks_each_deployment_once_goes_to_the_next_and_comes_back_to_none(
    over: Over,
) -> None:
    mints = await over(failing, minted)
    candidates = [place.candidate for place in mints.places]
    granted = await mints.attempts.mint(candidates, Timings(), once=True)
    assert granted.candidate.deployment.name == "b"
    alone = await over(answer(429))
    with pytest.raises(UpstreamError):
        await alone.attempts.mint([alone.places[0].candidate], Timings(), once=True)
    assert alone.places[0].asked == 1


async def test_time_that_is_spent_before_counts_to_the_deadline(over: Over) -> None:
    mints = await over(silent)
    started = now()
    with pytest.raises(UpstreamTimeout):
        await mints.attempts.mint([mints.places[0].candidate], Timings(), spent=0.8 * DEADLINE)
    assert now() - started <= 0.25 * DEADLINE


async def test_a_port_that_nobody_listens_at_opens_its_breaker(over: Over) -> None:
    mints = await over(minted)
    await mints.places[0].peer.close()
    results = [await mints.mint() for _ in range(3)]
    assert [type(result) for result in results] == [
        UpstreamUnreachable,
        UpstreamUnreachable,
        UpstreamUnavailable,
    ]


@pytest.mark.parametrize("number", [1, 2, 5])
@pytest.mark.parametrize("failure", SLOW)
async def test_however_many_deployments_are_slow_in_whatever_manner_the_deadline_is_kept(
    over: Over, failure: Reply, number: int
) -> None:
    mints = await over(*[failure] * number)
    # ``mint`` holds each to its deadline.
    results = await asyncio.gather(*(mints.mint() for _ in range(3)))
    assert {type(result) for result in results} == {UpstreamTimeout}


async def test_mints_at_once_over_a_failing_and_a_good_deployment_all_succeed_in_time(over: Over) -> None:
    mints = await over(silent, minted)
    results = await asyncio.gather(*(mints.mint() for _ in range(50)))
    assert set(results) == {"b"}
    assert set(mints.breakers.closed()) == {"a"}


def without_keys(mints: Mints, number: int) -> Place:
    """Make this place one whose provider mints no keys."""
    place = mints.places[number]
    place.candidate = replace(
        place.candidate,
        deployment=replace(place.candidate.deployment, ephemeral_keys=False, call_key="standard"),
    )
    return place


async def test_a_deployment_without_ephemeral_keys_is_asked_nothing(over: Over) -> None:
    mints = await over(silent)
    place = without_keys(mints, 0)
    granted = await mints.attempts.mint([place.candidate], Timings())
    assert place.asked == 0
    assert granted.grant.key is None
    assert granted.grant.call == StandardCall(b'{"model":"assistant","type":"realtime"}', None, "assistant")
    assert granted.session == {"model": "assistant", "type": "realtime"}
    assert granted.life.expires_at == int(NOW) + 600


async def test_a_life_that_was_asked_for_counts_on_our_clock(over: Over) -> None:
    mints = await over(silent)
    place = without_keys(mints, 0)
    wanted = replace(place.candidate, request=mint_request(seconds=7200))
    assert (await mints.attempts.mint([wanted], Timings())).life.expires_at == int(NOW) + 7200


async def test_a_model_may_have_both_kinds_of_deployments(over: Over) -> None:
    mints = await over(failing, silent)
    without_keys(mints, 1)
    assert await mints.mint() == "b"
    assert mints.places[1].asked == 0


async def test_a_mint_that_asks_nothing_is_not_made_while_its_breaker_is_open(over: Over) -> None:
    mints = await over(silent, minted)
    first, second = without_keys(mints, 0), mints.places[1]
    for _ in range(FAILURES_IN_A_ROW):
        mints.breakers.leave("a", 0, FAILED)
    assert await mints.mint() == "b"
    assert isinstance(await mints.mint(first), UpstreamUnavailable)
    await asyncio.sleep(LATEST)
    # Half-open: such a mint neither closes the breaker nor opens it, and lets the next one in.
    assert [await mints.mint(first) for _ in range(3)] == ["a", "a", "a"]
    assert (first.asked, second.asked) == (0, 1)


async def test_a_kind_of_session_that_needs_a_key_goes_to_the_deployment_that_mints(over: Over) -> None:
    mints = await over(silent, minted)
    first, second = without_keys(mints, 0), mints.places[1]
    for place in (first, second):
        place.candidate = replace(place.candidate, request=mint_request(family=Family.TRANSLATION))
    assert await mints.mint() == "b"
    refused = await mints.mint(first)
    assert isinstance(refused, UpstreamError)
    assert refused.upstream_status == 400


async def test_a_session_that_one_server_cannot_have_goes_to_another_and_counts_against_neither(
    over: Over,
) -> None:
    mints = await over(silent, minted)
    first, second = mints.places
    home = deployment("localai", name="a", base_url="http://localai:8080/v1")
    session = mint_request(session={"instructions": "Be brief."})
    first.candidate = Candidate(home, session)
    second.candidate = replace(second.candidate, request=session)
    assert await mints.mint() == "b"
    assert list(mints.breakers.cooling()) == []
    refused = await mints.mint(first)
    assert isinstance(refused, InvalidRequest)
    assert refused.param == "session.instructions"


async def test_the_session_is_kept_beside_the_key_only_where_the_standard_key_creates_the_call(
    over: Over,
) -> None:
    mints = await over(minted)
    place = mints.places[0]
    assert (await mints.attempts.mint([place.candidate], Timings())).grant.call is None
    standard = replace(place.candidate.deployment, call_key="standard")
    beside = await mints.attempts.mint([Candidate(standard, mint_request())], Timings())
    assert beside.grant.key is not None
    assert beside.grant.call is not None
    translation = mint_request(family=Family.TRANSLATION)
    assert (await mints.attempts.mint([Candidate(standard, translation)], Timings())).grant.call is None


@pytest.mark.parametrize(
    ("error", "health", "elsewhere", "wait"),
    [
        (UpstreamUnreachable("No connection."), "failed", True, None),
        (UpstreamError("Full.", upstream=(503, "full"), retry_after=5), None, True, 5),
        (UpstreamError("Slow down.", upstream=(429, None), retry_after=7), "answered", True, 7),
        (UpstreamError("No such voice.", upstream=(400, None)), "answered", False, None),
        (UpstreamError("It failed.", upstream=(500, None)), None, False, None),
        (UpstreamError("No readable error."), None, False, None),
        (UpstreamTimeout("Too slow."), None, False, None),
        (OutcomeUnknown("No SDP."), None, False, None),
    ],
)
def test_only_what_no_offer_can_cause_counts_against_a_deployment(
    error: CloakroomError, health: str | None, elsewhere: bool, wait: float | None
) -> None:
    """A browser writes the offer: one that its provider fails on must not close it to others."""
    shown = shown_by_call(error)
    assert (shown.health, shown.elsewhere, shown.wait) == (health, elsewhere, wait)
