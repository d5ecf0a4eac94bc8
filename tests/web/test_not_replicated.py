"""Too few replicas of the store, as a backend and a browser meet them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.store.embedded.engine import LocalEngine
from tests.conftest import ServiceFactory
from tests.support.api import Reply
from tests.support.clocks import eventually, until
from tests.support.cluster import command, follows
from tests.support.failover import COPY_AT_ONCE, cut_off
from tests.support.onlooker import onlooker
from tests.support.scrape import scrape
from tests.support.service import Service

LIMITED = {"CLOAKROOM_HANDLE_MAX_CALLS": "1"}
WAITS = {"CLOAKROOM_STORE_WAIT_REPLICAS": "1"}


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[LocalEngine, LocalEngine]]:
    """A primary and its replica."""
    with LocalEngine(extra_args=COPY_AT_ONCE) as primary, LocalEngine() as replica:
        command(replica, "REPLICAOF", "127.0.0.1", primary.port)
        until(lambda: follows(replica), "a replica that follows")
        yield primary, replica


def assert_not_replicated(reply: Reply) -> None:
    assert (reply.status, reply.code) == (503, "store_not_replicated"), reply
    assert reply.headers["retry-after"] == "1"
    assert "value" not in reply.json


async def test_a_mint_is_answered_503_leaves_nothing_and_costs_the_provider_one_key(
    engine: LocalEngine, service_factory: ServiceFactory
) -> None:
    service = await service_factory(**WAITS, CLOAKROOM_STORE_WAIT_SECONDS="0.2")
    before = handles_in(engine)
    assert_not_replicated(await service.mint())
    assert service.asked("client_secrets") == 1
    # From now on it is known, and no key is asked for that could not be kept.
    for _ in range(3):
        assert_not_replicated(await service.mint())
    assert service.asked("client_secrets") == 1
    assert handles_in(engine) == before
    seen = await scrape(service.http, service.base)
    assert seen.value("cloakroom_mints_total", outcome="unavailable", code="store_not_replicated") == 4
    assert seen.value("cloakroom_store_up") == 1


async def test_an_offer_waits_for_the_replica_before_it_is_sent_and_is_taken_when_that_is_back(
    pair: tuple[LocalEngine, LocalEngine], service_factory: ServiceFactory
) -> None:
    service = await service_factory(store_url=pair[0].url, **WAITS, **LIMITED)
    handle = await minted(service)
    with cut_off(*pair):
        assert_not_replicated(await service.relay(handle))
        # The use is given back already, and from now on none is taken.
        for _ in range(3):
            assert_not_replicated(await service.relay(handle))
        assert (await scrape(service.http, service.base)).value("cloakroom_settlements_pending") == 0
        assert service.asked("/calls") == 0

    async def taken() -> bool:
        return (await service.relay(handle)).status == 201

    await eventually(taken)
    assert (await service.relay(handle)).code == "handle_spent"
    assert service.asked("/calls") == 1


async def test_an_offer_of_a_handle_without_a_limit_waits_for_nobody(
    pair: tuple[LocalEngine, LocalEngine], service_factory: ServiceFactory
) -> None:
    until(lambda: follows(pair[1]), "a replica that follows")
    service = await service_factory(store_url=pair[0].url, **WAITS)
    handle = await minted(service)
    with cut_off(*pair):
        assert (await service.relay(handle)).status == 201
        assert_not_replicated(await service.mint())
        assert (await service.relay(handle)).status == 201


async def minted(service: Service) -> str:
    """A handle, as soon as the replica acknowledges in the usual time."""

    async def found() -> str | None:
        reply = await service.mint()
        return str(reply.json["value"]) if reply.status == 200 else None

    return str(await eventually(found))


def handles_in(engine: LocalEngine) -> set[str]:
    with onlooker(engine.url) as client:
        return set(client.scan_iter("cloakroom:handle:*"))
