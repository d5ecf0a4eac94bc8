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
from app.store.connection import StoreConnection
from app.store.driver import Client
from app.store.faults import StoreFault, fault_of
from app.store.handles import HandleStore

_LIFE_SECONDS: Final = 2.0
_NAME: Final = "cloakroom-doctor"
_OFFERS: Final = ("0" * 64, "1" * 64)


async def rehearse(client: Client, *, now: float, seconds: float) -> list[tuple[str, StoreFault]]:
    """Return the steps that were refused, in words, each with the reason.

    Args:
        client: from ``StoreInspector``; it stays open.
        now: epoch seconds.
        seconds: deadline of each step.
    """
    handle_id, nonce = f"doctor-{secrets.token_hex(8)}", secrets.token_hex(8)
    first, second = _OFFERS

    async def claim(store: HandleStore, offer: str) -> object:
        return await store.claim(
            handle_id, offer, nonce, families=tuple(Family), pending=_LIFE_SECONDS, now=now
        )

    call = CallRecord(f"{handle_id}-call", handle_id, "", "", _NAME, "", int(now), _NAME)
    steps: list[tuple[str, Callable[[HandleStore], Awaitable[object]]]] = [
        ("save a handle", lambda store: store.save(_record(handle_id, now), life=_LIFE_SECONDS)),
        ("claim a use", lambda store: claim(store, first)),
        (
            "give a use back",
            lambda store: store.release(handle_id, first, nonce, give_back=True, code="doctor", now=now),
        ),
        ("claim another use", lambda store: claim(store, second)),
        (
            "keep an answer and its call",
            lambda store: store.settle(
                handle_id,
                second,
                nonce,
                "doctor",
                call,
                window=_LIFE_SECONDS,
                retention=_LIFE_SECONDS,
                now=now,
            ),
        ),
        (
            "note an unknown outcome",
            lambda store: store.mark_unknown(
                handle_id, first, nonce, window=_LIFE_SECONDS, code="doctor", now=now
            ),
        ),
        ("count a mint", lambda store: store.count_mint(_NAME, now=now)),
    ]
    refused = []
    for words, step in steps:
        # A connection each: one that had a refusal counts as down, and would not even try the next.
        connection = StoreConnection(client, replica=_NAME, timeout=seconds)
        try:
            await step(HandleStore(connection, replica=_NAME))
        except StoreUnavailable as error:
            refused.append((words, fault_of(error.__cause__ or error)))
    return refused


def _record(handle_id: str, now: float) -> HandleRecord:
    return HandleRecord(
        id=handle_id,
        model="-",
        deployment="-",
        provider="-",
        family=Family.REALTIME.value,
        client=_NAME,
        subject="",
        origin="",
        minted_at=int(now),
        expires_at=int(now + _LIFE_SECONDS),
        minted_by=_NAME,
        max_calls=0,
        sealed_key="none",
    )
