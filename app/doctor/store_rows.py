"""Judges what a store says of itself, and names the fix for each fault. Pure.

The reasons behind the rows on ``INFO`` are in ``docs/deployment.md``, "Redis".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from app.doctor.finding import Finding
from app.store.acl import rule
from app.store.faults import StoreFault, Trouble
from app.store.inspection import NodeFacts
from app.store.keys import PREFIX, events

URL: Final = "CLOAKROOM_REDIS_URL"
LEAST_REDIS: Final = (7, 0)
# Above this share of maxmemory an operator should act before writes are refused.
_FULL_SHARE: Final = 0.8
_CLUSTER_SLOTS: Final = 16384
_COMMAND: Final = re.compile(r"the '([a-z|_-]{2,40})' command")
_KEY: Final = re.compile(r"access (a key|(at least )?one of the keys)")
_FIXES: Final[Mapping[Trouble, str]] = {
    "name": f"check the host in {URL}, and this machine's name resolution",
    "refused": f"start the server, or check host and port in {URL}",
    "timeout": f"check that the server is not hung (redis-cli PING) and that no firewall drops {URL}'s port",
    "tls": f"check {URL}: rediss:// where the server speaks TLS, and ?ca=FILE with the CA that it uses",
    "auth": f"write user and password into {URL}, percent-encoded: redis://user:password@host",
    "topology": f"choose the scheme in {URL} that fits the server: redis:// redis+sentinel:// redis+cluster://",
    "readonly": f"name the primary in {URL}, or redis+sentinel://",
    "full": "redis-cli CONFIG SET maxmemory, or a larger server",
    "database": f"leave the database number out of {URL}",
    "other": f"look at the server's log, and check {URL}",
}

_WAIT: Final = "CLOAKROOM_STORE_WAIT_REPLICAS"

# A row of the area ``store``.
row = partial(Finding, "store")


def fix_for(fault: StoreFault, *, user: str = "the user", cluster: bool = False) -> str:
    """One sentence that names the setting or the command.

    Args:
        user: the user that lacks a right.
        cluster: whether the store is a Cluster, where the service's rule has more in it.
    """
    if fault.trouble != "permission":
        return _FIXES[fault.trouble]
    return f"redis-cli ACL SETUSER {user} {_grant(fault.text, cluster=cluster)}"


def _grant(refusal: str, *, cluster: bool) -> str:
    """What to add to the user's rights.

    A script ends at its first refusal, and before Redis 7.2 the server does not name the command. The whole
    rule therefore answers a refusal inside a script: it has the commands that the script wants next.
    """
    found = _COMMAND.search(refusal)
    if found and "script" not in refusal:
        return f"+{found[1]}"
    if "channel" in refusal:
        return f"'&{events()}'"
    if _KEY.search(refusal):
        return f"'~{PREFIX}:*'"
    if "access database" in refusal:
        return "alldbs"  # Valkey 9.1 and later
    return rule(cluster=cluster)


def info_findings(nodes: Sequence[NodeFacts], *, limited_uses: bool) -> Iterator[Finding]:
    """The rows on version, eviction and memory of each server that takes writes.

    Args:
        limited_uses: whether handles are limited to a number of calls, which eviction could undo.
    """
    for node in nodes:
        where = f" ({node.name})" if node.name else ""
        yield _version(node.info, where)
        yield _eviction(node.info, where, limited_uses=limited_uses)
        yield _memory(node.info, where)


def role_finding(kind: str, nodes: Sequence[NodeFacts]) -> Finding:
    """Whether a server that is configured as no Cluster takes writes and is no node of one."""
    info = nodes[0].info if nodes else {}
    replicas = int(info.get("connected_slaves", 0))
    if info.get("role") in ("slave", "replica"):
        text = "this is a read-only replica"
        return row("shape", "fail", text, "name the primary in CLOAKROOM_REDIS_URL, or redis+sentinel://")
    if info.get("cluster_enabled") == 1:
        text = "this is one node of a Cluster"
        return row("shape", "fail", text, "write redis+cluster:// in CLOAKROOM_REDIS_URL")
    what = "the primary that Sentinel names" if kind == "sentinel" else "a single server"
    return row("shape", "ok", f"{what}, {replicas} replica{'' if replicas == 1 else 's'}")


def cluster_finding(info: Mapping[str, str], primaries: int, *, full_coverage: str = "") -> Finding:
    """Whether a Cluster serves all of its slots, and what it does when a primary fails.

    ``full_coverage`` is its ``cluster-require-full-coverage``; "" where that may not be read.
    """
    slots = int(info.get("cluster_slots_ok", 0))
    if info.get("cluster_state") == "ok" and slots == _CLUSTER_SLOTS:
        text = f"a Cluster with {primaries} primar{'y' if primaries == 1 else 'ies'}, all slots served"
        if full_coverage == "yes" and primaries > 1:
            text += "; when one primary fails, the others refuse as well"
            return row("shape", "warn", text, "set cluster-require-full-coverage to no at every node")
        return row("shape", "ok", text)
    text = f"the Cluster's state is {info.get('cluster_state')}, {slots} of {_CLUSTER_SLOTS} slots are served"
    return row("shape", "fail", text, "look with: redis-cli --cluster check HOST:PORT")


def replicas_finding(counts: Mapping[str, int], *, wanted: int, limited_uses: bool, refusing: str) -> Finding:
    """Whether a failover can lose what callers were told is there.

    Args:
        counts: the replicas that acknowledge, by the name of their primary.
        wanted: ``CLOAKROOM_STORE_WAIT_REPLICAS``.
        limited_uses: whether handles are limited to a number of calls.
        refusing: the settings by which the server itself refuses writes; "" where they may not be read.
    """
    name, fewest = min(counts.items(), key=lambda count: count[1], default=("", 0))
    where = f" at {name}" if len(counts) > 1 else ""
    text = f"{fewest} acknowledge{'s' if fewest == 1 else ''} a write{where}"
    text += f" ({refusing})" if refusing else ""
    if wanted > fewest:
        text += f", and {_WAIT} is {wanted}: mints fail"
        return row("replicas", "fail", text, f"start the missing replicas, or set {_WAIT} to {fewest}")
    if wanted:
        if wanted == fewest:
            text += f", and mints wait for {wanted}: nothing is lost, and they fail while one is away"
            return row("replicas", "ok", text)
        text += f", and mints wait for {wanted}: another one may take over beside a primary that runs"
        fix = f"set {_WAIT} to {fewest} to lose nothing then; mints fail while one is away"
        return row("replicas", "warn", text, fix)
    if not fewest:
        return row("replicas", "ok", text)
    fix = (
        f"{_WAIT}=1 to lose none; min-replicas-to-write 1 and min-replicas-max-lag 1 at the server only "
        "bound what a primary that was cut off takes in vain"
    )
    if limited_uses:
        text += "; a failover may forget the last uses, so that a limited handle is used again"
        return row("replicas", "warn", text, f"set {fix}")
    return row("replicas", "ok", f"{text}; a failover may lose the last handles", f"set {fix}")


def persistence_finding(info: Mapping[str, Any], save: str | None) -> Finding:
    """Whether keys stay on disk; ``save`` is the server's setting, None where it may not be read."""
    if info.get("aof_enabled") == 1:
        return _persists("the append-only file is on")
    if save:
        return _persists("snapshots are on")
    if save is None:
        return row("persistence", "ok", "no append-only file; our user may not ask for snapshots")
    return row("persistence", "ok", "nothing on disk")


def keys_finding(
    replicas: Sequence[Mapping[str, Any]], here: Mapping[str, Sequence[tuple[str, str]]]
) -> Finding:
    """Whether all replicas have the same rings in force, and those of the settings here.

    Args:
        replicas: what each tells of itself.
        here: the ids and fingerprints of the keys, by the name of the ring.
    """
    # A replica of another release may tell less, and is left out.
    replicas = [each for each in replicas if {"replica", "process", *here} <= each.keys()]
    for each in replicas:
        if each.get("problem") is not None:
            text = f"{each['replica']} does not take the secrets in its files: {each['problem']}"
            return row(
                "keys in force", "warn", text, "correct that; it serves on with the old ones until then"
            )
    for name, keys in here.items():
        rings = {tuple((key["kid"], key["fingerprint"]) for key in each[name]) for each in replicas}
        fix = f"cloakroom keys rotate {name} says what to do next"
        if len(rings) > 1:
            shown = " and ".join(sorted(", ".join(kid for kid, _ in ring) for ring in rings))
            return row("keys in force", "warn", f"the {name} keys differ: replicas have {shown}", fix)
        if rings and rings != {tuple(keys)}:
            text = f"the {name} keys here are not those of the replicas"
            return row(
                "keys in force", "warn", text, f"{fix}; replicas take them from their files, or restart"
            )
    if not replicas:
        return row("keys in force", "ok", "no replica tells of its keys")
    number = len({each["process"] for each in replicas})
    return row("keys in force", "ok", f"{number} replica{'s' if number > 1 else ''} with the keys of here")


def clock_finding(name: str, theirs: float, ours: float) -> Finding:
    """The store's clock against ours. Handles expire by a relative time, so only logs are affected."""
    skew = theirs - ours
    if abs(skew) <= 5:
        return row(name, "ok", f"in step with ours ({skew:+.1f} s)")
    text = f"{skew:+.0f} s against ours; handles do not depend on it"
    return row(name, "warn", text, "let NTP set the clocks of this host and of the store's")


def _version(info: Mapping[str, Any], where: str) -> Finding:
    if info.get("valkey_version"):
        return row("version", "ok", f"Valkey {info['valkey_version']}{where}")
    shown = str(info.get("redis_version", "unknown"))
    numbers = tuple(int(part) for part in shown.split(".")[:2] if part.isdecimal())
    if numbers >= LEAST_REDIS:
        return row("version", "ok", f"Redis {shown}{where}")
    text = f"Redis {shown}{where} is older than 7.0"
    return row("version", "fail", text, "move CLOAKROOM_REDIS_URL to Redis 7.0, or to Valkey")


def _eviction(info: Mapping[str, Any], where: str, *, limited_uses: bool) -> Finding:
    policy, bounded = str(info.get("maxmemory_policy", "unknown")), int(info.get("maxmemory", 0)) > 0
    if policy == "noeviction":
        return row("eviction", "ok", f"noeviction{where}")
    fix = "redis-cli CONFIG SET maxmemory-policy noeviction, and the same in the server's configuration"
    if bounded and limited_uses:
        text = f"{policy}{where}: when memory is full, a used-up handle could be used again"
        return row("eviction", "fail", text, fix)
    return row("eviction", "warn", f"{policy}{where}: when memory is full, handles are lost", fix)


def _memory(info: Mapping[str, Any], where: str) -> Finding:
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if most == 0:
        return row("memory", "ok", f"{_mb(used)} used, no limit{where}")
    text = f"{_mb(used)} of {_mb(most)} used ({used / most:.0%}){where}"
    if used > most * _FULL_SHARE:
        return row("memory", "warn", text, "redis-cli CONFIG SET maxmemory, or a larger server")
    return row("memory", "ok", text)


def _persists(how: str) -> Finding:
    text = f"{how}: sealed keys stay on disk after they expire, and a restart needs none of them"
    return row("persistence", "warn", text, "set appendonly no and save '' on the server")


def _mb(size: int) -> str:
    return f"{size / 1_048_576:.1f} MB"
