"""A Redis Cluster of three primaries on loopback."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

import redis

from app.store.engine import LocalEngine
from tests.bench.tools import BenchError

_NODES: Final = 3
_SLOTS: Final = 16_384
_START_SECONDS: Final = 20.0


@contextmanager
def cluster() -> Iterator[tuple[str, list[LocalEngine]]]:
    """Start it; yields the URL and the nodes.

    Raises:
        BenchError: the nodes do not find each other.
    """
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(LocalEngine(extra_args=("--cluster-enabled", "yes"))) for _ in range(_NODES)
        ]
        clients = [stack.enter_context(redis.Redis(port=node.port)) for node in nodes]
        for number, client in enumerate(clients):
            first, last = number * _SLOTS // _NODES, (number + 1) * _SLOTS // _NODES - 1
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
            client.execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[0].port)
        deadline = time.monotonic() + _START_SECONDS
        while not all(_whole(client) for client in clients):
            if time.monotonic() > deadline:
                raise BenchError("the three nodes of the Cluster did not find each other")
            time.sleep(0.1)
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        yield f"redis+cluster://{hosts}", nodes


def _whole(client: redis.Redis) -> bool:
    told = str(client.execute_command("CLUSTER", "INFO"))  # type: ignore[no-untyped-call]  # redis-py's gap
    return "cluster_state:ok" in told and f"cluster_known_nodes:{_NODES}" in told
