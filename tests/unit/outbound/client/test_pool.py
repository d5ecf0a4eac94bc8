"""How many connections there are, who waits for one, and when an idle one ends."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from app.outbound.upstream import NoAnswer, NotConnected
from tests.support.clocks import PATIENCE, eventually
from tests.unit.outbound.client.conftest import HI, MakeClient, StartPeer, post
from tests.unit.outbound.peer import saying


async def test_beyond_the_limit_one_waits_for_a_connection(make: MakeClient, peer: StartPeer) -> None:
    client, (there, url) = make(connections=3), await peer(saying(HI))
    answers = await asyncio.gather(*(post(client, url) for _ in range(30)))
    assert [answer.body for answer in answers] == [b"hi"] * 30
    assert there.connections <= 3


@pytest.mark.virtual_time
async def test_whoever_waits_in_vain_has_sent_nothing(make: MakeClient, peer: StartPeer) -> None:
    client, (there, url) = make(connections=1, connect_timeout=0.2), await peer(saying())
    busy = asyncio.create_task(post(client, url))
    await eventually(lambda: there.requests)
    with pytest.raises(NotConnected):
        await post(client, url)
    assert (len(there.requests), there.connections) == (1, 1)
    busy.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await busy
    # Its place is free again.
    with pytest.raises(NoAnswer):
        await post(client, url, timeout=0.3)
    assert there.connections == 2


async def test_a_turn_that_nobody_takes_goes_to_the_next(make: MakeClient, peer: StartPeer) -> None:
    go_on = asyncio.Event()

    async def reply(writer: asyncio.StreamWriter) -> None:
        await go_on.wait()
        writer.write(HI)

    client, (there, url) = make(connections=1), await peer(reply)
    busy = asyncio.create_task(post(client, url))
    await eventually(lambda: there.requests)
    waiting = [asyncio.create_task(post(client, url)) for _ in range(5)]
    await asyncio.sleep(0)
    for task in waiting[:4]:
        task.cancel()
    go_on.set()
    assert (await busy).body == b"hi"
    assert (await waiting[4]).body == b"hi"
    assert [task.cancelled() for task in waiting] == [True] * 4 + [False]
    assert there.connections == 1


async def test_an_idle_connection_elsewhere_gives_way(make: MakeClient, peer: StartPeer) -> None:
    client = make(connections=1)
    (one, first), (other, second) = await peer(saying(HI)), await peer(saying(HI))
    for url in (first, second, first):
        assert (await post(client, url)).body == b"hi"
    assert (one.connections, other.connections) == (2, 1)


async def test_failures_to_connect_use_up_no_place(make: MakeClient, peer: StartPeer) -> None:
    client, (gone, dead), (_, url) = make(connections=2), await peer(saying(HI)), await peer(saying(HI))
    await gone.close()
    for _ in range(5):
        with pytest.raises(NotConnected):
            await post(client, dead)
    assert (await post(client, url)).body == b"hi"


async def test_an_idle_connection_ends_after_a_while_by_itself(make: MakeClient) -> None:
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HI)
        await reader.read()
        ended.set()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    client = make(keepalive=0.05)
    await post(client, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", b"")
    await asyncio.wait_for(ended.wait(), PATIENCE)
    server.close()


async def test_closing_ends_what_is_idle_what_is_under_way_and_what_waits(
    make: MakeClient, peer: StartPeer
) -> None:
    client, (silent, deaf), (_, url) = make(connections=2), await peer(saying()), await peer(saying(HI))
    await post(client, url)
    under_way = [asyncio.create_task(post(client, deaf)) for _ in range(2)]
    await eventually(lambda: len(silent.requests) == 2)
    waiting = asyncio.create_task(post(client, deaf))
    await asyncio.sleep(0)
    await client.close()
    results = await asyncio.gather(*under_way, waiting, return_exceptions=True)
    assert [type(result) for result in results] == [NoAnswer, NoAnswer, NotConnected]
    with pytest.raises(NotConnected):
        await post(client, url)
