"""What is dialled is what was checked: an address, at each dial, by every client, whatever a name says."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import structlog

from app.outbound import dialer
from app.outbound.addresses import SETTING, Guard, parse_network
from app.outbound.client import UpstreamClient
from app.outbound.egress import Egress, parse_proxy
from app.outbound.reach import Unreachable, reach
from app.outbound.sideband import SidebandClient
from app.outbound.upstream import NotAllowed, NotConnected, failure_of
from app.providers.base import UpstreamRequest
from tests.support.clocks import PATIENCE
from tests.support.egress import here
from tests.support.proxy import TunnelProxy
from tests.unit.outbound.client.conftest import HI, Names, StartPeer, post, under
from tests.unit.outbound.peer import OK, saying

CLOSING = OK + b"Connection: close\r\n\r\nhi"
METADATA = "169.254.169.254"
# On one machine no address is public, so one of its own stands for the public ones.
PUBLIC = Guard((parse_network("127.0.0.1/32"),))


async def no_client(guard: Guard, url: str) -> None:
    """Ask with the client of requests."""
    client = UpstreamClient(connect_timeout=PATIENCE, egress=Egress(guard=guard))
    try:
        await post(client, url)
    finally:
        await client.close()


async def no_socket(guard: Guard, url: str) -> None:
    """Ask with the client of WebSockets."""
    client = SidebandClient(connect_timeout=PATIENCE, largest=4096, egress=Egress(guard=guard))
    try:
        await client.open(UpstreamRequest(url.replace("http", "ws", 1), {}, b""), timeout=PATIENCE)
    finally:
        await client.close()


ASKS = [no_client, no_socket]
Ask = Callable[[Guard, str], Coroutine[Any, Any, None]]


@pytest.mark.parametrize("ask", ASKS)
async def test_by_default_this_machine_is_not_asked_and_the_log_says_why(ask: Ask, peer: StartPeer) -> None:
    there, url = await peer(saying(HI))
    with structlog.testing.capture_logs() as logs, pytest.raises(NotAllowed, match=SETTING):
        await ask(Guard(), url)
    assert there.connections == 0
    (line,) = [line for line in logs if line["event"] == "address_refused"]
    assert line["host"] == "127.0.0.1"
    assert line["reason"] == f"127.0.0.1 is this machine, and {SETTING} is not set to open it"


@pytest.mark.parametrize("ask", ASKS)
@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["::ffff:127.0.0.1"],
        [METADATA],
        ["127.0.0.1", METADATA, "10.0.0.1", "::1"],
        ["fd00:ec2::254", "168.63.129.16"],
    ],
)
async def test_a_name_that_leads_inside_is_not_followed(
    ask: Ask, names: Names, peer: StartPeer, addresses: list[str]
) -> None:
    there, url = await peer(saying(HI))
    names.addresses = addresses
    with pytest.raises(NotAllowed):
        await ask(Guard(), under("provider.test", url))
    assert there.connections == 0


@pytest.mark.parametrize("host", ["127.1", "0x7f000001", "2130706433", "[::ffff:127.0.0.1]", "localhost"])
async def test_an_address_in_other_clothes_is_the_same_address(peer: StartPeer, host: str) -> None:
    there, url = await peer(saying(HI))
    with pytest.raises(NotAllowed):
        await no_client(Guard(), url.replace("127.0.0.1", host))
    assert there.connections == 0


async def test_a_name_that_changes_between_two_look_ups_gains_nothing(
    names: Names, peer: StartPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: first a public address, so that a check of the name would pass, then another."""
    monkeypatch.setattr(dialer, "NAMES_SECONDS", 0.0)
    there, url = await peer(saying(CLOSING))
    names.script = [["127.0.0.1"], [METADATA], ["127.0.0.2"], ["127.0.0.1"]]
    client = UpstreamClient(connect_timeout=PATIENCE, egress=Egress(guard=PUBLIC))
    assert (await post(client, under("provider.test", url))).body == b"hi"
    for inside in (METADATA, "127.0.0.2"):
        with pytest.raises(NotAllowed, match=inside):
            await post(client, under("provider.test", url))
    assert (await post(client, under("provider.test", url))).body == b"hi"
    await client.close()
    assert (len(names.asked), len(there.requests)) == (4, 2)


async def test_a_name_that_changes_is_not_followed_by_a_websocket_either(
    names: Names, peer: StartPeer
) -> None:
    """aiohttp keeps a name's addresses, so each round has a client of its own."""
    there, url = await peer(saying(HI))
    for addresses, refused in ((["127.0.0.1"], False), ([METADATA], True), (["127.0.0.2"], True)):
        names.addresses = addresses
        with pytest.raises(Exception, match=addresses[0] if refused else None) as failed:
            await no_socket(PUBLIC, under("provider.test", url))
        # The one that is let through is asked, and is no WebSocket.
        assert isinstance(failed.value, NotAllowed) is refused
    assert there.connections == 1


async def test_of_several_addresses_only_those_that_may_be_are_dialled(names: Names, peer: StartPeer) -> None:
    there, url = await peer(saying(CLOSING))
    names.addresses = [METADATA, "127.0.0.2", "127.0.0.1", "10.255.255.1"]
    client = UpstreamClient(connect_timeout=PATIENCE, egress=Egress(guard=PUBLIC))
    # Each connection begins with another address.
    for _ in range(len(names.addresses)):
        assert (await post(client, under("provider.test", url))).body == b"hi"
    await client.close()
    assert len(there.requests) == 4


@pytest.mark.parametrize("ask", ASKS)
async def test_through_a_proxy_an_address_as_host_is_checked_and_the_proxy_s_own_is_not(
    ask: Ask, peer: StartPeer
) -> None:
    there, url = await peer(saying(HI))
    async with TunnelProxy() as proxy:
        egress = Egress(dict.fromkeys(("http", "https"), parse_proxy(proxy.url())))
        if ask is no_client:
            client = UpstreamClient(connect_timeout=PATIENCE, egress=egress)
            with pytest.raises(NotAllowed):
                await post(client, url)
            # A name is for the proxy to look up.
            assert (await post(client, url.replace("127.0.0.1", "localhost"))).body == b"hi"
            await client.close()
            assert len(proxy.tunnels) == 1
        else:
            sockets = SidebandClient(connect_timeout=PATIENCE, largest=4096, egress=egress)
            request = UpstreamRequest(url.replace("http", "wss", 1), {}, b"")
            with pytest.raises(NotAllowed):
                await sockets.open(request, timeout=PATIENCE)
            await sockets.close()
            assert proxy.tunnels == []
    assert there.connections == (1 if ask is no_client else 0)


@pytest.mark.parametrize("url", [f"http://{METADATA}:3128", "http://[fd00:ec2::254]:3128"])
async def test_a_metadata_service_is_no_proxy(url: str) -> None:
    egress = Egress(dict.fromkeys(("http", "https"), parse_proxy(url)))
    client = UpstreamClient(connect_timeout=PATIENCE, egress=egress)
    with pytest.raises(NotConnected):
        await post(client, "https://provider.test/v1")
    await client.close()


async def test_the_doctor_s_visit_names_address_and_setting(names: Names, peer: StartPeer) -> None:
    there, url = await peer(saying(HI))
    names.addresses = ["10.1.2.3"]
    with pytest.raises(Unreachable, match=f"10.1.2.3 is a private network, and {SETTING}") as failed:
        await reach(under("provider.test", url), seconds=PATIENCE)
    assert failed.value.stage == "address"
    assert (await reach(url, seconds=PATIENCE, egress=here())).address == "127.0.0.1"
    assert there.connections == 1


def test_the_caller_learns_the_setting_and_no_address() -> None:
    error = failure_of(NotAllowed(Guard().refusal("10.1.2.3") or ""))
    assert (error.code, error.status, error.retry_after) == ("upstream_unreachable", 502, None)
    assert SETTING in error.message
    assert "10.1.2.3" not in error.message
