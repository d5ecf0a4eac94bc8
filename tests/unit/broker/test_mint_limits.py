"""A limit of mints that is used up is not asked of the store again until its minute ends."""

from __future__ import annotations

from typing import Any, cast

import pytest

from app.broker import mint_limits
from app.broker.mint_limits import MintLimits
from app.errors import RateLimited
from app.models import Client, Clocks
from app.store.records.handles import HandleStore
from app.store.records.minting import Admitted, Minting
from app.telemetry.timings import Timings
from tests.unit.values import NOW

LIMITED = Client("shop", mints_per_minute=2)
BY_USER = Client("shop", mints_per_minute_per_subject=1)


class Store:
    """Counts as the store's script does, and how often it is asked."""

    elsewhere = False

    def __init__(self) -> None:
        self.asked = 0
        self.counts: dict[tuple[str, str, int], int] = {}

    async def admit(self, minting: Minting, live: Any, *, now: float) -> Admitted:
        self.asked += 1
        of_subject = 0
        if minting.most is not None:
            of_subject = self._count(minting.client, minting.subject, now)
            if of_subject > minting.most:
                return Admitted(0, of_subject, None)
        return Admitted(self._count(minting.client, "", now), of_subject, None)

    def _count(self, client: str, subject: str, now: float) -> int:
        key = (client, subject, int(now // 60))
        self.counts[key] = self.counts.get(key, 0) + 1
        return self.counts[key]


class Limits:
    def __init__(self) -> None:
        self.now = NOW // 60 * 60
        self.store = Store()
        clocks = Clocks(lambda: self.now, lambda: 0.0)
        self._limits = MintLimits(cast(HandleStore, self.store), 10.0, clocks)

    async def mint(self, client: Client, subject: str | None = None) -> RateLimited | None:
        try:
            await self._limits.admit(client, subject, None, Timings())
        except RateLimited as error:
            return error
        return None


@pytest.fixture
def limits() -> Limits:
    return Limits()


async def test_after_the_first_refusal_the_store_is_left_alone_until_the_minute_ends(limits: Limits) -> None:
    limits.now += 20
    answers = [await limits.mint(LIMITED) for _ in range(50)]
    assert answers[:2] == [None, None]
    assert {(error.message, error.retry_after) for error in answers[2:] if error} == {
        ("Client 'shop' may mint 2 handles a minute.", 40)
    }
    assert limits.store.asked == 3
    limits.now += 40
    assert await limits.mint(LIMITED) is None
    assert limits.store.asked == 4


async def test_one_user_who_may_no_more_is_not_another(limits: Limits) -> None:
    answers = [await limits.mint(BY_USER, "ada") for _ in range(10)]
    assert answers[0] is None
    assert all(error is not None and "A user of" in error.message for error in answers[1:])
    assert limits.store.asked == 2
    assert await limits.mint(BY_USER, "bob") is None
    assert await limits.mint(BY_USER) is None


async def test_a_limit_that_was_raised_counts_at_once(limits: Limits) -> None:
    for _ in range(5):
        await limits.mint(LIMITED)
    assert await limits.mint(Client("shop", mints_per_minute=50)) is None
    assert await limits.mint(LIMITED) is not None


async def test_what_is_remembered_is_bounded(limits: Limits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mint_limits, "_MOST_USED_UP", 5)
    for number in range(20):
        for _ in range(3):
            await limits.mint(BY_USER, f"user {number}")
        assert await limits.mint(BY_USER, f"user {number}") is not None
    assert limits.store.asked == 40
