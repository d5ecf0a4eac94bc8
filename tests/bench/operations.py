"""What an operator's questions cost at a given number of live handles: the directory's own calls, timed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from app.store.address import parse_address
from app.store.connection import StoreConnection
from app.store.directory import HandleDirectory
from app.store.driver import connect
from app.store.views import HandleFilter
from tests.bench.fill import LEAVER

_PAGE: Final = 100
_TRIES: Final = 9


async def _median_ms(work: Callable[[], Awaitable[Any]]) -> float:
    taken = []
    for _ in range(_TRIES):
        started = time.perf_counter()
        await work()
        taken.append((time.perf_counter() - started) * 1e3)
    return sorted(taken)[_TRIES // 2]


async def _operations(url: str) -> dict[str, float]:
    client = connect(parse_address(url), replica="bench", timeout=5.0, max_connections=4)
    connection = StoreConnection(client, replica="bench", timeout=5.0)
    directory = HandleDirectory(connection)
    try:
        return await _measured(directory)
    finally:
        await connection.close()


async def _measured(directory: HandleDirectory) -> dict[str, float]:
    now = time.time()
    everybody, leaver = HandleFilter(), HandleFilter(client=LEAVER)
    first = (await directory.page(everybody, now=now, limit=1)).items[0]
    found = {
        "page_ms": await _median_ms(lambda: directory.page(everybody, now=now, limit=_PAGE)),
        "page_of_a_client_ms": await _median_ms(lambda: directory.page(leaver, now=now, limit=_PAGE)),
        "count_ms": await _median_ms(lambda: directory.count(everybody, now=now)),
        "show_ms": await _median_ms(lambda: directory.get(first.id)),
    }
    started = time.perf_counter()
    await directory.revoke(first.id, by="bench", now=now)
    found["revoke_one_ms"] = (time.perf_counter() - started) * 1e3
    revoked, cursor, pages, longest = 0, None, 0, 0.0
    started = time.perf_counter()
    while pages == 0 or cursor is not None:
        page_started = time.perf_counter()
        page = await directory.revoke_page(leaver, by="bench", now=now, cursor=cursor)
        longest = max(longest, time.perf_counter() - page_started)
        revoked, cursor, pages = revoked + page.revoked + page.already, page.next_cursor, pages + 1
    found["revoke_client_ms"] = (time.perf_counter() - started) * 1e3
    found["revoked_of_client"] = revoked
    found["revoke_longest_page_ms"] = longest * 1e3
    return found


def operations(url: str) -> dict[str, float]:
    """List, count, show, revoke one, revoke a client's every handle; milliseconds.

    Raises:
        StoreUnavailable: the store does not answer.
    """
    return asyncio.run(_operations(url))
