"""The keeper of an issuer's keys: what requests make it fetch, how long they wait, how long keys are used."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from app.errors import SignInUnavailable
from app.identity.issuers import Issuer
from app.identity.keys import KeySet, read_keys
from app.outbound.keeping.issuer_keys import (
    EARLY_EVERY_SECONDS,
    FETCH_SECONDS,
    KEEP_SECONDS,
    REFRESH_SECONDS,
    WAITING_AT_ONCE,
    FetchedKeys,
    IssuerKeys,
    keys_fetch,
)
from app.outbound.keeping.keeper import FetchFault
from app.sandbox.issuer import Issuer as Provider
from app.sandbox.keys import ProviderClock
from tests.support.egress import here

ISSUER = Issuer("team", "https://sso.example", ("voice",), ("ES256",))
virtual = pytest.mark.virtual_time


class Directory:
    """An issuer with keys; it counts fetches, takes its time, and is out for as long as it is told."""

    def __init__(self) -> None:
        self.provider = Provider(ProviderClock())
        self.provider.rotate()
        self.fetches = 0
        self.seconds = 0.0
        self.out = False

    async def fetch(self) -> FetchedKeys:
        self.fetches += 1
        await asyncio.sleep(self.seconds)
        if self.out:
            raise FetchFault("it is out")
        return FetchedKeys(self.keys(), now(), "https://sso.example/jwks")

    def keys(self) -> KeySet:
        return read_keys(ISSUER, orjson.dumps(self.provider.jwks()))

    @property
    def kid(self) -> str:
        return self.provider.signing.kid


def now() -> float:
    return asyncio.get_running_loop().time()


def keeper(directory: Directory, counted: list[bool] | None = None) -> IssuerKeys:
    count: Callable[[bool], None] = counted.append if counted is not None else lambda good: None
    return IssuerKeys(ISSUER, directory.fetch, count=count, clock=now)


@virtual
async def test_a_key_that_is_known_costs_no_fetch_and_the_keys_are_renewed_every_ten_minutes() -> None:
    directory, counted = Directory(), list[bool]()
    kept = keeper(directory, counted)
    await kept.start(wait=5)
    for _ in range(1000):
        assert await kept.key(directory.kid, "ES256") is not None
    assert directory.fetches == 1
    await asyncio.sleep(10 * REFRESH_SECONDS)
    assert 10 <= directory.fetches <= 13
    assert counted == [True] * directory.fetches
    await kept.close()


@virtual
async def test_all_that_wait_for_a_new_key_share_one_fetch() -> None:
    directory = Directory()
    kept = keeper(directory)
    await kept.start(wait=5)
    directory.provider.rotate()
    directory.seconds = 1.0
    found = await asyncio.gather(*(kept.key(directory.kid, "ES256") for _ in range(WAITING_AT_ONCE)))
    assert all(found)
    assert directory.fetches == 2
    await kept.close()


@virtual
async def test_invented_keys_make_one_fetch_in_half_a_minute() -> None:
    directory = Directory()
    kept = keeper(directory)
    await kept.start(wait=5)
    started = now()
    while now() < started + 300:
        assert await kept.key("invented", "ES256") is None
        await asyncio.sleep(0.1)
    assert directory.fetches <= 1 + 300 / EARLY_EVERY_SECONDS + 1
    await kept.close()


@virtual
async def test_a_slow_issuer_holds_a_few_requests_for_a_moment_and_no_more() -> None:
    directory = Directory()
    kept = keeper(directory)
    await kept.start(wait=5)
    directory.seconds = 2 * FETCH_SECONDS
    started = now()
    waiting = [asyncio.create_task(kept.key("new", "ES256")) for _ in range(WAITING_AT_ONCE)]
    await asyncio.sleep(0)
    with pytest.raises(SignInUnavailable):
        await kept.key("new", "ES256")
    assert now() == started, "one more than may wait is told at once"
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(one, SignInUnavailable) for one in results)
    assert now() < started + FETCH_SECONDS
    assert await kept.key(directory.kid, "ES256") is not None, "who has a known key does not wait"
    await kept.close()


@virtual
async def test_known_keys_are_used_for_a_day_of_outage_and_no_longer() -> None:
    directory = Directory()
    kept = keeper(directory)
    await kept.start(wait=5)
    directory.out = True
    started = now()
    while now() < started + KEEP_SECONDS - REFRESH_SECONDS:
        assert await kept.key(directory.kid, "ES256") is not None
        await asyncio.sleep(1000)
    with pytest.raises(SignInUnavailable) as refused:
        await kept.key("invented", "ES256")
    # The next try comes within half a minute.
    assert 1 <= (refused.value.retry_after or 0) <= 30
    await asyncio.sleep(2 * REFRESH_SECONDS)
    with pytest.raises(SignInUnavailable):
        await kept.key(directory.kid, "ES256")
    directory.out = False
    await asyncio.sleep(60)
    assert await kept.key(directory.kid, "ES256") is not None
    await kept.close()


@virtual
async def test_requests_during_an_outage_make_no_fetch_beside_those_that_come_by_themselves() -> None:
    directory = Directory()
    kept = keeper(directory)
    await kept.start(wait=5)
    directory.out = True
    with pytest.raises(SignInUnavailable):
        await kept.key("invented", "ES256")
    await asyncio.sleep(120)
    fetches, started = directory.fetches, now()
    while now() < started + 60:
        with pytest.raises(SignInUnavailable):
            await kept.key("invented", "ES256")
        await asyncio.sleep(0.1)
    # Its own tries come every 27 to 30 seconds by now.
    assert directory.fetches - fetches <= 3
    await kept.close()


@virtual
async def test_before_the_first_keys_nobody_is_let_in_and_nobody_waits() -> None:
    directory = Directory()
    directory.out = True
    kept = keeper(directory)
    assert await kept.start(wait=5)
    started = now()
    with pytest.raises(SignInUnavailable):
        await kept.key(directory.kid, "ES256")
    assert now() == started
    await kept.close()


async def test_a_token_file_that_is_not_there_is_a_fault_that_names_its_setting(tmp_path: Path) -> None:
    issuer = Issuer("team", "https://a.example", ("v",), ("ES256",), token_file=str(tmp_path / "none"))
    with pytest.raises(FetchFault, match=r"check issuers\.team\.token_file"):
        await keys_fetch(issuer, clock=lambda: 0.0, egress=here())()
