"""The breaker of each deployment as callers and scrapers see it: a failing provider is given a rest."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.conftest import ServiceFactory
from tests.support.api import Reply
from tests.support.clocks import eventually
from tests.support.scrape import scrape
from tests.support.service import Service

# The first one is tried first, at another front of the same provider.
CONFIG = """
deployments:
  first: {provider: openai, base_url: "%s", api_key: "%s"}
  second: {provider: azure, base_url: "%s", api_key: "%s", model: voice-prod}
models:
  gpt-realtime-2.1:
    deployments: [{deployment: first, priority: 0}, {deployment: second, priority: 1}]
  first-only: first
"""
FRONTS = {"first": "/v1/realtime/client_secrets", "second": "/openai/v1/realtime/client_secrets"}


async def closed_to_mints(service: Service) -> Reply:
    """Mint until it is refused without asking; returns that answer."""

    async def refused() -> Reply | None:
        reply = await service.mint()
        assert reply.status >= 500, reply
        return reply if reply.code == "upstream_unavailable" else None

    found = await eventually(refused)
    assert found is not None
    return found


async def ready(service: Service) -> int:
    async with service.http.get(f"{service.base}/readyz") as response:
        return response.status


async def test_a_provider_that_keeps_failing_is_asked_no_more_and_served_again_by_itself(
    service: Service,
) -> None:
    handle = await service.minted()
    service.fault("status", "client_secrets", status=500, times=0)
    reply = await closed_to_mints(service)
    asked = service.asked("/client_secrets")
    assert (reply.status, reply.json["error"]["type"]) == (503, "upstream_error")
    assert int(reply.headers["retry-after"]) >= 1
    assert f"{reply.headers['retry-after']} s" in reply.json["error"]["message"]
    assert service.asked("/client_secrets") == asked, "a refusal sends nothing"
    seen = await scrape(service.http, service.base)
    assert (seen.value("cloakroom_mints_total", code="upstream_unavailable", deployment="none") or 0) >= 1
    assert await ready(service) == 200, "other models, relays and hang-ups go on"
    assert (await service.relay(handle)).status == 201, "an offer is asked for in spite of it"

    service.provider.faults.clear()
    assert await eventually(lambda: minted(service)), "one mint tries, and closes the breaker"
    seen = await scrape(service.http, service.base)
    assert seen.value("cloakroom_deployment_closed", deployment="openai") == 0


async def minted(service: Service) -> bool:
    return (await service.mint()).status == 200


async def test_the_gauge_tells_which_deployment_is_closed(service: Service) -> None:
    assert (await scrape(service.http, service.base)).value(
        "cloakroom_deployment_closed", deployment="openai"
    ) == 0
    service.fault("status", "client_secrets", status=503, times=1, headers={"Retry-After": "100"})
    assert (await service.mint()).status == 503
    seen = await scrape(service.http, service.base)
    assert seen.value("cloakroom_deployment_closed", deployment="openai") == 1


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_of_the_provider_is_kept_to_by_every_mint(service: Service, status: int) -> None:
    service.fault("status", "client_secrets", status=status, times=0, headers={"Retry-After": "100"})
    first = await service.mint()
    assert (first.status, first.headers["retry-after"]) == (status, "100")
    for _ in range(3):
        reply = await service.mint()
        assert (reply.status, reply.code) == (503, "upstream_unavailable")
        assert 1 <= int(reply.headers["retry-after"]) <= 100
    assert service.asked("/client_secrets") == 1


async def test_a_callers_fault_closes_nothing(service: Service) -> None:
    body = '{"error": {"message": "No such voice.", "type": "x", "code": "invalid_value"}}'
    service.fault("status", "client_secrets", status=400, times=0, body=body)
    for _ in range(20):
        assert (await service.mint()).code == "invalid_value"
    service.provider.faults.clear()
    assert (await service.mint()).status == 200


async def test_a_deployment_that_asks_to_wait_is_passed_over_and_its_own_models_are_told(
    service_factory: ServiceFactory, service: Service, tmp_path: Path
) -> None:
    config, provider = tmp_path / "cloakroom.yaml", service.sandbox.make_url("")
    config.write_text(
        CONFIG % (provider.with_path("/v1"), service.planted.openai_key, provider, service.planted.azure_key)
    )
    two = await service_factory(CLOAKROOM_CONFIG=str(config))
    counts = service.provider.journal.counts
    service.fault("status", "client_secrets", status=503, times=1, headers={"Retry-After": "100"})
    for _ in range(4):
        assert (await two.mint()).status == 200
    assert {name: counts()[path] for name, path in FRONTS.items()} == {"first": 1, "second": 4}
    reply = await two.mint({"model": "first-only"})
    assert (reply.status, reply.code) == (503, "upstream_unavailable")
    assert counts()[FRONTS["first"]] == 1


async def test_many_at_once_get_their_answer_from_the_other_deployment(
    service_factory: ServiceFactory, service: Service, tmp_path: Path
) -> None:
    config, provider = tmp_path / "cloakroom.yaml", service.sandbox.make_url("")
    config.write_text(
        CONFIG % (provider.with_port(9), service.planted.openai_key, provider, service.planted.azure_key)
    )
    two = await service_factory(CLOAKROOM_CONFIG=str(config))
    replies = await asyncio.gather(*(two.mint() for _ in range(40)))
    assert {reply.status for reply in replies} == {200}
