"""Stores that fail over: a primary with two replicas and a Sentinel, and a Cluster with a replica each.

The service signs on as the user of ``app.store.acl``; tests and the servers among themselves are the default
user.
"""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Protocol, Self

from app.store.embedded.engine import LocalEngine
from tests.support.access import url_for_service, user_arguments
from tests.support.clocks import until
from tests.support.cluster import command, follows, real_cluster
from tests.support.onlooker import onlooker

# Without the delay a full copy waits five seconds for further replicas.
COPY_AT_ONCE: Final = ("--repl-diskless-sync-delay", "0")
_REPLICAS: Final = 2
_NO_PASSWORD_FITS: Final = "cut"


class Failover(Protocol):
    """A store whose primaries can be lost one after another."""

    @property
    def url(self) -> str:
        """As ``CLOAKROOM_REDIS_URL``."""

    def victim(self) -> LocalEngine:
        """A primary whose turn it is to end."""

    def heirs(self, primary: LocalEngine) -> list[LocalEngine]:
        """Its replicas."""

    def switched(self, victim: LocalEngine) -> bool:
        """Whether another one has taken its place."""

    def repair(self, victim: LocalEngine) -> None:
        """Start or wake the lost primary; return when it follows the new one and all links stand."""


def cut(primary: LocalEngine, replicas: Sequence[LocalEngine]) -> None:
    """End the replication links of these replicas, and have every new one refused until ``mend``."""
    for replica in replicas:
        # The default user has no password, so a replica that brings one is sent away.
        command(replica, "CONFIG", "SET", "masterauth", _NO_PASSWORD_FITS)
    # All links end. Those of the other replicas are back at once, and miss nothing.
    command(primary, "CLIENT", "KILL", "TYPE", "replica")


def mend(replicas: Sequence[LocalEngine]) -> None:
    """Allow the links again."""
    for replica in replicas:
        command(replica, "CONFIG", "SET", "masterauth", "")


@contextmanager
def cut_off(primary: LocalEngine, *replicas: LocalEngine) -> Iterator[None]:
    """Inside, these replicas have no link to their primary."""
    cut(primary, replicas)
    try:
        yield
    finally:
        mend(replicas)


def _revive(node: LocalEngine) -> bool:
    """Start it anew, and empty, if it was killed; else wake it. Returns whether it was started anew."""
    if node.running:
        os.kill(node.pid, signal.SIGCONT)
        return False
    node.stop()
    node.start()
    return True


class SentinelStore:
    """One primary, two replicas and one Sentinel, which switches after a second of silence."""

    def __init__(self, password: str) -> None:
        self._password = password
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as resources:
            arguments = (*user_arguments(self._password), *COPY_AT_ONCE)
            self._nodes = [
                resources.enter_context(LocalEngine(extra_args=arguments)) for _ in range(1 + _REPLICAS)
            ]
            first, *others = self._nodes
            for node in others:
                command(node, "REPLICAOF", "127.0.0.1", first.port)
            with LocalEngine() as free:
                port = free.port
            config = Path(resources.enter_context(TemporaryDirectory())) / "sentinel.conf"
            config.write_text(
                f"port {port}\nsentinel monitor main 127.0.0.1 {first.port} 1\n"
                "sentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 2000\n"
                "sentinel parallel-syncs main 2\n"
            )
            sentinel = LocalEngine(port=port, config=config, extra_args=("--sentinel",))
            self._sentinel = resources.enter_context(sentinel)
            self._wait_until_whole()
            self._resources = resources.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    @property
    def url(self) -> str:
        return url_for_service(self._sentinel, self._password, scheme="redis+sentinel") + "/main"

    def primary(self) -> LocalEngine:
        """The one that Sentinel names."""
        _, port = command(self._sentinel, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")
        return next(node for node in self._nodes if node.port == int(port))

    def victim(self) -> LocalEngine:
        return self.primary()

    def heirs(self, primary: LocalEngine) -> list[LocalEngine]:
        return [node for node in self._nodes if node is not primary]

    def switched(self, victim: LocalEngine) -> bool:
        now = self.primary()
        return now is not victim and command(now, "ROLE")[0] == "master"

    def repair(self, victim: LocalEngine) -> None:
        _revive(victim)
        # Sentinel would do it too, after some ten seconds.
        command(victim, "REPLICAOF", "127.0.0.1", self.primary().port)
        self._wait_until_whole()

    def _wait_until_whole(self) -> None:
        until(lambda: all(follows(node) for node in self.heirs(self.primary())), "replicas that follow")
        until(self._is_known, "a Sentinel that knows the replicas")

    def _is_known(self) -> bool:
        with onlooker(self._sentinel.url) as client:
            found = client.sentinel_slaves("main")
        well = [one for one in found if one["flags"] in ("slave", {"slave"})]
        return len(well) == _REPLICAS


class ClusterStore:
    """Three primaries with one replica each, which takes over after a second of silence."""

    def __init__(self, password: str) -> None:
        self._password = password
        self._turns = itertools.count()
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        arguments = (*user_arguments(self._password, cluster=True), *COPY_AT_ONCE)
        cluster = self._resources.enter_context(real_cluster(replicas=3, arguments=arguments))
        self._nodes = [*cluster.primaries, *cluster.replicas]
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    @property
    def url(self) -> str:
        first, *others = self._nodes
        url = url_for_service(first, self._password, scheme="redis+cluster")
        return ",".join([url, *(f"127.0.0.1:{node.port}" for node in others)])

    def victim(self) -> LocalEngine:
        primaries = [node for node in self._nodes if command(node, "ROLE")[0] == "master"]
        return primaries[next(self._turns) % len(primaries)]

    def heirs(self, primary: LocalEngine) -> list[LocalEngine]:
        told = [(node, command(node, "ROLE")) for node in self._nodes if node is not primary]
        return [node for node, role in told if role[0] == "slave" and int(role[2]) == primary.port]

    def switched(self, victim: LocalEngine) -> bool:
        others = [node for node in self._nodes if node is not victim]
        roles = [command(node, "ROLE")[0] for node in others]
        return roles.count("master") == 3 and all(_is_well(node) for node in others)

    def repair(self, victim: LocalEngine) -> None:
        others = [node for node in self._nodes if node is not victim]
        gone = _id_by_port(others[0], victim.port)
        if _revive(victim):
            for node in others:
                command(node, "CLUSTER", "FORGET", gone)
            command(victim, "CLUSTER", "MEET", "127.0.0.1", others[0].port)
            until(lambda: all(_is_known(node, len(self._nodes)) for node in self._nodes), "one cluster")
            masters = [node for node in others if command(node, "ROLE")[0] == "master"]
            alone = next(node for node in masters if not self.heirs(node))
            command(victim, "CLUSTER", "REPLICATE", command(alone, "CLUSTER", "MYID"))
        until(lambda: follows(victim), "a replica that follows")
        until(lambda: all(_is_well(node) for node in self._nodes), "a cluster that is well")


def _is_well(node: LocalEngine) -> bool:
    return "cluster_state:ok" in str(command(node, "CLUSTER", "INFO"))


def _is_known(node: LocalEngine, nodes: int) -> bool:
    told = str(command(node, "CLUSTER", "INFO"))
    return f"cluster_known_nodes:{nodes}" in told and "cluster_state:ok" in told


def _id_by_port(viewer: LocalEngine, port: int) -> str:
    lines = str(command(viewer, "CLUSTER", "NODES")).splitlines()
    return next(line.split()[0] for line in lines if f":{port}@" in line)
