"""Judges what a store says of itself. Pure: ``INFO``'s numbers in, rows out.

The reasons stand in ``deploy/redis.conf`` and in ``docs/deployment.md``, "Redis".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from app.doctor.finding import Finding
from app.store.inspection import NodeFacts

LEAST_REDIS: Final = (7, 0)
# Above this share of maxmemory somebody should look before writes are refused.
_FULL_SHARE: Final = 0.8
_CLUSTER_SLOTS: Final = 16384


def info_findings(nodes: Sequence[NodeFacts], *, limited_uses: bool) -> Iterator[Finding]:
    """The rows that ``INFO`` is enough for, each over all servers that take writes.

    Args:
        limited_uses: whether handles are good for a number of calls, which eviction would break.
    """
    for node in nodes:
        where = f" ({node.name})" if node.name else ""
        yield _version(node.info, where)
        yield _eviction(node.info, where, limited_uses=limited_uses)
        yield _memory(node.info, where)


def role_finding(kind: str, nodes: Sequence[NodeFacts]) -> Finding:
    """Whether a server that is no Cluster is the one that takes writes, and no node of a Cluster."""
    info = nodes[0].info if nodes else {}
    replicas = int(info.get("connected_slaves", 0))
    if info.get("role") in ("slave", "replica"):
        text = "this is a read-only replica"
        return Finding(
            "store", "shape", "fail", text, "name the primary in CLOAKROOM_REDIS_URL, or redis+sentinel://"
        )
    if info.get("cluster_enabled") == 1:
        text = "this is one node of a Cluster"
        return Finding("store", "shape", "fail", text, "write redis+cluster:// in CLOAKROOM_REDIS_URL")
    what = "the primary that Sentinel names" if kind == "sentinel" else "a single server"
    return Finding("store", "shape", "ok", f"{what}, {replicas} replica{'' if replicas == 1 else 's'}")


def cluster_finding(info: Mapping[str, str], primaries: int) -> Finding:
    """Whether a Cluster serves all of its slots."""
    slots = int(info.get("cluster_slots_ok", 0))
    if info.get("cluster_state") == "ok" and slots == _CLUSTER_SLOTS:
        text = f"a Cluster with {primaries} primar{'y' if primaries == 1 else 'ies'}, all slots served"
        return Finding("store", "shape", "ok", text)
    text = f"the Cluster's state is {info.get('cluster_state')}, {slots} of {_CLUSTER_SLOTS} slots are served"
    return Finding("store", "shape", "fail", text, "look with: redis-cli --cluster check HOST:PORT")


def persistence_finding(info: Mapping[str, Any], save: str | None) -> Finding:
    """``save`` is the server's setting of that name; None where it is not told."""
    if info.get("aof_enabled") == 1:
        return _persists("the append-only file is on")
    if save:
        return _persists("snapshots are on")
    if save is None:
        return Finding("store", "persistence", "ok", "no append-only file; snapshots are not told")
    return Finding("store", "persistence", "ok", "nothing on disk")


def clock_finding(name: str, theirs: float, ours: float) -> Finding:
    """Harmless to handles, which expire by a relative time, but not to whoever reads the logs."""
    skew = theirs - ours
    if abs(skew) <= 5:
        return Finding("store", name, "ok", f"in step with ours ({skew:+.1f} s)")
    text = f"{skew:+.0f} s against ours; handles do not depend on it"
    return Finding("store", name, "warn", text, "let NTP set the clocks of this host and of the store's")


def _version(info: Mapping[str, Any], where: str) -> Finding:
    if info.get("valkey_version"):
        return Finding("store", "version", "ok", f"Valkey {info['valkey_version']}{where}")
    shown = str(info.get("redis_version", "unknown"))
    numbers = tuple(int(part) for part in shown.split(".")[:2] if part.isdecimal())
    if numbers >= LEAST_REDIS:
        return Finding("store", "version", "ok", f"Redis {shown}{where}")
    text = f"Redis {shown}{where} is older than 7.0"
    return Finding("store", "version", "fail", text, "move CLOAKROOM_REDIS_URL to Redis 7.0, or to Valkey")


def _eviction(info: Mapping[str, Any], where: str, *, limited_uses: bool) -> Finding:
    policy, bounded = str(info.get("maxmemory_policy", "unknown")), int(info.get("maxmemory", 0)) > 0
    if policy == "noeviction":
        return Finding("store", "eviction", "ok", f"noeviction{where}")
    fix = "redis-cli CONFIG SET maxmemory-policy noeviction, and the same in the server's configuration"
    if bounded and limited_uses:
        text = f"{policy}{where}: when memory is full, a used-up handle could be used again"
        return Finding("store", "eviction", "fail", text, fix)
    return Finding("store", "eviction", "warn", f"{policy}{where}: when memory is full, handles vanish", fix)


def _memory(info: Mapping[str, Any], where: str) -> Finding:
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if most == 0:
        return Finding("store", "memory", "ok", f"{_mb(used)} used, no limit{where}")
    text = f"{_mb(used)} of {_mb(most)} used ({used / most:.0%}){where}"
    if used > most * _FULL_SHARE:
        return Finding("store", "memory", "warn", text, "redis-cli CONFIG SET maxmemory, or a larger server")
    return Finding("store", "memory", "ok", text)


def _persists(how: str) -> Finding:
    text = f"{how}: sealed keys stay on disk past their end, and a restart needs none of them"
    return Finding("store", "persistence", "warn", text, "set appendonly no and save '' on the server")


def _mb(size: int) -> str:
    return f"{size / 1_048_576:.1f} MB"
