"""Another user or password for the store: new connections sign on with it, and open ones stay."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
import redis

from app.store.address import parse_address
from app.store.connection import StoreConnection
from app.store.embedded.engine import LocalEngine
from app.store.execution.credentials import StoreCredentials
from app.store.execution.driver import connect
from tests.support.clocks import PATIENCE, eventually
from tests.support.onlooker import onlooker

OLD, NEW = ("pw" + secrets.token_hex(12) for _ in range(2))


def url_of(kind: str, request: pytest.FixtureRequest, engine: LocalEngine) -> str:
    return engine.url if kind == "server" else str(request.getfixturevalue("cluster"))


@pytest.fixture(params=["server", "cluster"])
def admin(request: pytest.FixtureRequest, engine: LocalEngine) -> Iterator[tuple[redis.Redis, str]]:
    """A client of the default user, which changes the other user's password, and the store's URL."""
    url = url_of(request.param, request, engine)
    # The Cluster has one node.
    with onlooker(url.replace("redis+cluster", "redis")) as client:
        yield client, url
        client.acl_deluser("app")


def set_passwords(client: redis.Redis, *passwords: str) -> None:
    given = [f">{password}" for password in passwords]
    client.execute_command("ACL", "SETUSER", "app", "reset", "on", "~*", "&*", "+@all", *given)  # type: ignore[no-untyped-call]


def end_connections(client: redis.Redis) -> None:
    client.execute_command("CLIENT", "KILL", "USER", "app")  # type: ignore[no-untyped-call]


async def test_a_new_password_counts_for_the_next_connection(admin: tuple[redis.Redis, str]) -> None:
    client, url = admin
    set_passwords(client, OLD)
    address = parse_address(url.replace("://", f"://app:{OLD}@"))
    store = StoreConnection(
        connect(address, replica="test", timeout=PATIENCE, max_connections=4),
        replica="test",
        timeout=PATIENCE,
    )
    credentials = store.credentials
    assert credentials is not None
    try:
        assert await store.probe()
        # Both count while replicas change over; then the old one is taken away.
        set_passwords(client, OLD, NEW)
        credentials.use("app", NEW)
        assert await store.probe(), "a connection that is open stays"
        set_passwords(client, NEW)
        end_connections(client)
        await eventually(store.probe)
        end_connections(client)
        credentials.use("app", OLD)
        assert not await store.probe()
    finally:
        await store.close()


async def test_a_store_without_a_password_has_no_credentials() -> None:
    driver = connect(parse_address("redis://127.0.0.1:1/0"), replica="test", timeout=1, max_connections=2)
    store = StoreConnection(driver, replica="test", timeout=1)
    assert store.credentials is None
    await store.close()


def test_credentials_are_not_shown() -> None:
    assert NEW not in repr(StoreCredentials("app", NEW))
    assert NEW not in f"{vars(StoreCredentials('app', NEW))}"
