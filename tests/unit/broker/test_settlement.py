"""Writes that must follow what happened: neither a caller that goes nor a store that is away loses one."""

from __future__ import annotations

import asyncio
import time

import pytest

from app.broker import settlement
from app.broker.settlement import Settlement
from app.errors import StoreUnavailable
from tests.support.clocks import PATIENCE


class Store:
    """Takes a write once it is let, after so many failures."""

    def __init__(self, *, failures: int = 0) -> None:
        self.failures = failures
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.done = 0

    async def write(self) -> None:
        self.begun.set()
        await self.may_end.wait()
        if self.failures > 0:
            self.failures -= 1
            raise StoreUnavailable("away")
        self.done += 1


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settlement, "PAUSE_SECONDS", 0.01)


async def test_a_write_is_done_when_it_returns() -> None:
    store, writes = Store(), Settlement(time.monotonic)
    store.may_end.set()
    await writes.write("settle", store.write)
    assert (store.done, writes.pending) == (1, 0)


async def test_a_write_whose_caller_was_cancelled_is_brought_to_its_end() -> None:
    store, writes = Store(), Settlement(time.monotonic)
    caller = asyncio.create_task(writes.write("settle", store.write))
    await store.begun.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert (store.done, writes.pending) == (0, 1)
    store.may_end.set()
    await writes.close(grace=PATIENCE)
    assert (store.done, writes.pending) == (1, 0)


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_write_that_the_store_did_not_take_is_repeated_until_it_does(cancelled: bool) -> None:
    store, writes = Store(failures=3), Settlement(time.monotonic)
    caller = asyncio.create_task(writes.write("settle", store.write))
    await store.begun.wait()
    if cancelled:
        caller.cancel()
        await asyncio.sleep(0)
    store.may_end.set()
    await asyncio.wait([caller])
    await writes.close(grace=PATIENCE)
    assert (store.done, writes.given_up) == (1, 0)


async def test_a_write_that_the_store_never_takes_is_given_up_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settlement, "REPEAT_SECONDS", 0.05)
    store, writes = Store(failures=10**6), Settlement(time.monotonic)
    store.may_end.set()
    await writes.write("settle", store.write)
    await writes.close(grace=PATIENCE)
    assert (store.done, writes.given_up) == (0, 1)
