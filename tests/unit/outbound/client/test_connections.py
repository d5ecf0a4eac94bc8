"""Connections between requests: when one is kept, and when it must not be used again."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from app.outbound.upstream import NoAnswer
from tests.support.clocks import eventually
from tests.unit.outbound.client.conftest import HI, MakeClient, StartPeer, post
from tests.unit.outbound.peer import OK, saying


async def test_one_after_another_go_over_one_connection(make: MakeClient, peer: StartPeer) -> None:
    client, (there, url) = make(), await peer(saying(HI))
    for _ in range(5):
        assert (await post(client, url)).body == b"hi"
    assert (len(there.requests), there.connections) == (5, 1)


async def test_each_of_many_at_once_gets_its_own_answer(make: MakeClient) -> None:
    """A connection is taken again before whoever had its last answer has looked at it."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n" + await reader.readexactly(8))
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    client = make()

    async def worker(number: int) -> None:
        for turn in range(25):
            body = b"%04d%04d" % (number, turn)
            assert (await post(client, url, body)).body == body

    await asyncio.gather(*(worker(number) for number in range(40)))
    await client.close()
    server.close()


async def test_a_connection_that_the_provider_closed_while_idle_is_not_used(
    make: MakeClient, peer: StartPeer
) -> None:
    writers: list[asyncio.StreamWriter] = []

    async def reply(writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(HI)

    client, (there, url) = make(), await peer(reply)
    await post(client, url)
    writers[0].write_eof()
    await eventually(lambda: there.ended == 1)
    assert (await post(client, url)).status == 200
    assert (len(there.requests), there.connections) == (2, 2)


async def test_bytes_that_nobody_asked_for_end_an_idle_connection(make: MakeClient, peer: StartPeer) -> None:
    """They would be taken for the answer to the next request."""
    poison = asyncio.Event()

    async def reply(writer: asyncio.StreamWriter) -> None:
        writer.write(HI)
        if len(there.requests) == 1:
            await poison.wait()
            writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 6\r\n\r\npoison")

    client, (there, url) = make(), await peer(reply)
    await post(client, url)
    poison.set()
    await eventually(lambda: there.ended == 1)
    answer = await post(client, url)
    assert (answer.status, answer.body, there.connections) == (200, b"hi", 2)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(OK + b"Connection: close\r\n\r\nhi", id="announced end"),
        pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", id="HTTP/1.0"),
        pytest.param(HI + b"surplus", id="surplus"),
        pytest.param(HI + HI, id="a second answer"),
    ],
)
async def test_after_such_an_answer_the_connection_is_not_used_again(
    make: MakeClient, peer: StartPeer, answer: bytes
) -> None:
    client, (there, url) = make(), await peer(saying(answer))
    for _ in range(2):
        assert (await post(client, url)).body == b"hi"
    assert there.connections == 2


async def test_an_answer_without_a_length_ends_with_its_connection(make: MakeClient, peer: StartPeer) -> None:
    async def reply(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nh")
        await writer.drain()
        writer.write(b"i")
        writer.close()

    client, (there, url) = make(), await peer(reply)
    for _ in range(2):
        assert (await post(client, url)).body == b"hi"
    assert there.connections == 2


async def test_an_interim_answer_is_passed_over(make: MakeClient, peer: StartPeer) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    client, (there, url) = make(), await peer(saying(b"HTTP/1.1 100 Continue\r\n\r\n", hints, HI))
    for _ in range(2):
        answer = await post(client, url)
        assert (answer.status, answer.body, answer.headers.get("link")) == (200, b"hi", None)
    assert there.connections == 1


async def test_an_answer_before_the_request_was_taken_counts_and_ends_the_connection(
    make: MakeClient,
) -> None:
    connections = 0
    done = asyncio.Event()

    async def impatient(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await done.wait()
        writer.transport.abort()

    server = await asyncio.start_server(impatient, "127.0.0.1", 0, limit=1024)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    client = make()
    for _ in range(2):
        assert (await post(client, url, b"x" * 16_000_000)).status == 413
    assert connections == 2
    done.set()
    server.close()


async def test_a_caller_that_gives_up_takes_its_connection_along(make: MakeClient, peer: StartPeer) -> None:
    """Its answer may still come, and nobody else may get it."""
    go_on = asyncio.Event()

    async def reply(writer: asyncio.StreamWriter) -> None:
        if len(there.requests) == 1:
            await go_on.wait()
            writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nfirst")
        else:
            writer.write(HI)

    client, (there, url) = make(), await peer(reply)
    first = asyncio.create_task(post(client, url))
    await eventually(lambda: there.requests)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    go_on.set()
    assert (await post(client, url)).body == b"hi"
    assert there.connections == 2


@pytest.mark.virtual_time
async def test_an_answer_that_comes_too_late_is_not_taken_for_the_next_one(
    make: MakeClient, peer: StartPeer
) -> None:
    go_on = asyncio.Event()

    async def reply(writer: asyncio.StreamWriter) -> None:
        if len(there.requests) == 1:
            await go_on.wait()
            writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nfirst")
        else:
            writer.write(HI)

    client, (there, url) = make(), await peer(reply)
    with pytest.raises(NoAnswer) as failure:
        await post(client, url, timeout=0.2)
    assert failure.value.timed_out
    go_on.set()
    assert (await post(client, url)).body == b"hi"
    assert there.connections == 2


@pytest.mark.virtual_time
async def test_every_request_under_way_has_its_own_deadline(make: MakeClient, peer: StartPeer) -> None:
    """They share one timer, so one that ends sooner than those before it must not wait for them."""
    client, (there, url) = make(), await peer(saying())
    patient = asyncio.create_task(post(client, url, timeout=60))
    await eventually(lambda: there.requests)
    hasty = [asyncio.create_task(post(client, url, timeout=seconds)) for seconds in (0.6, 0.2, 0.4)]
    ended: list[int] = []
    for number, task in enumerate(hasty):
        task.add_done_callback(lambda _, number=number: ended.append(number))  # type: ignore[misc]  # a default
    failures = await asyncio.gather(*hasty, return_exceptions=True)
    assert [isinstance(one, NoAnswer) and one.timed_out for one in failures] == [True] * 3
    await eventually(lambda: len(ended) == 3)
    assert ended == [1, 2, 0]
    assert not patient.done()
    patient.cancel()
