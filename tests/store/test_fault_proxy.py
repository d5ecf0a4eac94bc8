"""The fault proxy does what its faults say: a test behind it would otherwise prove nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import hiredis
import pytest

from app.store.address import parse_address
from app.store.embedded.engine import LocalEngine
from app.store.errors import ConnectionError as RedisConnectionError
from app.store.execution import Executor, executor_for
from app.store.execution.driver import connect
from tests.support.clocks import PATIENCE, eventually, no_sooner_than
from tests.support.fault_proxy import Fault, FaultProxy, whole_commands


@asynccontextmanager
async def executor_on(url: str) -> AsyncIterator[Executor]:
    client = connect(parse_address(url), replica="proxied", timeout=PATIENCE, max_connections=8)
    made = executor_for(client, max_connections=8)
    yield made
    await made.close()
    await client.close()


@asynccontextmanager
async def behind(
    engine: LocalEngine, rates: Mapping[Fault, float], **more: Any
) -> AsyncIterator[tuple[FaultProxy, Executor, Executor]]:
    """The proxy, an executor behind it, and one that goes straight to the server."""
    async with (
        FaultProxy(engine.port, rates, **more) as proxy,
        executor_on(proxy.url_instead_of(engine.url)) as proxied,
        executor_on(engine.url) as direct,
    ):
        yield proxy, proxied, direct


async def count_of(direct: Executor, key: str) -> int:
    (found,) = await direct.run([("GET", key)], timeout=PATIENCE)
    return int(found or 0)


async def test_without_a_fault_everything_passes(engine: LocalEngine) -> None:
    async with behind(engine, {}) as (proxy, proxied, _):
        big = "x" * 200_000
        batch = [("ECHO", f"{number}") for number in range(5)]
        replies = await asyncio.gather(
            *[proxied.run(batch, timeout=PATIENCE) for _ in range(20)],
            proxied.run([("ECHO", big)], timeout=PATIENCE),
        )
        assert replies == [[f"{number}" for number in range(5)]] * 20 + [[big]]
        assert not proxy.struck


@pytest.mark.parametrize("fault", [Fault.DELAY, Fault.LATE_REPLY, Fault.STALL])
async def test_what_is_late_comes_whole_and_once(engine: LocalEngine, fault: Fault) -> None:
    async with behind(engine, {fault: 1.0}, stall=0.2) as (proxy, proxied, direct):
        key = f"proxy:{fault}"
        wanted = [proxied.run([("INCR", key), ("ECHO", "after")], timeout=PATIENCE) for _ in range(3)]
        replies = await asyncio.gather(*wanted)
        assert sorted(replies) == [[number, "after"] for number in (1, 2, 3)]
        assert await count_of(direct, key) == 3
        assert proxy.struck[fault] >= 1


async def test_a_stall_lasts_as_long_as_it_is_told(engine: LocalEngine) -> None:
    async with behind(engine, {Fault.STALL: 1.0}, stall=0.3) as (_, proxied, _direct):
        with no_sooner_than(0.3):
            await proxied.run([("ECHO", "x")], timeout=PATIENCE)


async def test_commands_of_a_client_that_left_in_a_stall_still_reach_the_server(engine: LocalEngine) -> None:
    async with behind(engine, {Fault.STALL: 1.0}, stall=0.3) as (_, proxied, direct):
        # So that the time that follows is the command's alone.
        await proxied.run([("PING",)], timeout=PATIENCE)
        with pytest.raises(TimeoutError):
            await proxied.run([("INCR", "proxy:left")], timeout=0.1)

        async def ran() -> bool:
            return await count_of(direct, "proxy:left") == 1

        await eventually(ran)


async def test_cut_commands_never_ran(engine: LocalEngine) -> None:
    async with behind(engine, {Fault.CUT: 1.0}) as (proxy, proxied, direct):
        with pytest.raises(RedisConnectionError):
            await proxied.run([("INCR", "proxy:cut")], timeout=PATIENCE)
        assert await count_of(direct, "proxy:cut") == 0
        assert proxy.struck[Fault.CUT] == 2, "the executor tries again, once"


async def test_commands_whose_reply_is_dropped_ran_once_for_each_try(engine: LocalEngine) -> None:
    async with behind(engine, {Fault.DROPPED_REPLY: 1.0}) as (proxy, proxied, direct):
        with pytest.raises(RedisConnectionError):
            await proxied.run([("INCR", "proxy:dropped")], timeout=PATIENCE)
        assert await count_of(direct, "proxy:dropped") == proxy.struck[Fault.DROPPED_REPLY] == 2


async def test_repeated_commands_run_twice_and_are_answered_once(engine: LocalEngine) -> None:
    async with behind(engine, {Fault.REPEAT: 1.0}) as (proxy, proxied, direct):
        answers = []
        for _ in range(20):
            answers += await proxied.run([("INCR", "proxy:repeat")], timeout=PATIENCE)
        assert await count_of(direct, "proxy:repeat") == 40
        assert proxy.struck[Fault.REPEAT] == 20
        # The reply is the first run's or the second's, by chance.
        assert {answer % 2 for answer in answers} == {0, 1}


async def test_commands_that_are_repeated_late_run_again_after_their_reply(engine: LocalEngine) -> None:
    async with behind(engine, {Fault.LATE_REPEAT: 1.0}) as (proxy, proxied, direct):
        (first,) = await proxied.run([("INCR", "proxy:late-repeat")], timeout=PATIENCE)
        assert first == 1

        async def ran_again() -> bool:
            return await count_of(direct, "proxy:late-repeat") == 2

        await eventually(ran_again)
        assert proxy.struck[Fault.LATE_REPEAT] == 1


async def test_a_quiet_proxy_breaks_nothing_and_a_server_that_is_away_is_a_lost_connection() -> None:
    with LocalEngine() as own:
        async with behind(own, {Fault.CUT: 1.0}) as (proxy, proxied, _direct):
            proxy.quiet = True
            assert await proxied.run([("ECHO", "x")], timeout=PATIENCE) == ["x"]
            own.stop()
            with pytest.raises(RedisConnectionError):
                await proxied.run([("ECHO", "x")], timeout=PATIENCE)
            own.start()
            assert await proxied.run([("ECHO", "x")], timeout=PATIENCE) == ["x"]


def test_commands_are_told_apart_wherever_the_bytes_are_cut() -> None:
    pack: Any = hiredis.pack_command
    commands = [pack(("SET", "a", "\r\n*1\r\n")), pack(("PING",)), pack(("ECHO", ""))]
    data = b"".join(commands)
    for cut in range(len(data) + 1):
        first, count, rest = whole_commands(data[:cut])
        assert first == b"".join(commands[:count])
        again, more, nothing = whole_commands(rest + data[cut:])
        assert (first + again, count + more, nothing) == (data, 3, b"")
