"""Changes of records by somebody who can write to the store, and what a replica tells of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from app.store import keys
from tests.support.clocks import eventually
from tests.support.scrape import scrape
from tests.support.service import Service
from tests.web.operators import id_of

Change = Callable[[Any, str], Awaitable[object]]


def write(field: str, value: str) -> Change:
    return lambda store, key: store.hset(key, field, value)


def remove(field: str) -> Change:
    return lambda store, key: store.hdel(key, field)


EDITS: Final[dict[str, Change]] = {
    "another model": write("model", "gpt-realtime"),
    "another client": write("client", "kiosk"),
    "another subject": write("subject", "somebody-else"),
    "another family of the same path": write("family", "transcription"),
    "a later expiry": write("expires_at", "99999999999"),
    "more calls": write("max_calls", "1000"),
    "calls without a limit": remove("max_calls"),
    "a limit that is no number": write("max_calls", "many"),
    "longer calls": write("max_call_seconds", "3600"),
    "calls of any length": remove("max_call_seconds"),
    "a length that is no number": write("max_call_seconds", "long"),
    "no proof": remove("proof"),
    "an empty proof": write("proof", ""),
    "another proof": write("proof", "seal1.AAAAAAAAAAAAAAAAAAAAAA"),
    "no model": remove("model"),
    "no client": remove("client"),
    "no deployment": remove("deployment"),
    "no expiry": remove("expires_at"),
    "another sealed key": write("sealed_key", "seal1.AAAA"),
    "half of the sealed key": remove("sealed_key_2"),
}


async def refused(service: Service) -> float:
    """How many refusals of changed records the replica has counted."""
    found = (await scrape(service.http, service.base)).value(
        "cloakroom_security_events_total", kind="record_refused"
    )
    assert found is not None
    return found


async def noted(service: Service, handle: str) -> None:
    """Wait until the refusal is on the handle's record."""

    async def is_noted() -> bool:
        found = await service.store_client.hget(keys.handle(id_of(handle)), "suspicion")
        return bool(found == "record_refused")

    await eventually(is_noted)
