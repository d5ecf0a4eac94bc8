"""What the tests of hanging up look at: the provider's journal, and the record in the store."""

from __future__ import annotations

from typing import Any

from app.store import keys
from app.store.embedded.engine import LocalEngine
from tests.support.onlooker import async_onlooker
from tests.support.service import Service


def hangups(service: Service) -> list[dict[str, Any]]:
    """The hang-ups that reached the provider."""
    return [dict(entry) for entry in service.provider.journal.reports() if entry["operation"] == "hangup"]


async def record(service: Service, engine: LocalEngine, call_id: str) -> tuple[dict[str, str], int]:
    """The call's hash and its remaining life in milliseconds."""
    client: Any = async_onlooker(engine.url)
    try:
        return await client.hgetall(keys.call(call_id)), await client.pttl(keys.call(call_id))
    finally:
        await client.aclose()
