"""Checks the store: one check per question, all at once after the first round trip."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from app.doctor.finding import FIX_REACH_FIRST, Check, Finding, guarded
from app.doctor.rehearsal import rehearse
from app.doctor.store_rows import (
    URL,
    clock_finding,
    cluster_finding,
    fix_for,
    info_findings,
    keys_finding,
    persistence_finding,
    replicas_finding,
    role_finding,
    row,
)
from app.errors import StoreUnavailable
from app.handles.keyring import parse_sealing_ring, parse_signing_ring
from app.handles.rotation import sealing_keys, signing_keys
from app.settings import Settings
from app.store.address import StoreAddress, parse_address
from app.store.faults import StoreFault
from app.store.inspection import NodeFacts, StoreInspector
from app.store.records.replicas import Replicas
from app.wiring import build_store, reveal

T = TypeVar("T")

_PINGS: Final = 5
# A round trip above this share of the service's deadline leaves too little for a busy moment.
_SLOW_SHARE: Final = 0.25
_CLOSE_SECONDS: Final = 1.0
_HUNG: Final = f"check that the server is not hung (redis-cli PING); {URL}"


class StoreDoctor:
    """The checks of one store.

    Args:
        settings: with a ``redis_url``.
        seconds: deadline of each check.
        clock: returns epoch seconds.
    """

    def __init__(self, settings: Settings, *, seconds: float, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._seconds = seconds
        self._clock = clock

    async def examine(self) -> list[Finding]:
        """Every row of the area ``store``."""
        url = self._settings.redis_url.get_secret_value() if self._settings.redis_url else ""
        try:
            address = parse_address(url)
            if address.kind == "memory":
                fix = f"set {URL} to a server that replicas can share"
                return [row("address", "skipped", "memory:// has nothing to check", fix)]
            inspector = StoreInspector(address, connect_seconds=self._seconds)
        except ValueError as error:
            return [row("address", "fail", str(error), f"correct {URL}")]
        try:
            return [_address(address), *await self._look(address, inspector)]
        finally:
            await _close(inspector)

    async def _look(self, address: StoreAddress, inspector: StoreInspector) -> list[Finding]:
        reached = await self._guarded("reach", lambda: self._reach(inspector))
        if reached[0].status == "fail":
            return [*reached, row("details", "skipped", "nothing more can be asked", FIX_REACH_FIRST)]
        checks: list[tuple[str, Check]] = [
            ("writes", lambda: _writes(inspector)),
            ("info", lambda: self._info(address, inspector)),
            ("replicas", lambda: self._replicas(address, inspector)),
            ("clock", lambda: self._clocks(inspector)),
            ("keys in force", self._keys),
            ("access", lambda: self._access(address, inspector)),
        ]
        found = await asyncio.gather(*(self._guarded(name, check) for name, check in checks))
        return [*reached, *(finding for rows in found for finding in rows)]

    async def _guarded(self, name: str, check: Check) -> list[Finding]:
        async def explained() -> Finding | list[Finding]:
            try:
                return await check()
            except StoreFault as fault:
                return row(name, "fail", fault.text, fix_for(fault))

        return await guarded("store", name, explained, seconds=self._seconds, fix=_HUNG)

    async def _reach(self, inspector: StoreInspector) -> Finding:
        first = await inspector.ping()
        trip = statistics.median([await inspector.ping() for _ in range(_PINGS)])
        text = f"connected in {first * 1000:.1f} ms, round trip {trip * 1000:.2f} ms"
        deadline = self._settings.store_timeout_seconds
        if trip > deadline * _SLOW_SHARE:
            fix = f"put the store nearer, or raise CLOAKROOM_STORE_TIMEOUT_SECONDS ({deadline:g})"
            return row("reach", "warn", text, fix)
        return row("reach", "ok", text)

    async def _info(self, address: StoreAddress, inspector: StoreInspector) -> list[Finding]:
        nodes = await _unless_forbidden(inspector.facts())
        if nodes is None:
            fix = "redis-cli INFO by a user who may: version 7.0, noeviction, memory, persistence, role"
            return [row("info", "skipped", "our user may not run INFO", fix)]
        limited = self._settings.handle_max_calls > 0
        shape = await self._shape(address, inspector, nodes)
        save = await _unless_forbidden(inspector.config("save"))
        persistence = persistence_finding(nodes[0].info if nodes else {}, save)
        return [shape, *info_findings(nodes, limited_uses=limited), persistence]

    async def _shape(
        self, address: StoreAddress, inspector: StoreInspector, nodes: list[NodeFacts]
    ) -> Finding:
        if address.kind != "cluster":
            return role_finding(address.kind, nodes)
        info = await _unless_forbidden(inspector.cluster_info())
        if info is None:
            fix = "redis-cli CLUSTER INFO by a user who may: cluster_state must be ok"
            return row("shape", "skipped", f"a Cluster with {len(nodes)} primaries", fix)
        coverage = await _unless_forbidden(inspector.config("cluster-require-full-coverage"))
        return cluster_finding(info, len(nodes), full_coverage=coverage or "")

    async def _keys(self) -> Finding:
        store = build_store(self._settings)
        try:
            found = await Replicas(store).all()
        except StoreUnavailable:
            fix = "see the rows above and below; replicas still take their keys from their files"
            return row("keys in force", "skipped", "what the replicas tell of theirs cannot be read", fix)
        finally:
            await store.close()
        here = {
            "signing": signing_keys(parse_signing_ring(reveal(self._settings.signing_keys))),
            "sealing": sealing_keys(parse_sealing_ring(reveal(self._settings.sealing_keys))),
        }
        marks = {name: [(key.kid, key.fingerprint) for key in keys] for name, keys in here.items()}
        return keys_finding(found.documents, marks)

    async def _replicas(self, address: StoreAddress, inspector: StoreInspector) -> Finding:
        settings = self._settings
        try:
            counts = await inspector.replicas(seconds=settings.store_wait_seconds)
        except StoreFault as fault:
            if fault.trouble != "permission" or settings.store_wait_replicas:
                raise
            fix = fix_for(fault, user=address.username or "default", cluster=address.kind == "cluster")
            return row("replicas", "skipped", "our user may not run WAIT", fix)
        least = await _unless_forbidden(inspector.config("min-replicas-to-write"))
        lag = await _unless_forbidden(inspector.config("min-replicas-max-lag"))
        return replicas_finding(
            counts,
            wanted=settings.store_wait_replicas,
            limited_uses=settings.handle_max_calls > 0,
            refusing=f"min-replicas-to-write {least}, min-replicas-max-lag {lag}" if least and lag else "",
        )

    async def _clocks(self, inspector: StoreInspector) -> Finding:
        before = self._clock()
        theirs = await _unless_forbidden(inspector.clock())
        if theirs is None:
            return row("clock", "skipped", "our user may not run TIME", "redis-cli TIME")
        return clock_finding("clock", theirs, (before + self._clock()) / 2)

    async def _access(self, address: StoreAddress, inspector: StoreInspector) -> list[Finding]:
        user = await _unless_forbidden(inspector.user()) or address.username or "default"
        refused = await rehearse(inspector.client, now=self._clock(), seconds=self._seconds)
        cluster = address.kind == "cluster"
        rows = [
            row(
                "access",
                "fail",
                f"'{user}' cannot {step}: {fault.text}",
                fix_for(fault, user=user, cluster=cluster),
            )
            for step, fault in refused
        ]
        if not rows:
            text = f"'{user}' may do all that the service does (tried on a record of 2 s)"
            rows = [row("access", "ok", text)]
        if address.password is None and self._settings.production:
            fix = f"give the server a password (requirepass, or an ACL user) and write it into {URL}"
            rows.append(row("password", "warn", "anyone who reaches the server can read it", fix))
        return rows


def _address(address: StoreAddress) -> Finding:
    return row("address", "ok", f"{address.shown}, {'TLS' if address.tls else 'without TLS'}")


async def _writes(inspector: StoreInspector) -> Finding:
    started = time.perf_counter()
    await inspector.write()
    return row("writes", "ok", f"taken in {(time.perf_counter() - started) * 1000:.1f} ms")


async def _unless_forbidden(asked: Awaitable[T]) -> T | None:
    try:
        return await asked
    except StoreFault as fault:
        if fault.trouble == "permission":
            return None
        raise


async def _close(inspector: StoreInspector) -> None:
    """Close within a deadline, since a server that hangs would delay this too."""
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await inspector.close()
    except TimeoutError:
        return
