"""A real Redis Cluster on loopback: three primaries, and by wish a replica of the first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import redis

from app.store.embedded.engine import LocalEngine
from tests.support.clocks import until

_PRIMARIES: Final = 3
_SLOTS: Final = 16_384


@dataclass(frozen=True, slots=True)
class RealCluster:
    """``primaries`` as they were at the start; ``replica`` follows the first of them."""

    primaries: list[LocalEngine]
    replica: LocalEngine | None

    @property
    def url(self) -> str:
        """As ``CLOAKROOM_REDIS_URL``."""
        return f"redis+cluster://{','.join(f'127.0.0.1:{node.port}' for node in self.primaries)}"

    def owner(self, key: str) -> LocalEngine:
        """The primary that a key belonged to at the start."""
        slot = command(self.primaries[0], "CLUSTER", "KEYSLOT", key)
        return next(
            node
            for number, node in enumerate(self.primaries)
            if slot <= (number + 1) * _SLOTS // _PRIMARIES - 1
        )

    def begin_to_move(self, key: str, to: LocalEngine) -> None:
        """From now on its owner sends whoever asks for what it no longer has to the new one, for once."""
        old = self.owner(key)
        slot = command(old, "CLUSTER", "KEYSLOT", key)
        command(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", command(old, "CLUSTER", "MYID"))
        command(old, "CLUSTER", "SETSLOT", slot, "MIGRATING", command(to, "CLUSTER", "MYID"))
        for name in command(old, "CLUSTER", "GETKEYSINSLOT", slot, 100):
            command(old, "MIGRATE", "127.0.0.1", to.port, name, 0, 5000)

    def end_the_move(self, key: str, to: LocalEngine) -> None:
        """Its slot belongs to the new one for good."""
        slot = command(to, "CLUSTER", "KEYSLOT", key)
        for node in self.primaries:
            command(node, "CLUSTER", "SETSLOT", slot, "NODE", command(to, "CLUSTER", "MYID"))


def command(node: LocalEngine, *words: str | int) -> Any:
    """Ask one node; the driver's errors are the caller's."""
    with redis.Redis(port=node.port, decode_responses=True) as client:
        return client.execute_command(*words)


@contextmanager
def real_cluster(*, with_replica: bool = False) -> Iterator[RealCluster]:
    """Start it.

    Raises:
        AssertionError: the nodes do not find each other.
    """
    arguments = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000")
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(LocalEngine(extra_args=arguments))
            for _ in range(_PRIMARIES + int(with_replica))
        ]
        primaries, replicas = nodes[:_PRIMARIES], nodes[_PRIMARIES:]
        for number, node in enumerate(primaries):
            first, last = number * _SLOTS // _PRIMARIES, (number + 1) * _SLOTS // _PRIMARIES - 1
            command(node, "CLUSTER", "ADDSLOTSRANGE", first, last)
        for node in nodes[1:]:
            command(node, "CLUSTER", "MEET", "127.0.0.1", nodes[0].port)
        until(lambda: all(_is_whole(node, len(nodes)) for node in nodes), "one cluster")
        for node in replicas:
            command(node, "CLUSTER", "REPLICATE", command(primaries[0], "CLUSTER", "MYID"))
            until(lambda: _follows(node), "a replica that follows")  # noqa: B023 - run at once
        yield RealCluster(primaries, replicas[0] if replicas else None)


def _is_whole(node: LocalEngine, nodes: int) -> bool:
    told = str(command(node, "CLUSTER", "INFO"))
    return "cluster_state:ok" in told and f"cluster_known_nodes:{nodes}" in told


def _follows(node: LocalEngine) -> bool:
    return bool(command(node, "INFO", "replication").get("master_link_status") == "up")
