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

    def replace(self, primary: LocalEngine) -> None:
        """Have a replica take over while the primary runs, as if it were taken for dead."""

    def switched(self, victim: LocalEngine, *more: LocalEngine) -> bool:
        """Whether another one has taken its place. ``more`` were lost with it, and are not asked."""

    def repair(self, victim: LocalEngine, *more: LocalEngine) -> None:
        """Start or wake the lost primary, and what was lost with it.

        Returns when they follow the new primary and all links stand.
        """


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
    """One primary, two replicas, and Sentinels, which switch after a second of silence.

    Args:
        sentinels: 1, or 3, of which two must agree. Then the last one may be lost; see ``weak_sentinel``.
    """

    def __init__(self, password: str, *, sentinels: int = 1) -> None:
        self._password = password
        self._count = sentinels
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
            folder = Path(resources.enter_context(TemporaryDirectory()))
            self.sentinels = [
                resources.enter_context(
                    sentinel_of(first, folder / f"{number}.conf", quorum=min(self._count, 2))
                )
                for number in range(self._count)
            ]
            self._wait_until_whole()
            self._resources = resources.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    @property
    def url(self) -> str:
        # The one that may be lost comes first.
        *others, first = self.sentinels
        url = url_for_service(first, self._password, scheme="redis+sentinel")
        return ",".join([url, *(f"127.0.0.1:{other.port}" for other in others)]) + "/main"

    @property
    def weak_sentinel(self) -> LocalEngine:
        """The one that the others can do without."""
        return self.sentinels[-1]

    def primary(self) -> LocalEngine:
        """The one that Sentinel names."""
        _, port = command(self.sentinels[0], "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")
        return next(node for node in self._nodes if node.port == int(port))

    def victim(self) -> LocalEngine:
        return self.primary()

    def heirs(self, primary: LocalEngine) -> list[LocalEngine]:
        return [node for node in self._nodes if node is not primary]

    def replace(self, primary: LocalEngine) -> None:
        command(self.sentinels[0], "SENTINEL", "FAILOVER", "main")

    def switched(self, victim: LocalEngine, *more: LocalEngine) -> bool:
        now = self.primary()
        return now is not victim and command(now, "ROLE")[0] == "master"

    def repair(self, victim: LocalEngine, *more: LocalEngine) -> None:
        for lost in (victim, *more):
            _revive(lost)
            if lost in self._nodes:
                # Sentinel would do it too, after some ten seconds.
                command(lost, "REPLICAOF", "127.0.0.1", self.primary().port)
        self._wait_until_whole()

    def _wait_until_whole(self) -> None:
        until(lambda: all(follows(node) for node in self.heirs(self.primary())), "replicas that follow")
        until(self._is_known, "a Sentinel that knows the replicas")
        until(lambda: all(self._agrees(one) for one in self.sentinels), "Sentinels that know each other")

    def _agrees(self, sentinel: LocalEngine) -> bool:
        """Whether it knows all other Sentinels and the primary."""
        with onlooker(sentinel.url) as client:
            found = client.sentinel_master("main")
        well = not found["is_sdown"] and int(found["port"]) == self.primary().port
        return bool(well and found["num-other-sentinels"] == self._count - 1)

    def _is_known(self) -> bool:
        with onlooker(self.sentinels[0].url) as client:
            found = client.sentinel_slaves("main")
        well = [one for one in found if one["flags"] in ("slave", {"slave"})]
        return len(well) == _REPLICAS


def sentinel_of(primary: LocalEngine, config: Path, *, quorum: int = 1) -> LocalEngine:
    """A Sentinel that watches this primary as ``main``, not started yet."""
    with LocalEngine() as free:
        port = free.port
    config.write_text(
        # Not the server's own folder, which is another one after a start anew.
        f"port {port}\ndir {config.parent}\nsentinel monitor main 127.0.0.1 {primary.port} {quorum}\n"
        "sentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 2000\n"
        "sentinel parallel-syncs main 2\n"
    )
    return LocalEngine(port=port, config=config, extra_args=("--sentinel",))


class ClusterStore:
    """Three primaries with one replica each, which takes over after a second of silence.

    Args:
        replicas: a fourth one follows the first primary, too.
        arguments: further options of each server.
    """

    def __init__(self, password: str, *, replicas: int = 3, arguments: tuple[str, ...] = ()) -> None:
        self._password = password
        self._replicas = replicas
        self._arguments = arguments
        self._turns = itertools.count()
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        arguments = (*user_arguments(self._password, cluster=True), *COPY_AT_ONCE, *self._arguments)
        cluster = self._resources.enter_context(real_cluster(replicas=self._replicas, arguments=arguments))
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

    def replace(self, primary: LocalEngine) -> None:
        command(self.heirs(primary)[0], "CLUSTER", "FAILOVER", "TAKEOVER")

    def switched(self, victim: LocalEngine, *more: LocalEngine) -> bool:
        others = [node for node in self._nodes if node not in (victim, *more)]
        roles = [command(node, "ROLE")[0] for node in others]
        return roles.count("master") == 3 and all(_is_well(node) for node in others)

    def repair(self, victim: LocalEngine, *more: LocalEngine) -> None:
        assert not more, "a Cluster that lost two servers is not repaired"
        others = [node for node in self._nodes if node is not victim]
        gone = _id_by_port(others[0], victim.port)
        if _revive(victim):
            for node in others:
                command(node, "CLUSTER", "FORGET", gone)
            command(victim, "CLUSTER", "MEET", "127.0.0.1", others[0].port)
            until(lambda: all(_is_known(node, len(self._nodes)) for node in self._nodes), "one cluster")
            masters = [node for node in others if command(node, "ROLE")[0] == "master"]
            alone = min(masters, key=lambda node: len(self.heirs(node)))
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
