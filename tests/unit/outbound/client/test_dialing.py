"""Making connections: names, several addresses, silence. Whatever fails here, nothing was sent."""

from __future__ import annotations

import asyncio

import pytest

from app.outbound.upstream import NotConnected
from tests.support.clocks import PATIENCE, eventually
from tests.unit.outbound.client.conftest import HI, MakeClient, Names, StartPeer, post, under
from tests.unit.outbound.peer import OK, full_listener, saying


async def test_a_name_is_asked_for_once_for_many_connections(
    names: Names, make: MakeClient, peer: StartPeer
) -> None:
    names.addresses = ["127.0.0.1"]
    client, (there, url) = make(), await peer(saying(OK + b"Connection: close\r\n\r\nhi"))
    await asyncio.gather(*(post(client, under("provider.test", url)) for _ in range(10)))
    await post(client, under("provider.test", url))
    assert (there.connections, names.asked) == (11, ["provider.test"])


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1", "127.0.0.2"], ["127.0.0.2", "127.0.0.1"], ["127.0.0.2", "127.0.0.3", "127.0.0.1"]],
)
async def test_an_address_that_takes_no_connection_is_passed_over(
    names: Names, make: MakeClient, peer: StartPeer, addresses: list[str]
) -> None:
    names.addresses = addresses  # only the first of the loopback addresses has a listener
    client, (there, url) = make(), await peer(saying(OK + b"Connection: close\r\n\r\nhi"))
    for _ in range(4):
        assert (await post(client, under("provider.test", url))).body == b"hi"
    assert len(there.requests) == 4


async def test_an_address_that_is_silent_does_not_hold_up_the_next_one(
    names: Names, make: MakeClient, peer: StartPeer
) -> None:
    client, (there, url) = make(connect_timeout=PATIENCE), await peer(saying(HI))
    port = int(url.split(":")[2].split("/")[0])
    with full_listener("127.0.0.2", port):
        names.addresses = ["127.0.0.2", "127.0.0.1"]
        assert (await post(client, under("provider.test", url), timeout=PATIENCE)).body == b"hi"
    assert len(there.requests) == 1


async def test_a_provider_that_moved_is_found_by_asking_anew(
    names: Names, make: MakeClient, peer: StartPeer
) -> None:
    names.addresses = ["127.0.0.1"]
    client, (there, url) = make(), await peer(saying(OK + b"Connection: close\r\n\r\nhi"))
    await post(client, under("provider.test", url))
    await there.close()
    with pytest.raises(NotConnected):
        await post(client, under("provider.test", url))
    with pytest.raises(NotConnected):
        await post(client, under("provider.test", url))
    assert names.asked == ["provider.test"] * 2


async def test_a_name_that_is_not_known_is_asked_for_again(
    names: Names, make: MakeClient, peer: StartPeer
) -> None:
    client, (_, url) = make(), await peer(saying(HI))
    with pytest.raises(NotConnected):
        await post(client, under("provider.test", url))
    names.addresses = ["127.0.0.1"]
    assert (await post(client, under("provider.test", url))).body == b"hi"


async def test_a_caller_that_gives_up_leaves_the_question_to_the_others(
    names: Names, make: MakeClient, peer: StartPeer
) -> None:
    names.addresses = ["127.0.0.1"]
    names.slow.clear()
    client, (_, url) = make(), await peer(saying(HI))
    first, second = (asyncio.create_task(post(client, under("provider.test", url))) for _ in range(2))
    await eventually(lambda: names.asked)
    first.cancel()
    await asyncio.sleep(0)
    names.slow.set()
    assert (await second).body == b"hi"
    assert first.cancelled()
    assert names.asked == ["provider.test"]


async def test_a_name_service_that_is_silent_means_not_connected(
    names: Names, make: MakeClient, peer: StartPeer
) -> None:
    names.slow.clear()
    client, (there, url) = make(connect_timeout=0.2), await peer(saying(HI))
    with pytest.raises(NotConnected):
        await post(client, under("provider.test", url))
    assert not there.connections


async def test_a_host_that_is_silent_means_not_connected(make: MakeClient) -> None:
    with full_listener("127.0.0.1", 0) as port, pytest.raises(NotConnected):
        await post(make(connect_timeout=0.3), f"http://127.0.0.1:{port}/")


async def test_connecting_ends_before_the_request_does(make: MakeClient) -> None:
    """Or it could not be told that nothing was sent."""
    with full_listener("127.0.0.1", 0) as port, pytest.raises(NotConnected):
        await post(make(connect_timeout=60), f"http://127.0.0.1:{port}/", timeout=0.3)


@pytest.mark.parametrize("host", ["a" * 64 + ".test", "a..test", ".test", "x" * 300])
async def test_what_can_be_no_name_means_not_connected(make: MakeClient, host: str) -> None:
    with pytest.raises(NotConnected):
        await post(make(), f"http://{host}/")


async def test_an_address_of_ipv6_is_reached(make: MakeClient) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK + b"Connection: close\r\n\r\nhi")
        writer.close()

    asked: list[bytes] = []
    server = await asyncio.start_server(serve, "::1", 0)
    port = server.sockets[0].getsockname()[1]
    assert (await post(make(), f"http://[::1]:{port}/v1", b"")).body == b"hi"
    assert f"\r\nHost: [::1]:{port}\r\n".encode() in asked[0]
    server.close()
