"""The way straight to the store, for when no replica is up. It needs no signing and no sealing key."""

from __future__ import annotations

import getpass
import time
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Literal, NoReturn, TypeVar

from app.broker.pool.overview import overview
from app.cli.failure import EXIT_REFUSED, EXIT_UNREACHED, CliFailure
from app.cli.reach.base import HandleStory, Revocation
from app.errors import InvalidRequest, StoreUnavailable
from app.store.address import parse_address
from app.store.connection import StoreConnection
from app.store.events import Event, EventFeed, Watch
from app.store.execution.driver import connect
from app.store.faults import fault_of
from app.store.listing.directory import HandleDirectory
from app.store.listing.stops import CallStops
from app.store.listing.views import CallFilter, HandleFilter, HandleView, Page, Revoked, Stopped
from app.store.pools import PoolStore
from app.store.records.calls import CallStore
from app.store.records.record import CallRecord
from app.store.records.replicas import Replicas

# Shown in the server's CLIENT LIST.
_CLIENT: Final = "cli"
_CONNECTIONS: Final = 4
# How far back calls are looked for, in seconds: the longest retention that the settings allow.
_RETENTION: Final = 604_800
_TICK_SECONDS: Final = 1.0

T = TypeVar("T")


class DirectStore:
    """The ``Operator`` of ``--redis-url``.

    Args:
        shown: the store's address as it may be shown.
        by: the name that a revocation is noted with.
    """

    def __init__(self, connection: StoreConnection, *, shown: str, by: str) -> None:
        self._connection = connection
        self._directory = HandleDirectory(connection)
        self._calls = CallStore(connection, retention=_RETENTION)
        self._stops = CallStops(connection, self._calls, self._directory)
        # So that watchers also see a revocation that went through no replica.
        self._feed = EventFeed(connection, replica=_CLIENT)
        self._shown = shown
        self._by = by

    async def handle(self, handle_id: str) -> HandleStory | None:
        view = await self._ask(self._directory.get(handle_id))
        if view is None:
            return None
        ids = [note.call_id for note in view.relays if note.call_id]
        return HandleStory(view, await self._ask(self._calls.get_many(ids)))

    async def handles(self, wanted: HandleFilter, *, cursor: str | None, limit: int) -> Page[HandleView]:
        return await self._ask(self._directory.page(wanted, now=time.time(), cursor=cursor, limit=limit))

    async def count(self, wanted: HandleFilter) -> int:
        return await self._ask(self._directory.count(wanted, now=time.time()))

    async def revoke(self, handle_id: str, *, calls: bool = False) -> Revocation:
        now = time.time()
        outcome = await self._ask(self._directory.revoke(handle_id, by=self._by, now=now, calls=calls))
        if outcome == "revoked":
            self._tell_revoked(1, handle=handle_id)
        elif outcome == "newer":
            raise CliFailure(
                f"a newer release wrote the record of the handle {handle_id}, so it was not revoked: use the "
                "'cloakroom' of that release, or a replica of it with --url.",
            )
        view = await self._ask(self._directory.get(handle_id)) if calls else None
        stopped: Stopped | None = None
        if view is not None:
            stopped = await self._ask(self._stops.of_handle(view, by=self._by, now=now))
        return Revocation("already_revoked" if outcome == "already" else outcome, stopped)

    async def revoke_step(self, wanted: HandleFilter, *, cursor: str | None, calls: bool = False) -> Revoked:
        done = await self._ask(
            self._stops.revoke_step(wanted, by=self._by, now=time.time(), cursor=cursor, calls=calls)
        )
        if done.revoked:
            self._tell_revoked(
                done.revoked, client=wanted.client, model=wanted.model, deployment=wanted.deployment
            )
        return done

    async def call(self, call_id: str) -> CallRecord | None:
        return await self._ask(self._calls.get(call_id))

    async def calls(self, wanted: CallFilter, *, cursor: str | None, limit: int) -> Page[CallRecord]:
        return await self._ask(self._calls.page(wanted, now=time.time(), cursor=cursor, limit=limit))

    async def calls_named(self, call_ids: Sequence[str]) -> Mapping[str, CallRecord]:
        return await self._ask(self._calls.get_many(call_ids))

    async def hang_up(self, call_id: str) -> Literal["noted", "repeated"] | None:
        note = await self._ask(self._stops.one(call_id, by=self._by, now=time.time()))
        if note == "newer":
            raise CliFailure(
                f"a newer release wrote the record of the call {call_id}, so it was not ended: use the "
                "'cloakroom' of that release, or a replica of it with --url.",
            )
        if note == "noted":
            self._tell_noted(1, call_id=call_id)
        return None if note == "gone" else "repeated" if note == "ended" else "noted"

    async def stop_step(self, wanted: CallFilter, *, cursor: str | None, dry_run: bool = False) -> Stopped:
        step = await self._ask(
            self._stops.step(wanted, by=self._by, now=time.time(), cursor=cursor, dry_run=dry_run)
        )
        if step.noted:
            self._tell_noted(
                step.noted, client=wanted.client, model=wanted.model, deployment=wanted.deployment
            )
        return step

    async def keys(self) -> Mapping[str, Any]:
        return (await self._ask(Replicas(self._connection).all())).document()

    async def pools(self) -> Mapping[str, Any]:
        # Only replicas know which models have a pool. They tell it while they run.
        told = await self._ask(Replicas(self._connection).all())
        return await self._ask(overview(PoolStore(self._connection), told.aged))

    async def events(self) -> AsyncIterator[Sequence[Event]]:
        try:
            async with Watch(self._connection, set()) as watch:
                yield []
                while True:
                    yield await watch.next(seconds=_TICK_SECONDS)
        except StoreUnavailable as error:
            self._fail(error)

    async def close(self) -> None:
        """Send the watchers what is still waiting."""
        await self._feed.close()

    def _tell_revoked(self, count: int, **which: str | None) -> None:
        self._feed.offer("revoke", {"outcome": "revoked", "revoked": count, "by": self._by, **which})

    def _tell_noted(self, count: int, **which: str | None) -> None:
        self._feed.offer("hangup", {"outcome": "noted", "noted": count, "by": self._by, **which})

    async def _ask(self, work: Awaitable[T]) -> T:
        try:
            return await work
        except StoreUnavailable as error:
            self._fail(error)
        except InvalidRequest as error:
            raise CliFailure(error.message, status=EXIT_REFUSED) from None

    def _fail(self, error: StoreUnavailable) -> NoReturn:
        reason = fault_of(error.__cause__).text if error.__cause__ is not None else "it does not answer"
        raise CliFailure(
            f"the store at {self._shown} cannot be used: {reason}. 'cloakroom doctor' looks closer.",
            status=EXIT_UNREACHED,
        ) from None


@asynccontextmanager
async def open_store(url: str, *, timeout: float) -> AsyncIterator[DirectStore]:
    """Open the store; it connects at the first request.

    Args:
        url: as ``CLOAKROOM_REDIS_URL``; never shown.
        timeout: seconds for each step.

    Raises:
        CliFailure: the address cannot be read, or names the memory of one process.
    """
    try:
        address = parse_address(url)
        if address.kind == "memory":
            raise ValueError("memory:// is inside the replica's own process; use the admin API with --url")
        client = connect(address, replica=_CLIENT, timeout=timeout, max_connections=_CONNECTIONS)
    except ValueError as error:
        raise CliFailure(f"the store's address is not usable: {error}", status=EXIT_REFUSED) from None
    connection = StoreConnection(client, replica=_CLIENT, timeout=timeout, max_connections=_CONNECTIONS)
    store = DirectStore(connection, shown=address.shown, by=f"cli:{_user()}")
    try:
        yield store
    finally:
        await store.close()
        await connection.close()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container's user id without a name.
        return "unknown"
