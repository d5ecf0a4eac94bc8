"""The warm pool in a real Cluster: all of a model's pool lies on one node, and mints do without that one."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from app.errors import StoreUnavailable
from app.models import USUAL_MODEL
from app.store import keys
from app.store.embedded.engine import LocalEngine
from app.store.pools import PoolState, PoolStore
from app.web.appkeys import STORE
from tests.conftest import ServiceFactory
from tests.support.clocks import eventually
from tests.support.cluster import RealCluster, real_cluster
from tests.support.service import Service

SETTINGS: Final = {
    "CLOAKROOM_MODELS": json.dumps({USUAL_MODEL: {"deployments": ["openai"], "pool": {"target": 20}}}),
    "CLOAKROOM_STORE_TIMEOUT_SECONDS": "0.5",
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[RealCluster]:
    with real_cluster(arguments=("--cluster-require-full-coverage", "no")) as running:
        yield running


@contextmanager
def silent(node: LocalEngine) -> Iterator[None]:
    os.kill(node.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(node.pid, signal.SIGCONT)


async def state(service: Service) -> PoolState:
    return await PoolStore(service.server.app[STORE]).state(USUAL_MODEL)


async def in_stock(service: Service) -> bool:
    return any(level.stock for level in (await state(service)).shapes)


async def test_a_node_that_is_silent_costs_mints_its_keys_and_nothing_else(
    cluster: RealCluster, service_factory: ServiceFactory
) -> None:
    service = await service_factory(store_url=cluster.url, **SETTINGS)
    for _ in range(3):
        assert (await service.mint()).status == 200
    assert await eventually(lambda: in_stock(service))
    asked, used = service.asked("/client_secrets"), (await state(service)).bill.used
    with silent(cluster.owner(keys.pool(USUAL_MODEL)[0])):
        # The first one waits for the node in vain. The others know.
        for _ in range(5):
            assert (await service.mint()).status == 200
        assert service.asked("/client_secrets") >= asked + 5

    async def served_again() -> bool:
        assert (await service.mint()).status == 200
        try:
            return (await state(service)).bill.used > used
        except StoreUnavailable:  # not seen yet that it is back
            return False

    assert await eventually(served_again)
