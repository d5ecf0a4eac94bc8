"""One handle's whole life in the store, by the service's own code, to see what an access list refuses.

The server cannot be asked for our rights: ``ACL DRYRUN`` needs rights that a service has no use for. So every
step is done on a record of two seconds that has no client, under an id that no mint can give.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from app.errors import StoreUnavailable
from app.models import CallLimits, Family
from app.store import keys
from app.store.connection import StoreConnection
from app.store.events import EventFeed
from app.store.execution.driver import Client
from app.store.faults import StoreFault, fault_of
from app.store.listing.directory import HandleDirectory
from app.store.listing.views import HandleFilter
from app.store.pools import PoolEntry, PoolStore, PoolWish
from app.store.records.calls import CallStore
from app.store.records.claims import Attempt, Keep
from app.store.records.deadlines import CallDeadlines, Due
from app.store.records.handles import HandleStore
from app.store.records.minting import Live, Minting
from app.store.records.record import CallRecord, HandleRecord
from app.store.records.replicas import Replicas
from app.store.records.seats import DAY_SECONDS, Seat, confirming, freeing, seating
from app.store.scripts import USAGE, WATCH

_LIFE_SECONDS: Final = 2.0
_FAR_OFF_SECONDS: Final = 600.0
_HOLD_SECONDS: Final = 1.0
_NAME: Final = "cloakroom-doctor"
_ONE_CALL: Final = CallLimits(max_open_calls=1)
_OFFERS: Final = ("0" * 64, "1" * 64)

# What is done, in words that can follow "cannot".
Act = Callable[[StoreConnection], Awaitable[object]]
Step = tuple[str, Act]


async def rehearse(client: Client, *, now: float, seconds: float) -> list[tuple[str, StoreFault]]:
    """Return the steps that were refused, in words, each with the reason.

    Args:
        client: from ``StoreInspector``; it is not closed.
        now: epoch seconds.
        seconds: deadline of each step.
    """
    # As long as any other, since operators may list it while it lasts.
    handle_id = f"doctor-{secrets.token_urlsafe(12)[:15]}"
    refused = []
    for words, step in (*_of_requests(handle_id, now), *_of_operators(handle_id, now)):
        # One connection per step: after a refusal it counts as down and would not try the next step.
        connection = StoreConnection(client, replica=_NAME, timeout=seconds)
        try:
            await step(connection)
        except StoreUnavailable as error:
            refused.append((words, fault_of(error.__cause__ or error)))
        finally:
            await connection.release()
    return refused


def _of_requests(handle_id: str, now: float) -> list[Step]:
    nonce, short = secrets.token_hex(8), _LIFE_SECONDS
    first, second = (Attempt(handle_id, offer, nonce) for offer in _OFFERS)
    call = CallRecord(_call_id(handle_id), handle_id, "", "", _NAME, "", int(now), _NAME)

    def claim(store: HandleStore, attempt: Attempt) -> Awaitable[object]:
        return store.claim(attempt, families=tuple(Family), pending=short, now=now)

    def give_back(store: HandleStore) -> Awaitable[object]:
        return store.release(first, give_back=True, code="doctor", now=now)

    def settle(store: HandleStore) -> Awaitable[object]:
        return store.settle(second, "doctor", call, keep=Keep(short, short), now=now)

    def forget(store: HandleStore) -> Awaitable[object]:
        return store.mark_unknown(first, window=short, code="doctor", now=now)

    def note(connection: StoreConnection) -> Awaitable[object]:
        # Not its end, which is also indexed: one that outlives its call would be missing from the live calls.
        return CallStore(connection).mark_delivered(_call_id(handle_id), at=int(now))

    async def keep_deadline(connection: StoreConnection) -> None:
        # A long time off, so that no replica takes it in between. Taking the due ones is their work.
        deadlines, due = CallDeadlines(connection), Due("lost", _call_id(handle_id))
        await deadlines.add(due.reason, due.call_id, seconds=_FAR_OFF_SECONDS)
        await deadlines.remove(due)
        await deadlines.take(hold=_HOLD_SECONDS, at_most=0)

    async def count(store: HandleStore) -> None:
        minting = Minting(_NAME, _NAME, most=1_000_000)
        await store.admit(minting, Live(handle_id, short, most=1_000_000), now=now)
        await store.forget(_NAME, handle_id)

    async def seats(connection: StoreConnection) -> None:
        # A client that no other doctor has at this moment, so that its one seat is taken here.
        seat = Seat(f"{_NAME}-{handle_id}", "", handle_id, int(now) // DAY_SECONDS)
        taking = seating(seat, _ONE_CALL, nonce=nonce, hold=short, seconds=0)
        refused = seating(replace(seat, offer="other"), _ONE_CALL, nonce=nonce, hold=short, seconds=0)
        made = confirming(seat, nonce=nonce, seconds=short)
        await connection.run_scripts(taking, taking, refused, made, freeing(seat))

    async def meter(connection: StoreConnection) -> None:
        # Not into the stream itself, whose consumers would count it.
        call_id, life = _call_id(handle_id), int(short * 1000)
        sums, stream = keys.sums(call_id), keys.sums(f"{call_id}-record")
        await connection.run_script(WATCH, (sums, keys.watches()), call_id, life)
        await connection.run_script(USAGE, (sums, keys.watches(), stream), 1, call_id, 1, life, "v", 1)
        await connection.run_together(("DEL", stream))

    def publish(connection: StoreConnection) -> Awaitable[object]:
        # An empty batch, so watchers see nothing.
        return connection.run_together(("PUBLISH", keys.events(), "[]"))

    def on_store(step: Callable[[HandleStore], Awaitable[object]]) -> Act:
        return lambda connection: step(HandleStore(connection, replica=_NAME))

    return [
        (
            "save a handle and its index",
            on_store(lambda store: store.save(_record(handle_id, now), life=short)),
        ),
        ("claim a use", on_store(lambda store: claim(store, first))),
        ("give a use back", on_store(give_back)),
        ("claim another use", on_store(lambda store: claim(store, second))),
        ("keep an answer and its call", on_store(settle)),
        ("note an unknown outcome", on_store(forget)),
        ("count a mint", on_store(count)),
        ("take a seat, and give it back", seats),
        ("note what became of a call", note),
        ("keep the deadline of a call", keep_deadline),
        ("write a record of usage", meter),
        ("keep keys of a warm pool", lambda connection: _keep_in_pool(connection, handle_id)),
        ("tell the live events", publish),
    ]


def _of_operators(handle_id: str, now: float) -> list[Step]:
    wanted = HandleFilter(client=_NAME)

    async def watch(connection: StoreConnection) -> None:
        async with EventFeed(connection, replica=_NAME).watch():
            return

    def on_handles(step: Callable[[HandleDirectory], Awaitable[object]]) -> Act:
        return lambda connection: step(HandleDirectory(connection))

    return [
        ("show a handle", on_handles(lambda handles: handles.get(handle_id))),
        ("list handles", on_handles(lambda handles: handles.page(wanted, now=now))),
        ("revoke a handle", on_handles(lambda handles: handles.revoke(handle_id, by=_NAME, now=now))),
        (
            "revoke a client's handles",
            on_handles(lambda handles: handles.revoke_page(wanted, by=_NAME, now=now)),
        ),
        ("watch the live events", watch),
        # As a replica that ends, so that none is there which is not.
        ("tell which keys are in force", lambda connection: Replicas(connection).end()),
    ]


async def _keep_in_pool(connection: StoreConnection, model: str) -> None:
    """Do with the keys of one model what a pool does, and remove them all.

    Args:
        model: a name that no model has.

    Raises:
        StoreUnavailable: a step was refused.
    """
    store, shape = PoolStore(connection), "doctor"
    try:
        # A session has keys from its second take on.
        for _ in range(2):
            await store.take(model, shape, serves=_LIFE_SECONDS)
        marks = await store.reserve(model, PoolWish(shape, 2, most=2, bound=2, hold=_LIFE_SECONDS))
        first, *others = marks.ids
        ends_at = marks.now + int(_LIFE_SECONDS * 1000)
        await store.put(model, shape, PoolEntry(first, "-", ends_at, "none"), good_until=ends_at)
        await store.release(model, shape, others, lost=True)
        await store.take(model, shape, serves=_LIFE_SECONDS)
        await store.state(model)
    finally:
        # Where a step was refused, that is told, and what is left expires by itself.
        with contextlib.suppress(StoreUnavailable):
            await connection.run_together(("DEL", *keys.pool(model)))


def _call_id(handle_id: str) -> str:
    return f"{handle_id}-call"


def _record(handle_id: str, now: float) -> HandleRecord:
    return HandleRecord(
        id=handle_id,
        model="-",
        deployment="-",
        provider="-",
        family=Family.REALTIME.value,
        client=_NAME,
        subject=_NAME,
        origin="",
        minted_at=int(now),
        expires_at=int(now + _LIFE_SECONDS),
        minted_by=_NAME,
        max_calls=0,
        sealed_key="none",
    )
