"""A real Redis Cluster on loopback: three primaries, and by wish a replica of the first, or of each."""

from __future__ import annotations

import itertools
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
    """``primaries`` as they were at the start; ``replicas`` follow the first of them, or each in turn."""

    primaries: list[LocalEngine]
    replicas: list[LocalEngine]

    @property
    def replica(self) -> LocalEngine | None:
        """The one that follows the first primary."""
        return self.replicas[0] if self.replicas else None

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
def real_cluster(
    *, with_replica: bool = False, replicas: int = 0, arguments: tuple[str, ...] = ()
) -> Iterator[RealCluster]:
    """Start it.

    Args:
        with_replica: the same as one of ``replicas``.
        replicas: how many there are; the first follows the first primary, and so on.
        arguments: further options of each server.

    Raises:
        AssertionError: the nodes do not find each other.
    """
    arguments = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000", *arguments)
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(LocalEngine(extra_args=arguments))
            for _ in range(_PRIMARIES + max(replicas, int(with_replica)))
        ]
        primaries, followers = nodes[:_PRIMARIES], nodes[_PRIMARIES:]
        for number, node in enumerate(primaries):
            first, last = number * _SLOTS // _PRIMARIES, (number + 1) * _SLOTS // _PRIMARIES - 1
            command(node, "CLUSTER", "ADDSLOTSRANGE", first, last)
        for node in nodes[1:]:
            command(node, "CLUSTER", "MEET", "127.0.0.1", nodes[0].port)
        until(lambda: all(_is_whole(node, len(nodes)) for node in nodes), "one cluster")
        for node, primary in zip(followers, itertools.cycle(primaries), strict=False):
            command(node, "CLUSTER", "REPLICATE", command(primary, "CLUSTER", "MYID"))
            until(lambda: follows(node), "a replica that follows")  # noqa: B023 - run at once
        yield RealCluster(primaries, followers)


def _is_whole(node: LocalEngine, nodes: int) -> bool:
    told = str(command(node, "CLUSTER", "INFO"))
    return "cluster_state:ok" in told and f"cluster_known_nodes:{nodes}" in told


def follows(node: LocalEngine) -> bool:
    """Whether it is a replica whose link to its primary stands."""
    return bool(command(node, "INFO", "replication").get("master_link_status") == "up")
