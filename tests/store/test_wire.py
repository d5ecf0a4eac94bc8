"""The shared connection: replies find their askers, whatever the server, the caller or the network does."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app.store.address import parse_address
from app.store.embedded.engine import LocalEngine
from app.store.errors import ConnectionError as RedisConnectionError
from app.store.errors import ResponseError
from app.store.execution import PRIMARY, Executor, Health, executor_for
from app.store.execution.driver import connect
from app.store.execution.executors import SingleServer
from app.store.execution.reconnecting import SignOn
from tests.support.clocks import PATIENCE, eventually

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def executor_on(
    url: str, *, health: Health | None = None, silence: float = 0.8
) -> AsyncIterator[Executor]:
    client = connect(parse_address(url), replica="wire", timeout=PATIENCE, max_connections=8)
    made = executor_for(client, max_connections=8, health=health, silence=silence)
    yield made
    await made.close()
    await client.close()


@asynccontextmanager
async def scripted(answer: bytes | None) -> AsyncIterator[str]:
    """A server that signs anybody on, and gives each command after that this answer; None: it is silent."""

    served: set[asyncio.Task[Any] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.add(asyncio.current_task())
        while data := await reader.read(65536):
            for command in data.split(b"\r\n*"):
                if b"ECHO" in command:
                    writer.write(answer or b"")
                elif b"HELLO" in command:
                    writer.write(b"%1\r\n$5\r\nproto\r\n:3\r\n")
                else:
                    writer.write(b"+OK\r\n")
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    await asyncio.wait([task for task in served if task is not None], timeout=PATIENCE)


@pytest.fixture
async def executor(engine: LocalEngine) -> AsyncIterator[Executor]:
    async with executor_on(engine.url) as made:
        yield made


async def test_each_of_many_at_once_gets_its_own_replies_in_order(executor: Executor) -> None:
    async def ask(number: int) -> None:
        commands = [("ECHO", f"{number}-{part}") for part in range(number % 12 + 1)]
        assert await executor.run(commands, timeout=PATIENCE) == [text for _, text in commands]

    await asyncio.gather(*(ask(number) for number in range(300)))


async def test_who_goes_away_takes_nobody_elses_reply_along(executor: Executor) -> None:
    async def ask(number: int) -> list[Any]:
        return await executor.run([("ECHO", str(number))], timeout=PATIENCE)

    await ask(-1)
    tasks = [asyncio.create_task(ask(number)) for number in range(100)]
    await asyncio.sleep(0)
    for number in range(0, 100, 3):
        tasks[number].cancel()
    replies = await asyncio.gather(*tasks, return_exceptions=True)
    for number, reply in enumerate(replies):
        assert reply == [str(number)] or (number % 3 == 0 and isinstance(reply, asyncio.CancelledError))
    assert await ask(7) == ["7"]


async def test_a_refused_command_leaves_the_other_replies_in_their_places(executor: Executor) -> None:
    first, refused, last = await executor.run([("ECHO", "a"), ("GET",), ("ECHO", "b")], timeout=PATIENCE)
    assert (first, last) == ("a", "b")
    assert isinstance(refused, ResponseError)


async def test_a_connection_that_the_server_closed_is_made_anew_unseen(executor: Executor) -> None:
    await executor.run([("ECHO", "a")], timeout=PATIENCE)
    (me,) = await executor.run([("CLIENT", "ID")], timeout=PATIENCE)
    for _ in range(3):
        # The reply to its own end never comes, so the command is sent once more, and finds nobody.
        (reply,) = await executor.run([("CLIENT", "KILL", "ID", me, "SKIPME", "no")], timeout=PATIENCE)
        assert reply in (0, 1)
        assert await executor.run([("ECHO", "b")], timeout=PATIENCE) == ["b"]
        (me,) = await executor.run([("CLIENT", "ID")], timeout=PATIENCE)


async def test_a_hung_server_is_a_timeout_for_all_and_answers_when_it_is_back() -> None:
    with LocalEngine() as own:
        async with executor_on(own.url) as executor:
            await executor.run([("ECHO", "a")], timeout=PATIENCE)
            os.kill(own.pid, signal.SIGSTOP)
            try:
                asked = [executor.run([("ECHO", str(number))], timeout=0.3) for number in range(20)]
                replies = await asyncio.gather(*asked, return_exceptions=True)
                assert {type(reply) for reply in replies} == {TimeoutError}
                with pytest.raises(TimeoutError):
                    await executor.run([("ECHO", "again")], timeout=0.2)
            finally:
                os.kill(own.pid, signal.SIGCONT)
            assert await executor.run([("ECHO", "back")], timeout=PATIENCE) == ["back"]


async def test_a_reply_after_its_deadline_goes_to_nobody_else(engine: LocalEngine) -> None:
    # The server blocks for as long as we say. It does not count as silent, so that the connection is kept.
    async with executor_on(engine.url, silence=PATIENCE) as executor, executor_on(engine.url) as other:
        (before,) = await executor.run([("CLIENT", "ID")], timeout=PATIENCE)
        with pytest.raises(TimeoutError):
            await executor.run([("ECHO", "first"), ("BLPOP", "wire:late", 0)], timeout=2.0)
        patient = asyncio.create_task(executor.run([("ECHO", "patient")], timeout=PATIENCE))
        asked_who = asyncio.create_task(executor.run([("CLIENT", "ID")], timeout=PATIENCE))
        await other.run([("RPUSH", "wire:late", "late")], timeout=PATIENCE)
        assert await patient == ["patient"]
        assert await asked_who == [before], "the late reply came over this very connection"


async def test_who_waits_behind_a_silent_server_s_reply_is_served_on_a_new_connection(
    engine: LocalEngine,
) -> None:
    async with executor_on(engine.url) as executor:
        (before,) = await executor.run([("CLIENT", "ID")], timeout=PATIENCE)
        slow = executor.run([("BLPOP", "wire:never", 0)], timeout=0.2)
        patient = executor.run([("CLIENT", "ID")], timeout=PATIENCE)
        replies: list[Any] = await asyncio.gather(slow, patient, return_exceptions=True)
        assert isinstance(replies[0], TimeoutError)
        assert isinstance(replies[1], list), replies[1]
        assert replies[1] != [before]


async def test_who_has_time_is_answered_by_a_server_that_was_silent_and_who_has_not_is_not() -> None:
    health = Health()
    with LocalEngine() as own:
        async with executor_on(own.url, health=health, silence=0.2) as executor:
            await executor.run([("ECHO", "a")], timeout=PATIENCE)
            os.kill(own.pid, signal.SIGSTOP)
            try:
                asked = [
                    executor.run([("ECHO", str(at))], timeout=(0.4, PATIENCE)[at % 2]) for at in range(20)
                ]
                answers = asyncio.gather(*asked, return_exceptions=True)
                await eventually(lambda: PRIMARY in health.down, "its silence was not noticed")
                assert health.is_silent(PRIMARY)
                await asyncio.sleep(0.6)
            finally:
                os.kill(own.pid, signal.SIGCONT)
            found = await answers
            assert [type(answer) for answer in found[::2]] == [TimeoutError] * 10
            assert found[1::2] == [[str(at)] for at in range(1, 20, 2)]
            assert not health.down, "it is up with its first byte"
            (again,) = await executor.run([("ECHO", "again")], timeout=PATIENCE)
            assert again == "again"


async def test_a_silence_that_ends_with_another_server_is_over_for_those_who_still_wait() -> None:
    """As after a failover: the address leads elsewhere, and the silent server never speaks again."""
    health = Health()
    with LocalEngine() as first, LocalEngine() as heir:
        now_at = [("127.0.0.1", first.port)]

        async def find() -> tuple[str, int]:
            return now_at[0]

        sign_on = SignOn({"client_name": "wire"}, primary=True)
        executor = SingleServer(find, sign_on, health=health, silence=0.2)
        await executor.run([("ECHO", "a")], timeout=PATIENCE)
        os.kill(first.pid, signal.SIGSTOP)
        try:
            patient = asyncio.create_task(
                executor.run([("SET", "wire", 1), ("INFO", "server")], timeout=PATIENCE)
            )
            await eventually(lambda: PRIMARY in health.down, "its silence was not noticed")
            now_at[0] = ("127.0.0.1", heir.port)
            stored, info = await patient
            assert stored == "OK"
            assert f"tcp_port:{heir.port}" in info
            await eventually(lambda: not health.down, "the heir has taken its place")
        finally:
            os.kill(first.pid, signal.SIGCONT)
            await executor.close()


async def test_a_replica_is_no_primary() -> None:
    with LocalEngine() as primary, LocalEngine() as replica:
        async with executor_on(replica.url) as admin:
            await admin.run([("REPLICAOF", "127.0.0.1", primary.port)], timeout=PATIENCE)

        async def find() -> tuple[str, int]:
            return "127.0.0.1", replica.port

        executor = SingleServer(
            find, SignOn({"client_name": "wire"}, primary=True), health=Health(), silence=0.8
        )
        with pytest.raises(RedisConnectionError, match="is a replica"):
            await executor.run([("ECHO", "a")], timeout=PATIENCE)
        await executor.close()


async def test_news_that_nobody_asked_for_are_no_replies() -> None:
    async with (
        scripted(b">2\r\n$10\r\ninvalidate\r\n*0\r\n$1\r\nx\r\n") as url,
        executor_on(url) as executor,
    ):
        for _ in range(3):
            assert await executor.run([("ECHO", "x")], timeout=PATIENCE) == ["x"]


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"$-7\r\nxx", b"$1\r\n\xff\r\n"])
async def test_a_server_that_speaks_something_else_is_a_lost_connection(answer: bytes) -> None:
    async with scripted(answer) as url, executor_on(url) as executor:
        with pytest.raises(RedisConnectionError):
            await executor.run([("ECHO", "x")], timeout=PATIENCE)


async def test_replies_to_nothing_end_the_connection_and_reach_nobody() -> None:
    async with scripted(b"$1\r\nx\r\n$5\r\nother\r\n") as url, executor_on(url) as executor:
        for _ in range(3):
            assert await executor.run([("ECHO", "x")], timeout=PATIENCE) == ["x"]
            await asyncio.sleep(0.02)


async def test_a_silent_server_is_a_timeout() -> None:
    async with scripted(None) as url, executor_on(url) as executor:
        with pytest.raises(TimeoutError):
            await executor.run([("ECHO", "x")], timeout=0.2)


async def test_a_demoted_primary_is_left_after_its_refusal() -> None:
    with LocalEngine() as primary, LocalEngine() as other:
        async with executor_on(primary.url) as executor:
            (before,) = await executor.run([("CLIENT", "ID")], timeout=PATIENCE)
            await executor.run([("REPLICAOF", "127.0.0.1", other.port)], timeout=PATIENCE)
            (refused,) = await executor.run([("SET", "a", "b")], timeout=PATIENCE)
            assert isinstance(refused, ResponseError)
            await executor.run([("REPLICAOF", "NO", "ONE")], timeout=PATIENCE)
            assert await executor.run([("SET", "a", "b")], timeout=PATIENCE) == ["OK"]
            (after,) = await executor.run([("CLIENT", "ID")], timeout=PATIENCE)
            assert after != before
