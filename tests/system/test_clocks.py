"""Clocks of whole processes that are off, by libfaketime: the short form of the drill ``clocks``."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from app.store import keys
from tests.faults import clocks
from tests.support.handles import claims_of
from tests.support.onlooker import async_onlooker

# A clock that is half a minute behind takes the handle for alive long after its end: the record decides.
BEHIND = -30.0
# A life that lasts until the store is back, also on a busy machine.
UNHURRIED = 20


async def test_no_handle_is_redeemed_past_its_keys_expiry_while_clocks_are_off_by_ninety_seconds() -> None:
    tally = clocks.Tally()
    await asyncio.gather(
        *[
            clocks.at_place(tally, store=store, provider=provider, replicas=(0.0, BEHIND))
            for store, provider in ((90.0, -90.0), (-90.0, 90.0))
        ]
    )
    tally.hold()
    figures = tally.figures()
    assert figures["combinations of clocks"] == 8
    assert figures["presented past the expiry"] == 2 * 2 * 2 * len(clocks.PHASES) * 2 * len(clocks.LATE)
    assert tally.in_time > 0


async def test_a_record_that_outlives_its_key_does_not_escape_the_count(http: aiohttp.ClientSession) -> None:
    tally = clocks.Tally()
    async with clocks.place(store=0.0, provider=90.0, replicas=(0.0, BEHIND)) as here:
        await here.check_clocks(http)
        handles = await here.mint(http, tally, clocks.MODELS["standard"], clocks.SHORT)
        async with async_onlooker(here.store.engine.url, decode=False) as store:
            for handle in handles:
                await store.expire(keys.handle(claims_of(handle.text)["jti"]), clocks.LONG)
        await here.present_late(http, handles, tally)
    with pytest.raises(AssertionError, match=r"presented at -30: 201"):
        tally.hold()
    assert tally.offers_late > 0


async def test_where_the_stores_clock_is_set_back_a_replica_in_step_ends_the_handle(
    http: aiohttp.ClientSession,
) -> None:
    tally = clocks.Tally()
    async with clocks.place(store=0.0, provider=90.0, replicas=(0.0,)) as here:
        handles = [
            handle
            for model in clocks.MODELS.values()
            for handle in await here.mint(http, tally, model, UNHURRIED)
        ]
        here.store.set_clock(-90.0)
        await here.check_clocks(http)
        assert await here.record_left(handles[0]) > -BEHIND, "the record is to outlive its key"
        await here.present_late(http, handles, tally)
    tally.hold()
    assert tally.late == len(clocks.MODELS) * len(clocks.PHASES) * len(clocks.LATE)
