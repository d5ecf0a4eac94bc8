"""``GET /readyz``, which needs no credential: a flood of it is no flood at the store."""

from __future__ import annotations

import asyncio

import pytest

from app.store import keys
from app.web.appkeys import STORE
from tests.conftest import ServiceFactory

ASKING = 400
AT_ONCE = 50


async def test_a_flood_of_readiness_writes_nothing_while_the_last_write_counts(
    service_factory: ServiceFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A tenth of a second in truth, but no machine is too slow for this.
    monkeypatch.setattr("app.store.watcher.FRESH_SECONDS", 3600.0)
    monkeypatch.setattr("app.store.watcher.WATCH_UP_SECONDS", 3600.0)
    service = await service_factory()
    lease = keys.lease(service.server.app[STORE].process)

    async def ask() -> int:
        async with service.http.get(f"{service.base}/readyz") as answer:
            return answer.status

    before = int(await service.store_client.get(lease))
    for _ in range(ASKING // AT_ONCE):
        assert set(await asyncio.gather(*(ask() for _ in range(AT_ONCE)))) == {200}
    # The watcher's first one may be among them.
    assert int(await service.store_client.get(lease)) - before <= 1
