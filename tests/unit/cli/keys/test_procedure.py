"""The next step of a rotation, from what the replicas have in force."""

from __future__ import annotations

from typing import Any

import pytest

from app.cli.keys.procedure import Step, next_caller_step, next_ring_step

DAY = 86_400
VARIABLE = "CLOAKROOM_SIGNING_KEYS"


def replica(name: str, *kids: str, problem: str | None = None, **callers: dict[str, str]) -> dict[str, Any]:
    keys = [{"kid": kid, "algorithm": "HS256", "fingerprint": f"of-{kid}", "use": "signs"} for kid in kids]
    return {
        "replica": name,
        "process": f"{name}.1",
        "problem": problem,
        "needed_seconds": {"signing": 7200, "sealing": 7200},
        "signing": keys,
        "sealing": keys,
        "clients": callers.get("clients", {}),
        "admins": callers.get("admins", {}),
    }


def remembered(kid: str, seen: int, first: int | None) -> dict[str, Any]:
    return {
        "ring": "signing",
        "kid": kid,
        "fingerprint": f"of-{kid}",
        "seen_seconds_ago": seen,
        "first_seconds_ago": first,
    }


def step(replicas: list[dict[str, Any]], *memory: dict[str, Any]) -> Step:
    return next_ring_step({"replicas": replicas, "memory": list(memory)}, "signing", variable=VARIABLE)


def both(*kids: str) -> list[dict[str, Any]]:
    return [replica("a", *kids), replica("b", *kids)]


def test_a_ring_of_one_key_gets_a_second_one_at_its_end() -> None:
    found = step(both("k1"), remembered("k1", 90 * DAY, 3))
    assert (found.action, found.number, found.key) == ("add", 1, None)
    assert "at the end of CLOAKROOM_SIGNING_KEYS" in found.text[0]


def test_a_key_that_one_replica_lacks_is_waited_for() -> None:
    found = step([replica("a", "k1", "k2"), replica("b", "k1")], remembered("k2", 5, None))
    assert (found.action, found.number) == ("spread", None)
    assert found.text[:2] == ("a has k1, k2.", "b has k1.")


def test_the_processes_of_one_replica_may_differ_too() -> None:
    found = step([replica("a", "k1", "k2"), replica("a", "k1")])
    assert found.action == "spread"
    same = step([replica("a", "k1"), replica("a", "k1")])
    assert same.action == "add"


def test_a_new_key_that_all_have_becomes_the_first() -> None:
    found = step(both("k1", "k2"), remembered("k1", DAY, 0), remembered("k2", 60, None))
    assert (found.action, found.number, found.key) == ("first", 2, "k2")


def test_the_old_key_stays_as_long_as_what_it_made_may_need_it() -> None:
    memory = remembered("k1", DAY, 1200), remembered("k2", 3600, 0)
    found = step(both("k2", "k1"), *memory)
    assert (found.action, found.number, found.key, found.wait_seconds) == ("wait", 3, "k1", 6000)
    later = step(both("k2", "k1"), remembered("k1", DAY, 7200), remembered("k2", 9000, 0))
    assert (later.action, later.number, later.key, later.wait_seconds) == ("drop", 3, "k1", 0)


def test_it_goes_by_the_date_in_the_id_where_nothing_is_remembered() -> None:
    assert step(both("k20270101a", "k20270301a")).action == "first"
    assert step(both("k20270301a", "k20270101a")).action == "drop"


def test_keys_that_were_first_seen_together_are_told_apart_by_their_dates() -> None:
    memory = remembered("k20270101a", 4, 0), remembered("k20270301a", 4, None)
    assert step(both("k20270101a", "k20270301a"), *memory).action == "first"


def test_it_says_so_where_it_cannot_know() -> None:
    found = step(both("main", "other"), remembered("main", 4, 0), remembered("other", 4, None))
    assert (found.action, found.number, found.key) == ("unknown", None, "other")
    assert "may be older or newer" in found.text[0]


def test_what_a_replica_does_not_take_comes_first() -> None:
    found = step([replica("a", "k1"), replica("b", "k1", problem="CLOAKROOM_API_KEYS: it is empty")])
    assert found.action == "refused"
    assert found.text[0] == "b does not take what lies in its files: CLOAKROOM_API_KEYS: it is empty"


def test_two_keys_of_one_id_are_told() -> None:
    other = replica("b", "k1")
    other["signing"] = [{**other["signing"][0], "fingerprint": "of-another"}]
    assert step([replica("a", "k1"), other]).text[0] == "The replicas have other keys under the same names."


def caller_step(clients: dict[str, str], name: str) -> Step:
    found = {"replicas": [replica("a", clients=clients), replica("b", clients=clients)], "memory": []}
    return next_caller_step(found, "clients", name, variable="CLOAKROOM_API_KEYS")


@pytest.mark.parametrize(
    ("clients", "name", "action", "key"),
    [
        (["web"], "web", "add", "web-2"),
        (["web", "web-2"], "web", "drop", "web"),
        (["web", "web-2"], "web-2", "add", "web-3"),
        (["web-9", "web-10"], "web-9", "drop", "web-9"),
        (["web", "web-shop"], "web", "add", "web-2"),
    ],
)
def test_a_client_gets_a_second_key_before_it_loses_the_first(
    clients: list[str], name: str, action: str, key: str
) -> None:
    found = caller_step({client: f"of-{client}" for client in clients}, name)
    assert (found.action, found.key) == (action, key)


def test_a_name_that_nobody_knows_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(LookupError, match="known: till, web"):
        caller_step({"web": "1", "till": "2"}, "shop")


def test_replicas_with_other_clients_are_waited_for() -> None:
    found = {
        "replicas": [replica("a", clients={"web": "1", "web-2": "2"}), replica("b", clients={"web": "1"})],
        "memory": [],
    }
    found_step = next_caller_step(found, "clients", "web", variable="CLOAKROOM_API_KEYS")
    assert found_step.action == "spread"
