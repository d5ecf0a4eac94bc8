"""The four kinds of store: a real server, Cluster, Sentinel, and ``memory://``; a primary with a replica."""

from __future__ import annotations

import itertools
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis as sync_redis

from app.store.address import parse_address
from app.store.connection import StoreConnection
from app.store.embedded.engine import LocalEngine
from app.store.execution.driver import Client, connect
from tests.support.clocks import PATIENCE, until
from tests.support.cluster import command
from tests.support.failover import COPY_AT_ONCE

KINDS = ["server", "cluster", "sentinel", "memory"]
_serial = itertools.count()


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """A real Cluster of one node that owns all slots: it refuses commands whose keys differ in slot."""
    with LocalEngine(extra_args=("--cluster-enabled", "yes")) as node:
        client = sync_redis.Redis(port=node.port)
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)  # type: ignore[no-untyped-call]
        until(lambda: "cluster_state:ok" in str(client.execute_command("CLUSTER", "INFO")))  # type: ignore[no-untyped-call]
        client.close()
        yield f"redis+cluster://127.0.0.1:{node.port}"


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[LocalEngine, LocalEngine]]:
    """A primary and its replica."""
    with LocalEngine(extra_args=COPY_AT_ONCE) as primary, LocalEngine() as replica:
        command(replica, "REPLICAOF", "127.0.0.1", primary.port)
        yield primary, replica


@pytest.fixture(scope="session")
def sentinel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Sentinel that watches a real primary."""
    with LocalEngine() as primary:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        config: Path = tmp_path_factory.mktemp("sentinel") / "sentinel.conf"
        config.write_text(f"port {port}\nsentinel monitor main 127.0.0.1 {primary.port} 1\n")
        with LocalEngine(port=port, config=config, extra_args=("--sentinel",)):
            yield f"redis+sentinel://127.0.0.1:{port}/main"


@pytest.fixture(params=KINDS)
async def connection(request: pytest.FixtureRequest, engine: LocalEngine) -> AsyncIterator[StoreConnection]:
    """A connection to each kind in turn."""
    url = {"server": engine.url, "memory": "memory://"}.get(request.param)
    if url is None:
        url = request.getfixturevalue(request.param)
    client: Client = connect(parse_address(url), replica="test", timeout=PATIENCE, max_connections=8)
    made = StoreConnection(client, replica="test", timeout=PATIENCE)
    try:
        assert await made.probe(), url
        yield made
    finally:
        await made.close()


@pytest.fixture
def handle_id(request: pytest.FixtureRequest) -> str:
    """An id that no other test has."""
    return f"test-{abs(hash(request.node.nodeid)) % 10**9:010d}-{next(_serial):05d}"
