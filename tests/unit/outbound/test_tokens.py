"""The keeper of an access token: renewed ahead, by one task, never by a request, and never shown."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from app.errors import UpstreamError
from app.models import Secret
from app.outbound.keeping.tokens import FreshToken, TokenFault, TokenKeeper
from tests.support.clocks import eventually

pytestmark = pytest.mark.virtual_time


class Directory:
    """Gives what the steps say, one a fetch and the last for ever; counts, and notices overlap."""

    def __init__(self, *steps: FreshToken | Exception, seconds: float = 0.0) -> None:
        self.steps, self.seconds = steps, seconds
        self.fetches = 0
        self.under_way = 0
        self.at_once = 0

    async def fetch(self) -> FreshToken:
        self.under_way += 1
        self.at_once = max(self.at_once, self.under_way)
        step = self.steps[min(self.fetches, len(self.steps) - 1)]
        self.fetches += 1
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.under_way -= 1
        if isinstance(step, Exception):
            raise step
        return step


def now() -> float:
    return asyncio.get_running_loop().time()


def token(text: str, *, life: float, renew: float) -> FreshToken:
    return FreshToken(Secret(text), expires_at=now() + life, refresh_at=now() + renew)


def keeper(directory: Directory, *, fetch_seconds: float = 5.0) -> TokenKeeper:
    return TokenKeeper("az", directory.fetch, issuer="Entra", fetch_seconds=fetch_seconds, clock=now)


async def test_a_thousand_requests_cost_one_fetch() -> None:
    directory = Directory(token("t1", life=3600, renew=3000))
    kept = keeper(directory)
    await kept.start(wait=5)
    assert {kept.current().reveal() for _ in range(1000)} == {"t1"}
    await asyncio.sleep(2000)
    assert directory.fetches == 1
    await kept.close()


async def test_it_is_renewed_before_it_ends_while_requests_go_on() -> None:
    directory = Directory(token("t1", life=3600, renew=0), token("t2", life=3600, renew=3000), seconds=0.05)
    kept = keeper(directory)
    await kept.start(wait=5)
    seen: list[str] = []

    def renewed() -> bool:
        seen.append(kept.current().reveal())
        return seen[-1] == "t2"

    await eventually(renewed)
    assert set(seen) == {"t1", "t2"}
    assert directory.at_once == 1
    await kept.close()


async def test_a_failing_renewal_keeps_the_old_token_while_it_is_valid() -> None:
    out = TokenFault("Entra is out")
    directory = Directory(token("t1", life=3600, renew=0), out, out, token("t2", life=3600, renew=3000))
    kept = keeper(directory)
    with capture_logs() as lines:
        await kept.start(wait=5)
        await eventually(lambda: directory.fetches >= 3)
        assert kept.current().reveal() == "t1"
        await eventually(lambda: kept.current().reveal() == "t2")
    await kept.close()
    failed = [line for line in lines if line["event"] == "access_token_not_refreshed"]
    assert len(failed) == 2
    assert failed[0]["reason"] == "Entra is out"
    assert [line["valid_seconds"] for line in failed] == [3599, 3598]
    assert "t1" not in str(lines)
    assert "t2" not in str(lines)


async def test_an_ended_token_is_not_sent_any_more() -> None:
    # Two seconds are within the margin that a request needs to arrive.
    directory = Directory(token("t1", life=2, renew=1000), TokenFault("Entra is out"))
    kept = keeper(directory)
    await kept.start(wait=5)
    with pytest.raises(UpstreamError, match="has no access token"):
        kept.current()
    await kept.close()


async def test_without_any_token_the_error_is_a_502_that_says_what_to_change() -> None:
    directory = Directory(TokenFault("the client secret is wrong, set deployments.az.entra.client_secret"))
    kept = keeper(directory)
    await kept.start(wait=5)
    with pytest.raises(UpstreamError) as refused:
        kept.current()
    assert (refused.value.answer_status, refused.value.answer_code) == (502, "upstream_error")
    assert "deployments.az.entra.client_secret" in refused.value.message
    assert kept.held() == ()
    await kept.close()


async def test_the_start_does_not_wait_longer_than_told() -> None:
    directory = Directory(token("late", life=3600, renew=3000), seconds=0.4)
    kept = keeper(directory)
    started = now()
    with capture_logs() as lines:
        await kept.start(wait=0.05)
    assert now() == started + 0.05
    assert [line["event"] for line in lines] == ["access_token_late"]
    with pytest.raises(UpstreamError, match="none was given yet"):
        kept.current()
    await eventually(lambda: kept.held() != ())
    assert kept.current().reveal() == "late"
    await kept.close()


async def test_a_fetch_that_hangs_is_given_up_and_tried_again() -> None:
    directory = Directory(token("t1", life=3600, renew=3000), seconds=60)
    kept = keeper(directory, fetch_seconds=0.05)
    await kept.start(wait=5)
    with pytest.raises(UpstreamError, match=r"no answer within 0\.05 seconds"):
        kept.current()
    directory.seconds = 0
    await eventually(lambda: kept.held() != ())
    assert directory.at_once == 1
    await kept.close()


async def test_an_error_that_nobody_foresaw_does_not_end_the_keeper_and_is_not_quoted() -> None:
    directory = Directory(RuntimeError("opensesame"), token("t1", life=3600, renew=3000))
    kept = keeper(directory)
    with capture_logs() as lines:
        await kept.start(wait=5)
        with pytest.raises(UpstreamError, match="asking for it failed with RuntimeError") as refused:
            kept.current()
        await eventually(lambda: kept.held() != ())
    await kept.close()
    assert "opensesame" not in f"{lines} {refused.value}"


async def test_failures_are_spaced_further_and_further_apart() -> None:
    directory = Directory(TokenFault("no"))
    kept = keeper(directory)
    await kept.start(wait=5)
    await asyncio.sleep(1.2)
    # After 1 s and then 2 s: a dead directory is not hammered.
    assert directory.fetches == 2
    await kept.close()


async def test_a_closed_keeper_asks_no_more() -> None:
    directory = Directory(token("t1", life=3600, renew=0), seconds=0.01)
    kept = keeper(directory)
    await kept.start(wait=5)
    await kept.close()
    fetches = directory.fetches
    await asyncio.sleep(1.2)
    assert directory.fetches == fetches


async def test_a_clock_that_jumps_ahead_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that slept for an hour wakes up with a token that has ended."""
    monkeypatch.setattr("app.outbound.keeping.keeper._LONGEST_SLEEP_SECONDS", 0.02)
    clock = [1_000.0]
    first = FreshToken(Secret("t1"), expires_at=4_600, refresh_at=4_300)
    second = FreshToken(Secret("t2"), expires_at=9_000, refresh_at=8_700)
    directory = Directory(first, second)
    kept = TokenKeeper("az", directory.fetch, issuer="Entra", fetch_seconds=5, clock=lambda: clock[0])
    await kept.start(wait=5)
    await asyncio.sleep(0.1)
    assert directory.fetches == 1
    clock[0] = 4_700.0
    await eventually(lambda: directory.fetches == 2)
    await eventually(lambda: kept.held() == (Secret("t2"),))
    await kept.close()


async def test_a_refused_token_is_renewed_at_once_and_only_once() -> None:
    tokens = [token(f"t{number}", life=3600, renew=3000) for number in range(4)]
    directory = Directory(*tokens)
    kept = keeper(directory)
    await kept.start(wait=5)
    await asyncio.sleep(10)
    with capture_logs() as lines:
        for _ in range(1000):
            kept.refused()
        await asyncio.sleep(1)
        assert (directory.fetches, kept.current().reveal()) == (2, "t1")
        # The new one is refused as well: a token that never works costs one exchange a minute, no more.
        for _ in range(50):
            kept.refused()
            await asyncio.sleep(1)
    assert directory.fetches == 2
    assert [line["event"] for line in lines].count("access_token_refused") == 1
    await asyncio.sleep(20)
    kept.refused()
    await asyncio.sleep(1)
    assert (directory.fetches, directory.at_once) == (3, 1)
    await kept.close()


async def test_the_early_renewal_keeps_the_old_token_while_the_issuer_is_out() -> None:
    out = TokenFault("out")
    directory = Directory(token("t1", life=3600, renew=3000), out, out, token("t2", life=3600, renew=3000))
    kept = keeper(directory)
    await kept.start(wait=5)
    kept.refused()
    await asyncio.sleep(1.5)
    assert (directory.fetches, kept.current().reveal()) == (3, "t1")
    await eventually(lambda: kept.current().reveal() == "t2")
    await kept.close()


async def test_an_early_renewal_moves_the_next_one() -> None:
    directory = Directory(token("t1", life=3600, renew=3000), token("t2", life=7200, renew=5000))
    kept = keeper(directory)
    await kept.start(wait=5)
    await asyncio.sleep(100)
    kept.refused()
    await asyncio.sleep(4000)
    assert directory.fetches == 2
    await kept.close()


async def test_what_is_refused_before_the_first_token_asks_for_nothing() -> None:
    directory = Directory(TokenFault("no"), seconds=0.5)
    kept = keeper(directory)
    await kept.start(wait=0.1)
    kept.refused()
    await asyncio.sleep(0.6)
    assert directory.fetches == 1
    await kept.close()


async def test_an_outage_of_a_day_ends_with_a_token() -> None:
    """After a thousand failures the pause was once a number that no float can hold, and the keeper died."""
    good = token("t1", life=10_000_000, renew=9_000_000)
    directory = Directory(*[TokenFault("Entra is out")] * 3000, good)
    kept = keeper(directory)
    await kept.start(wait=5)
    await asyncio.sleep(3000 * 30)
    await eventually(lambda: kept.held() == (Secret("t1"),))
    await kept.close()
