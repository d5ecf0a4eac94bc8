"""Fair shares of the requests in flight: all for one while it is alone, never all for one beside others."""

from __future__ import annotations

import random

import pytest

from app.telemetry.metrics import Metrics
from app.telemetry.parts.protection import ProtectionMetrics
from app.web.listener.shares import Shares

MOST = 20


class Replica:
    """Requests in flight, as the gate and the mint views count them."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.of: dict[str, int] = {}
        self.metrics = Metrics(models=[], deployments=[])
        self.shares = Shares(self, MOST, ProtectionMetrics(self.metrics))

    def mint(self, client: str) -> bool:
        """Whether one more is served; it stays."""
        self.in_flight += 1
        if self.shares.refuses_mint(client):
            self.in_flight -= 1
            return False
        self.shares.take(client)
        self.of[client] = self.of.get(client, 0) + 1
        return True

    def ends(self, client: str) -> None:
        self.shares.give_back(client)
        self.of[client] -= 1
        self.in_flight -= 1

    def relay(self) -> bool:
        self.in_flight += 1
        if self.shares.refuses_other():
            self.in_flight -= 1
            return False
        return True


@pytest.fixture
def replica() -> Replica:
    return Replica()


def test_one_client_alone_has_every_place(replica: Replica) -> None:
    assert [replica.mint("greedy") for _ in range(MOST + 5)] == [True] * MOST + [False] * 5


def test_a_quiet_client_is_served_by_a_replica_that_another_one_filled(replica: Replica) -> None:
    for _ in range(MOST):
        replica.mint("greedy")
    assert replica.mint("quiet")
    assert not replica.mint("greedy")
    # Up to an equal share.
    assert [replica.mint("quiet") for _ in range(MOST)].count(True) == MOST // 2 - 1
    # A place that becomes free is not the greedy one's again.
    replica.ends("greedy")
    assert not replica.mint("greedy")


def test_what_is_no_mint_is_served_beside_a_greedy_client_and_counts_as_one_party(replica: Replica) -> None:
    for _ in range(MOST):
        replica.mint("greedy")
    assert [replica.relay() for _ in range(MOST)].count(True) == MOST // 2
    assert replica.mint("quiet")


def test_without_mints_the_limit_is_the_limit(replica: Replica) -> None:
    assert [replica.relay() for _ in range(MOST + 5)].count(True) == MOST


def test_clients_that_left_have_no_share(replica: Replica) -> None:
    for number in range(5):
        replica.mint(f"client {number}")
    for number in range(5):
        replica.ends(f"client {number}")
    assert [replica.mint("greedy") for _ in range(MOST + 1)].count(True) == MOST


def test_while_load_is_shed_the_client_with_less_than_an_equal_share_is_served(replica: Replica) -> None:
    for _ in range(8):
        replica.mint("greedy")
    assert replica.shares.spares("quiet")
    assert not replica.shares.spares("greedy")
    for _ in range(8):
        replica.mint("quiet")
    assert not replica.shares.spares("quiet")


def test_many_equal_clients_undo_no_shedding(replica: Replica) -> None:
    for number in range(6):
        replica.mint(f"client {number}")
    assert not any(replica.shares.spares(f"client {number}") for number in range(100))


@pytest.mark.parametrize("seed", range(20))
def test_there_are_never_twice_as_many_as_the_limit_and_nobody_below_its_share_is_refused(
    replica: Replica, seed: int
) -> None:
    chance = random.Random(seed)
    clients = [f"client {number}" for number in range(chance.randint(1, 8))]
    for _ in range(3000):
        client = chance.choice(clients)
        if chance.random() < 0.4 and replica.of.get(client):
            replica.ends(client)
        elif not replica.mint(client):
            active = {one for one, number in replica.of.items() if number} | {client}
            assert replica.in_flight >= MOST
            assert (replica.of.get(client, 0) + 1) * len(active) > MOST
        assert replica.in_flight < 2 * MOST
    for client, number in replica.of.items():
        for _ in range(number):
            replica.ends(client)
    assert replica.in_flight == 0
    assert [replica.mint("last") for _ in range(MOST + 1)].count(True) == MOST


def test_verdicts_of_a_full_replica_are_counted(replica: Replica) -> None:
    for _ in range(MOST + 3):
        replica.mint("greedy")
    replica.mint("quiet")

    def counted(verdict: str) -> float | None:
        return replica.metrics.registry.get_sample_value("cloakroom_fair_share_total", {"verdict": verdict})

    assert (counted("served"), counted("refused")) == (1, 3)
