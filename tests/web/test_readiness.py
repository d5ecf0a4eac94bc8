"""``GET /readyz``, which needs no credential: a flood of it costs the store a few writes."""

from __future__ import annotations

import asyncio
import time

from app.store import keys
from app.store.watcher import FRESH_SECONDS, WATCH_UP_SECONDS
from app.web.appkeys import STORE
from tests.support.service import Service

ASKING = 400
AT_ONCE = 50


async def test_a_flood_of_readiness_is_no_flood_at_the_store(service: Service) -> None:
    lease = keys.lease(service.server.app[STORE].process)

    async def ask() -> int:
        async with service.http.get(f"{service.base}/readyz") as answer:
            return answer.status

    before, began = int(await service.store_client.get(lease)), time.monotonic()
    for _ in range(ASKING // AT_ONCE):
        assert set(await asyncio.gather(*(ask() for _ in range(AT_ONCE)))) == {200}
    lasted = time.monotonic() - began
    # Those of the watcher are among them. A busy machine takes longer, and more is written.
    most = lasted / FRESH_SECONDS + lasted / WATCH_UP_SECONDS + 2
    assert int(await service.store_client.get(lease)) - before <= most
