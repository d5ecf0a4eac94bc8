"""One handle's whole life in the store, by the service's own code, to see what an access list refuses.

What the service may do cannot be asked for (``ACL DRYRUN`` wants rights that a service has no use for), so it
is done: a record of two seconds that belongs to nobody, under an id that no mint can have given.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import Final

from app.errors import StoreUnavailable
from app.models import CallRecord, Family, HandleRecord
from app.store import keys
from app.store.connection import StoreConnection
from app.store.directory import HandleDirectory
from app.store.driver import Client
from app.store.events import EventFeed
from app.store.faults import StoreFault, fault_of
from app.store.handles import Attempt, HandleStore
from app.store.scripts import ENDED
from app.store.views import HandleFilter

_LIFE_SECONDS: Final = 2.0
_NAME: Final = "cloakroom-doctor"
_OFFERS: Final = ("0" * 64, "1" * 64)

# What is done, in words that follow "cannot".
Step = tuple[str, Callable[[StoreConnection], Awaitable[object]]]


async def rehearse(client: Client, *, now: float, seconds: float) -> list[tuple[str, StoreFault]]:
    """Return the steps that were refused, in words, each with the reason.

    Args:
        client: from ``StoreInspector``; it stays open.
        now: epoch seconds.
        seconds: deadline of each step.
    """
    handle_id = f"doctor-{secrets.token_hex(8)}"
    refused = []
    for words, step in (*_of_requests(handle_id, now), *_of_operators(handle_id, now)):
        # A connection each: one that had a refusal counts as down, and would not even try the next.
        connection = StoreConnection(client, replica=_NAME, timeout=seconds)
        try:
            await step(connection)
        except StoreUnavailable as error:
            refused.append((words, fault_of(error.__cause__ or error)))
        finally:
            await connection.release()
    return refused


def _of_requests(handle_id: str, now: float) -> list[Step]:
    nonce = secrets.token_hex(8)
    first, second = (Attempt(handle_id, offer, nonce) for offer in _OFFERS)
    call = CallRecord(_call_id(handle_id), handle_id, "", "", _NAME, "", int(now), _NAME)

    def store(connection: StoreConnection) -> HandleStore:
        return HandleStore(connection, replica=_NAME)

    def claim(connection: StoreConnection, attempt: Attempt) -> Awaitable[object]:
        return store(connection).claim(attempt, families=tuple(Family), pending=_LIFE_SECONDS, now=now)

    def give_back(connection: StoreConnection) -> Awaitable[object]:
        return store(connection).release(first, give_back=True, code="doctor", now=now)

    def settle(connection: StoreConnection) -> Awaitable[object]:
        ends = {"window": _LIFE_SECONDS, "retention": _LIFE_SECONDS}
        return store(connection).settle(second, "doctor", call, **ends, now=now)

    def forget(connection: StoreConnection) -> Awaitable[object]:
        window = _LIFE_SECONDS
        return store(connection).mark_unknown(first, window=window, code="doctor", now=now)

    return [
        (
            "save a handle and its index",
            lambda connection: store(connection).save(_record(handle_id, now), life=_LIFE_SECONDS),
        ),
        ("claim a use", lambda connection: claim(connection, first)),
        ("give a use back", give_back),
        ("claim another use", lambda connection: claim(connection, second)),
        ("keep an answer and its call", settle),
        ("note an unknown outcome", forget),
        ("count a mint", lambda connection: store(connection).count_mint(_NAME, now=now)),
        (
            # Without the index: an end that outlives its call would be missing from the calls alive.
            "note a call's end",
            lambda connection: connection.run_script(
                ENDED, (keys.call(_call_id(handle_id)),), int(now), _NAME
            ),
        ),
        (
            # An empty batch: watchers see nothing of it.
            "tell the live events",
            lambda connection: connection.run_together(("PUBLISH", keys.events(), "[]")),
        ),
    ]


def _of_operators(handle_id: str, now: float) -> list[Step]:
    wanted = HandleFilter(client=_NAME)

    async def watch(connection: StoreConnection) -> None:
        async with EventFeed(connection, replica=_NAME).watch():
            return

    return [
        ("show a handle", lambda connection: HandleDirectory(connection).get(handle_id)),
        ("list handles", lambda connection: HandleDirectory(connection).page(wanted, now=now)),
        (
            "revoke a handle",
            lambda connection: HandleDirectory(connection).revoke(handle_id, by=_NAME, now=now),
        ),
        (
            "revoke a client's handles",
            lambda connection: HandleDirectory(connection).revoke_page(wanted, by=_NAME, now=now),
        ),
        ("watch the live events", watch),
    ]


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
