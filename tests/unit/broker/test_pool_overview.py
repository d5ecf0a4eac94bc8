"""What operators see of all pools: from what replicas told, and from the store's figures."""

from __future__ import annotations

from typing import Any

import pytest

from app.broker.pool.overview import Pause, pauses, policies_told, pool_document, told
from app.broker.pool.standing import standing
from app.broker.routing.breaker import Breakers, Verdict
from app.broker.routing.catalog import Catalog, Choice, Model
from app.broker.session_policy import ModelPolicy, PoolPolicy
from app.models import Deployment, Secret
from app.store.pools import PoolBill, PoolLevel, PoolState

POLICY = PoolPolicy(target=20, max_waste=0.5)
BUSY = PoolLevel("shape", stock=18, pending=2, minute=34, five=150, takes=150, idle=1.0, serves=600.0)
BILL = PoolBill(minted=200, used=170, wasted=12, lost=0, hour_minted=100, hour_wasted=5)


def replica(name: str, pool: Any, *, age: float = 0.0) -> dict[str, Any]:
    return {"replica": name, "pools": {"voice": pool}, "age": age}


def fine(**changes: Any) -> dict[str, Any]:
    return {"target": 20, "max_waste": 0.5, "paused": None, **changes}


def document(*replicas: dict[str, Any], bill: PoolBill = BILL, **level: int) -> dict[str, Any]:
    state = PoolState((PoolLevel(**{**_fields(BUSY), **level}),), bill)
    return pool_document(standing("voice", POLICY, state), replicas)


def _fields(level: PoolLevel) -> dict[str, Any]:
    names = ("shape", "stock", "pending", "minute", "five", "takes", "idle", "serves")
    return {name: getattr(level, name) for name in names}


def test_a_replica_tells_its_policies_and_its_pauses_and_another_one_reads_the_policies() -> None:
    said = told({"voice": POLICY, "other": PoolPolicy(5, 0.1)}, {"voice": Pause("limited", 11.96)})
    assert said == {
        "voice": {"target": 20, "max_waste": 0.5, "paused": {"reason": "limited", "seconds": 12.0}},
        "other": {"target": 5, "max_waste": 0.1, "paused": None},
    }
    read = policies_told([{"replica": "a", "pools": said}, {"replica": "of an older release"}])
    assert read == {"other": PoolPolicy(5, 0.1), "voice": POLICY}


@pytest.mark.parametrize(
    "strange",
    [
        None,
        [],
        {"voice": None},
        {"voice": {"target": 20}},
        {"voice": fine(target="20")},
        {"voice": fine(paused=7)},
        {"voice": fine(paused={"reason": "limited"})},
    ],
)
def test_what_a_replica_of_another_release_tells_otherwise_is_left_out(strange: Any) -> None:
    other = {"replica": "b", "age": 1.0, "pools": strange}
    assert policies_told([other]) == {}
    shown = document(replica("a", fine()), other)
    assert (shown["replicas"], shown["paused"]) == (1, [])


def test_where_replicas_differ_the_largest_pool_is_shown() -> None:
    replicas = [replica("a", fine(target=10)), replica("b", fine(target=40)), replica("c", fine())]
    assert policies_told(replicas) == {"voice": PoolPolicy(40, 0.5)}


def test_a_pool_is_shown_with_its_bill() -> None:
    assert document(replica("a", fine()), replica("b", fine()), stock=20, pending=0) == {
        "object": "pool",
        "model": "voice",
        "state": "ready",
        "target": 20,
        "max_waste": 0.5,
        "sessions": 1,
        "stock": 20,
        "pending": 0,
        "goal": 20,
        "demand": 34,
        "minted": 200,
        "used": 170,
        "wasted": 12,
        "lost": 0,
        "hour": {"minted": 100, "wasted": 5, "waste": 0.05},
        "replicas": 2,
        "paused": [],
    }
    assert document(replica("a", fine()))["state"] == "filling"
    assert document(replica("a", fine()), takes=1)["state"] == "idle"
    wasted = PoolBill(minted=100, used=38, wasted=62, hour_minted=100, hour_wasted=62)
    shown = document(replica("a", fine()), bill=wasted)
    assert (shown["state"], shown["goal"], shown["hour"]["waste"]) == ("turned_down", 0, 0.62)


def test_it_is_paused_where_every_replica_pauses_and_the_time_runs() -> None:
    paused = fine(paused={"reason": "limited", "seconds": 12.0})
    both = document(replica("a", paused, age=4.0), replica("b", paused))
    assert both["state"] == "paused"
    assert both["paused"] == [
        {"replica": "a", "reason": "limited", "seconds": 8.0},
        {"replica": "b", "reason": "limited", "seconds": 12.0},
    ]
    one = document(replica("a", paused), replica("b", fine()))
    assert (one["state"], [each["replica"] for each in one["paused"]]) == ("filling", ["a"])
    over = document(replica("a", paused, age=12.0))
    assert (over["state"], over["paused"]) == ("filling", [])


class Provider:
    """Two deployments of one model with a pool, whose breakers are told what happened."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.breakers = Breakers(lambda: self.now)
        places = {name: Deployment(name, "openai", "https://x/v1", Secret("sk-x")) for name in ("one", "two")}
        models = {
            "voice": Model((Choice("one"), Choice("two", priority=1)), ModelPolicy(pool=POLICY)),
            "other": Model((Choice("one"),)),
        }
        self.catalog = Catalog(places, models, default_model=None)

    def saw(self, name: str, verdict: Verdict) -> None:
        era = self.breakers.enter(name)
        assert era is not None
        self.breakers.leave(name, era, verdict)

    def pauses(self, rest: float = 0.0) -> dict[str, Pause]:
        return pauses(self.catalog, self.breakers, lambda model: rest)


def test_a_replica_pauses_while_no_deployment_of_the_model_is_calm() -> None:
    provider = Provider()
    assert provider.pauses() == {}
    provider.saw("one", Verdict("answered", elsewhere=True, wait=12.0))
    assert provider.pauses() == {}, "the other deployment mints"
    provider.saw("two", Verdict("answered", elsewhere=True, wait=30.0))
    found = provider.pauses()["voice"]
    assert (found.reason, found.seconds) == ("limited", 12.0)
    provider.now += 20.0
    assert provider.pauses() == {}


def test_a_deployment_that_failed_pauses_it_for_another_reason() -> None:
    provider = Provider()
    for name in ("one", "two"):
        provider.saw(name, Verdict("failed", elsewhere=True, reason="It is away."))
    found = provider.pauses()["voice"]
    assert (found.reason, found.seconds) == ("failing", 5.0)


@pytest.mark.parametrize(("rest", "expected"), [(4.0, {"voice": ("failing", 4.0)}), (0.0, {})])
def test_mints_ahead_that_failed_pause_it_too(rest: float, expected: dict[str, tuple[str, float]]) -> None:
    found = Provider().pauses(rest)
    assert {model: (pause.reason, pause.seconds) for model, pause in found.items()} == expected
