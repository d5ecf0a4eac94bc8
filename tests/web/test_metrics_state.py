"""What the metrics tell of trouble: a store that is away, a deployment that fails, a replica that ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.store.embedded.engine import LocalEngine
from app.web.appkeys import LIFECYCLE
from tests.conftest import ServiceFactory
from tests.support.scrape import scrape
from tests.support.service import Service

TWO_DEPLOYMENTS = """
deployments:
  first: {provider: openai, base_url: "%s", api_key: "%s"}
  second: {provider: openai, base_url: "%s", api_key: "%s"}
models:
  gpt-realtime-2.1:
    deployments: [{deployment: first, priority: 0}, {deployment: second, priority: 1}]
"""


async def test_a_store_that_went_away_is_down_in_the_metrics_which_are_served_all_the_same(
    service_factory: ServiceFactory,
) -> None:
    with LocalEngine() as own_store:
        service = await service_factory(store_url=own_store.url, CLOAKROOM_STORE_TIMEOUT_SECONDS="2")
        handle = await service.minted()
        own_store.stop()
        assert (await service.relay(handle)).code == "store_unavailable"
        seen = await scrape(service.http, service.base)
    assert seen.status == 200
    assert seen.value("cloakroom_store_up") == 0
    assert seen.value("cloakroom_handles_alive") is None
    assert seen.value("cloakroom_relays_total", outcome="unavailable", code="store_unavailable") == 1
    assert seen.value("cloakroom_store_duration_seconds_count", step="claim") == 1
    # The claim may have been made and only its answer lost, so it is to be given back.
    assert seen.value("cloakroom_settlements_pending") == 1


async def test_a_deployment_that_fails_cools_while_its_alternative_serves(
    service_factory: ServiceFactory, service: Service, tmp_path: Path
) -> None:
    config, provider = tmp_path / "cloakroom.yaml", str(service.sandbox.make_url("/v1"))
    config.write_text(TWO_DEPLOYMENTS % ((provider, service.planted.openai_key) * 2))
    two = await service_factory(CLOAKROOM_CONFIG=str(config))
    service.fault("status", "client_secrets", status=503, times=1)
    await two.minted()
    seen = await scrape(two.http, two.base)
    for name, up, cooling in (("first", 0, 1), ("second", 1, 0)):
        assert seen.value("cloakroom_deployment_up", deployment=name) == up
        assert seen.value("cloakroom_deployment_cooling", deployment=name) == cooling
        tries = seen.value("cloakroom_provider_tries_total", deployment=name, result="ok" if up else "failed")
        assert tries == 1
    assert seen.value("cloakroom_mints_total", deployment="second", outcome="ok") == 1
    assert seen.value("cloakroom_mints_total", deployment="first") is None


@pytest.mark.parametrize("draining", [True, False])
async def test_a_replica_that_ends_says_so(service: Service, draining: bool) -> None:
    service.server.app[LIFECYCLE].draining = draining
    assert (await scrape(service.http, service.base)).value("cloakroom_draining") == draining


async def test_beyond_the_limit_a_request_counts_as_overload(service_factory: ServiceFactory) -> None:
    service = await service_factory(CLOAKROOM_MAX_IN_FLIGHT="1")
    service.server.app[LIFECYCLE].in_flight = 1
    assert (await service.mint()).code == "overloaded"
    service.server.app[LIFECYCLE].in_flight = 0
    seen = await scrape(service.http, service.base)
    assert seen.value("cloakroom_http_refusals_total", code="overloaded") == 1
    assert seen.value("cloakroom_requests_in_flight_limit") == 1
