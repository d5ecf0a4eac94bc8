"""What a real TURN server makes of the credentials that the service computes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Final

import pytest
from aioice.stun import TransactionFailed
from aioice.turn import create_turn_endpoint

from app.broker.calls.ice import OwnServers
from app.models import Secret
from tests.support.turn import TurnServer

SECRET: Final = "a-secret-of-two-servers"


@pytest.fixture(scope="module")
def turn() -> Iterator[TurnServer]:
    with TurnServer(SECRET) as server:
        yield server


async def allocate(turn: TurnServer, *, secret: str = SECRET, now: float, user: str = "anna") -> str:
    """Open a relay with the credential of this moment, and return its user name."""
    own = OwnServers(turn_urls=((turn.url,),), secret=Secret(secret), lifetime=60)
    (server,) = own.give(user, now=now).servers
    transport, _ = await create_turn_endpoint(
        asyncio.DatagramProtocol,
        server_addr=("127.0.0.1", turn.port),
        username=server.username,
        password=server.credential,
    )
    transport.close()
    return str(server.username)


async def test_a_fresh_credential_opens_a_relay(turn: TurnServer) -> None:
    name = await allocate(turn, now=time.time())
    assert f"<{name}>: incoming packet ALLOCATE processed, success" in turn.log
    assert "anna" not in turn.log


async def test_one_that_has_expired_opens_none(turn: TurnServer) -> None:
    with pytest.raises(TransactionFailed, match="401"):
        await allocate(turn, now=time.time() - 61)


async def test_nor_does_one_of_another_secret(turn: TurnServer) -> None:
    with pytest.raises(TransactionFailed, match="401"):
        await allocate(turn, secret="the-secret-of-no-server", now=time.time())
