"""Which primary Sentinels name, also while some of them are silent, gone, or behind the others."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.store.embedded.engine import LocalEngine
from app.store.errors import ConnectionError as RedisConnectionError
from app.store.execution.sentinel import SentinelPrimary
from tests.support.clocks import eventually, until
from tests.support.cluster import command
from tests.support.failover import SentinelStore, sentinel_of
from tests.support.planted import Planted

NOWHERE = ("127.0.0.1", 1)


@pytest.fixture(scope="module")
def store() -> Iterator[SentinelStore]:
    with SentinelStore(Planted().store_password, sentinels=3) as running:
        yield running


def addresses(store: SentinelStore) -> list[tuple[str, int]]:
    """The weak one first, as in the store's URL."""
    return [("127.0.0.1", sentinel.port) for sentinel in reversed(store.sentinels)]


async def test_a_silent_sentinel_and_one_that_is_gone_hold_nobody_up(store: SentinelStore) -> None:
    silent = store.weak_sentinel
    os.kill(silent.pid, signal.SIGSTOP)
    try:
        found = await SentinelPrimary([NOWHERE, *addresses(store)], "main").find()
        assert found == ("127.0.0.1", store.primary().port)
        with pytest.raises(RedisConnectionError, match="No master found"):
            await SentinelPrimary([NOWHERE, addresses(store)[0]], "main").find()
    finally:
        os.kill(silent.pid, signal.SIGCONT)


async def test_a_service_that_sentinels_do_not_know_has_no_primary(store: SentinelStore) -> None:
    with pytest.raises(RedisConnectionError, match="No master found for 'other'"):
        await SentinelPrimary(addresses(store), "other").find()


async def test_the_latest_configuration_counts(store: SentinelStore, tmp_path: Path) -> None:
    """A Sentinel that watches another server by the same name stands for one that missed a switch."""
    before = store.primary()
    with LocalEngine() as old, sentinel_of(old, tmp_path / "behind.conf") as behind:
        command(store.sentinels[0], "SENTINEL", "FAILOVER", "main")
        until(lambda: store.switched(before), "Sentinel did not switch")

        async def is_found() -> bool:
            asked = [("127.0.0.1", behind.port), *addresses(store)]
            return await SentinelPrimary(asked, "main").find() == ("127.0.0.1", store.primary().port)

        await eventually(is_found, "the Sentinel that is behind was believed")
