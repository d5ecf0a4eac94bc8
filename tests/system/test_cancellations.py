"""Requests that are cancelled at any await leave no claim pending, no call unseen and nothing behind."""

from __future__ import annotations

import asyncio

import pytest

from tests.faults.cancellations import cancelled
from tests.faults.drill import Progress
from tests.support.cancelling import CancelledAt, When

ROUNDS = 200


async def test_a_request_that_is_cancelled_at_any_await_leaves_nothing_behind() -> None:
    figures = await cancelled(Progress("cancellations"), ROUNDS)
    assert int(figures["cancelled"]) >= ROUNDS


async def waits(log: list[str], ready: asyncio.Future[str]) -> str:
    try:
        await asyncio.sleep(0)
        log.append("first")
        log.append(await ready)
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        log.append("cancelled")
        raise
    return "done"


@pytest.mark.parametrize("when", ["waiting", "ready"])
@pytest.mark.parametrize(
    ("at", "seen"),
    [(1, ["cancelled"]), (2, ["first", "cancelled"]), (3, ["first", "came", "cancelled"])],
)
async def test_the_harness_strikes_at_the_await_that_it_is_told(at: int, seen: list[str], when: When) -> None:
    log: list[str] = []
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    running = CancelledAt(waits(log, ready), at, when)

    async def serve() -> str:
        return await running

    task = asyncio.create_task(serve())

    def come() -> None:
        if not ready.done():
            ready.set_result("came")

    asyncio.get_running_loop().call_later(0.01, come)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (log, running.steps, running.struck) == (seen, at, True)


async def test_the_harness_lets_a_coroutine_with_fewer_awaits_run_to_its_end() -> None:
    log: list[str] = []
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    ready.set_result("came")
    running = CancelledAt(waits(log, ready), 9)
    assert await running == "done"
    assert (log, running.struck) == (["first", "came"], False)
