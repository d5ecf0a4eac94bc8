"""Judging what a store says of itself, for the answers that no server at hand gives."""

from __future__ import annotations

from typing import Any

import pytest

from app.doctor.finding import Finding
from app.doctor.store_rows import (
    clock_finding,
    cluster_finding,
    fix_for,
    info_findings,
    keys_finding,
    persistence_finding,
    replicas_finding,
    role_finding,
)
from app.store import errors as exceptions
from app.store.acl import rule
from app.store.faults import StoreFault, Trouble, fault_of
from app.store.inspection import NodeFacts

INFO: dict[str, Any] = {
    "redis_version": "7.2.4",
    "maxmemory": 0,
    "maxmemory_policy": "noeviction",
    "used_memory": 1_048_576,
    "aof_enabled": 0,
    "role": "master",
    "connected_slaves": 0,
    "cluster_enabled": 0,
}


def judged(limited_uses: bool = False, /, **changes: Any) -> dict[str, Finding]:
    nodes = [NodeFacts("", {**INFO, **changes})]
    return {row.name: row for row in info_findings(nodes, limited_uses=limited_uses)}


@pytest.mark.parametrize(
    ("info", "status"),
    [
        ({"redis_version": "6.2.14"}, "fail"),
        ({"redis_version": "7.0.0"}, "ok"),
        ({"redis_version": "10.1.0"}, "ok"),
        ({"redis_version": "unheard-of"}, "fail"),
        # Valkey tells a Redis version, too, and the one that counts for it is its own.
        ({"redis_version": "6.2.0", "valkey_version": "8.0.1"}, "ok"),
    ],
)
def test_versions_below_7_fail_and_any_valkey_passes(info: dict[str, str], status: str) -> None:
    row = judged(**info)["version"]
    assert row.status == status
    if status == "fail":
        assert "CLOAKROOM_REDIS_URL to Redis 7.0" in row.fix


def test_memory_warns_above_four_fifths_of_its_limit() -> None:
    assert judged(used_memory=80, maxmemory=100)["memory"].status == "ok"
    assert judged(used_memory=81, maxmemory=100)["memory"].status == "warn"
    assert judged(used_memory=2_097_152)["memory"].detail == "2.0 MB used, no limit"


def test_rows_of_several_nodes_name_them() -> None:
    nodes = [NodeFacts("a:1", INFO), NodeFacts("b:2", {**INFO, "maxmemory_policy": "volatile-lru"})]
    rows = list(info_findings(nodes, limited_uses=False))
    assert [row.detail for row in rows if row.name == "version"] == ["Redis 7.2.4 (a:1)", "Redis 7.2.4 (b:2)"]
    assert [row.status for row in rows if row.name == "eviction"] == ["ok", "warn"]


def test_eviction_fails_only_where_it_could_give_a_use_back() -> None:
    bad = {"maxmemory_policy": "allkeys-lru"}
    assert judged(True, **bad)["eviction"].status == "warn"
    assert judged(False, maxmemory=1000, **bad)["eviction"].status == "warn"
    assert judged(True, maxmemory=1000, **bad)["eviction"].status == "fail"


def test_snapshots_that_are_not_told_are_no_warning() -> None:
    assert persistence_finding(INFO, None).status == "ok"
    assert persistence_finding(INFO, "").detail == "nothing on disk"
    assert persistence_finding(INFO, "900 1").status == "warn"
    assert persistence_finding({**INFO, "aof_enabled": 1}, "").status == "warn"


def test_replicas_are_counted_and_a_replica_is_refused() -> None:
    assert role_finding("server", [NodeFacts("", {**INFO, "connected_slaves": 2})]).detail.endswith(
        "2 replicas"
    )
    assert role_finding("server", [NodeFacts("", {**INFO, "role": "slave"})]).status == "fail"


def replicas(*counts: int, wanted: int = 0, limited: bool = False, refusing: str = "") -> Finding:
    named = {f"node-{number}": count for number, count in enumerate(counts)}
    return replicas_finding(named, wanted=wanted, limited_uses=limited, refusing=refusing)


def test_replicas_fail_where_fewer_acknowledge_than_mints_wait_for() -> None:
    row = replicas(2, 1, wanted=2)
    assert row.status == "fail"
    assert (
        row.detail == "1 acknowledges a write at node-1, and CLOAKROOM_STORE_WAIT_REPLICAS is 2: mints fail"
    )
    assert row.fix == "start the missing replicas, or set CLOAKROOM_STORE_WAIT_REPLICAS to 1"


def test_replicas_warn_where_one_that_was_not_waited_for_may_take_over() -> None:
    assert replicas(1, wanted=1).status == replicas(2, wanted=2).status == "ok"
    row = replicas(2, wanted=1)
    assert row.status == "warn"
    assert "another one may take over beside a primary that runs" in row.detail
    assert row.fix.startswith("set CLOAKROOM_STORE_WAIT_REPLICAS to 2 to lose nothing then")


def test_without_the_setting_the_row_says_what_a_failover_may_cost_and_what_to_set() -> None:
    assert replicas(0) == Finding("store", "replicas", "ok", "0 acknowledge a write")
    plain = replicas(1, refusing="min-replicas-to-write 0, min-replicas-max-lag 10")
    assert plain.status == "ok"
    assert "(min-replicas-to-write 0, min-replicas-max-lag 10); a failover may lose" in plain.detail
    limited = replicas(1, limited=True)
    assert limited.status == "warn"
    assert "a limited handle is used again" in limited.detail
    for row in (plain, limited):
        assert row.fix.startswith("set CLOAKROOM_STORE_WAIT_REPLICAS=1 to lose none; min-replicas-to-write 1")


def test_a_cluster_must_be_ok_and_whole() -> None:
    assert cluster_finding({"cluster_state": "ok", "cluster_slots_ok": "16384"}, 3).status == "ok"
    assert (
        cluster_finding({"cluster_state": "ok", "cluster_slots_ok": "16384"}, 3, full_coverage="no").status
        == "ok"
    )
    warned = cluster_finding({"cluster_state": "ok", "cluster_slots_ok": "16384"}, 3, full_coverage="yes")
    assert (warned.status, warned.fix) == (
        "warn",
        "set cluster-require-full-coverage to no at every node",
    )
    broken = cluster_finding({"cluster_state": "fail", "cluster_slots_ok": "10000"}, 3)
    assert broken.status == "fail"
    assert "10000 of 16384" in broken.detail


@pytest.mark.parametrize(("skew", "status"), [(0, "ok"), (5, "ok"), (-5, "ok"), (6, "warn"), (-600, "warn")])
def test_the_store_s_clock_never_fails_since_expiry_is_relative(skew: float, status: str) -> None:
    assert clock_finding("clock", 1000 + skew, 1000).status == status


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (exceptions.ConnectionError("Error 111 connecting to 10.0.0.9:6379. Connect call failed"), "refused"),
        (exceptions.ConnectionError("Error -2 connecting to cache:6379. Name or service not known."), "name"),
        (
            exceptions.ConnectionError("Error 1 connecting: [SSL: CERTIFICATE_VERIFY_FAILED] certificate"),
            "tls",
        ),
        (exceptions.TimeoutError("Timeout connecting to server"), "timeout"),
        (exceptions.AuthenticationError("invalid username-password pair or user is disabled."), "auth"),
        (exceptions.ReadOnlyError("You can't write against a read only replica."), "readonly"),
        (exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), "full"),
        (exceptions.RedisClusterException("Redis Cluster cannot be connected."), "topology"),
        (exceptions.MovedError("7638 10.0.0.9:6379"), "topology"),
        (exceptions.MaxConnectionsError("Too many connections"), "other"),
        (exceptions.BusyLoadingError("LOADING Redis is loading the dataset in memory"), "other"),
        (exceptions.ResponseError("DB index is out of range"), "database"),
        (OSError("no route to host"), "other"),
    ],
)
def test_every_driver_error_has_a_kind_and_a_mend(error: Exception, trouble: Trouble) -> None:
    fault = fault_of(error)
    assert fault.trouble == trouble
    assert "CLOAKROOM_REDIS_URL" in fix_for(fault) or fix_for(fault).startswith("redis-cli ")
    assert "10.0.0.9" not in fault.text


def test_sentinel_s_error_is_cut_before_its_connection_pool() -> None:
    error = exceptions.ConnectionError(
        "No master found for 'main' : <redis.asyncio.client.Redis(<pool secret>)>"
    )
    fault = fault_of(error)
    assert fault.trouble == "topology"
    assert fault.text == "ConnectionError: No master found for 'main'"


# What a server says at the top level, by its version, and what it says of the same inside a script.
REFUSALS = [
    ("this user has no permissions to run the 'hset' command", "+hset"),
    ("User app has no permissions to run the 'hset' command", "+hset"),
    ("User app has no permissions to run the 'client|setname' command", "+client|setname"),
    ("this user has no permissions to access one of the keys used as arguments", "'~cloakroom:*'"),
    ("No permissions to access a key", "'~cloakroom:*'"),
    ("this user has no permissions to access one of the channels used as arguments", "'&cloakroom:events'"),
    ("No permissions to access a channel", "'&cloakroom:events'"),
    ("No permissions to access database", "alldbs"),
]
REFUSALS_IN_SCRIPTS = [
    ("The user executing the script can't run this command or subcommand", rule()),
    ("ACL failure in script: User app has no permissions to run the 'hset' command", rule()),
    (
        "The user executing the script can't access at least one of the keys mentioned in the command",
        "'~cloakroom:*'",
    ),
    ("ACL failure in script: No permissions to access a key", "'~cloakroom:*'"),
    ("ACL failure in script: No permissions to access database", "alldbs"),
]


@pytest.mark.parametrize(("text", "grant"), REFUSALS)
def test_a_missing_permission_names_what_to_grant(text: str, grant: str) -> None:
    for error in (
        exceptions.NoPermissionError(text),
        exceptions.NoPermissionError(
            f"Command # 2 (HSET k value-of-somebody) of pipeline caused error: {(text,)!r}"
        ),
    ):
        fault = fault_of(error)
        assert fault.trouble == "permission"
        assert fix_for(fault, user="app") == f"redis-cli ACL SETUSER app {grant}"
        assert "value-of-somebody" not in fault.text


@pytest.mark.parametrize(("text", "grant"), REFUSALS_IN_SCRIPTS)
def test_inside_a_script_every_server_s_words_lead_to_the_same_grant(text: str, grant: str) -> None:
    fault = fault_of(exceptions.ResponseError(f"{text} script: d8d5befa3d9e, on @user_script:1."))
    assert fault.trouble == "permission"
    assert fix_for(fault, user="app") == f"redis-cli ACL SETUSER app {grant}"


def test_a_cluster_s_user_gets_the_rule_with_what_a_cluster_needs() -> None:
    fault = fault_of(exceptions.ResponseError("The user executing the script can't run this command"))
    assert fix_for(fault, user="app", cluster=True).endswith(rule(cluster=True))
    assert rule(cluster=True) != rule()


def test_no_kind_of_trouble_is_without_a_mend() -> None:
    for trouble in Trouble.__args__:  # type: ignore[attr-defined]
        assert fix_for(StoreFault(trouble, "-"))


def replica(name: str, *kids: str, problem: str | None = None) -> dict[str, Any]:
    keys = [{"kid": kid, "fingerprint": f"of-{kid}"} for kid in kids]
    return {"replica": name, "process": f"{name}.1", "problem": problem, "signing": keys}


HERE = {"signing": [("k2", "of-k2"), ("k1", "of-k1")]}


@pytest.mark.parametrize(
    ("replicas", "status", "says"),
    [
        ([], "ok", "no replica tells"),
        ([replica("a", "k2", "k1"), replica("b", "k2", "k1")], "ok", "2 replicas"),
        ([replica("a", "k2", "k1")], "ok", "1 replica with"),
        ([replica("a", "k2", "k1"), {"replica": "of another release"}], "ok", "1 replica with"),
        ([replica("a", "k1", "k2"), replica("b", "k1")], "warn", "replicas have k1 and k1, k2"),
        ([replica("a", "k1", "k2")], "warn", "the signing keys here are not those of the replicas"),
        (
            [replica("a", "k2", "k1", problem="it is empty")],
            "warn",
            "a does not take the secrets",
        ),
    ],
)
def test_the_keys_of_the_replicas_are_those_of_the_settings(
    replicas: list[dict[str, Any]], status: str, says: str
) -> None:
    found = keys_finding(replicas, HERE)
    assert (found.name, found.status) == ("keys in force", status)
    assert says in found.detail
    assert (found.fix == "") == (status == "ok")
