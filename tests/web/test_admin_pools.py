"""``GET /admin/v1/pools``: what an operator sees of a warm pool, from its first mint on."""

from __future__ import annotations

import json
import secrets
from typing import Any

import pytest

from app.models import USUAL_MODEL
from app.telemetry.parts.pool import RESULTS
from tests.conftest import ServiceFactory
from tests.support.clocks import eventually
from tests.support.planted import Planted
from tests.support.scrape import scrape
from tests.support.service import Service
from tests.web.operators import ask, audited, get


@pytest.fixture
def model() -> str:
    """A model that no other test has, since the store is shared."""
    return f"voice-{secrets.token_hex(6)}"


@pytest.fixture
async def service(service_factory: ServiceFactory, planted: Planted, model: str) -> Service:
    pool = {"target": 6, "max_waste": 0.5}
    models = {model: {"deployments": "openai", "pool": pool}, "plain": "openai"}
    place = {"provider": "openai", "api_key": planted.openai_key, "base_url": "{provider}/v1"}
    deployments = {"openai": {**place, "model": USUAL_MODEL}}
    return await service_factory(
        CLOAKROOM_DEPLOYMENTS=json.dumps(deployments), CLOAKROOM_MODELS=json.dumps(models)
    )


async def pool(service: Service, model: str) -> dict[str, Any]:
    found = await get(service, "/pools")
    assert found["object"] == "pools"
    # A replica of another test may have told its pools to the same store.
    (one,) = [each for each in found["data"] if each["model"] == model]
    return dict(one)


async def test_an_unused_pool_is_idle_and_its_bill_is_empty(service: Service, model: str) -> None:
    assert await pool(service, model) == {
        "object": "pool",
        "model": model,
        "state": "idle",
        "target": 6,
        "max_waste": 0.5,
        "sessions": 0,
        "stock": 0,
        "pending": 0,
        "goal": 0,
        "demand": 0,
        "minted": 0,
        "used": 0,
        "wasted": 0,
        "lost": 0,
        "hour": {"minted": 0, "wasted": 0, "waste": 0.0},
        "replicas": 1,
        "paused": [],
    }


async def test_after_mints_it_has_keys_in_stock_and_the_bill_adds_up(service: Service, model: str) -> None:
    for _ in range(4):
        assert (await service.mint({"model": model})).status == 200

    async def filled() -> bool:
        return bool((await pool(service, model))["state"] == "ready")

    await eventually(filled)
    assert (await service.mint({"model": model})).status == 200
    found = await pool(service, model)
    assert found["used"] >= 1
    assert found["demand"] == 5
    assert found["minted"] >= found["used"] + found["wasted"] + found["stock"]
    assert found["sessions"] == 1


async def test_a_pause_that_the_provider_asked_for_is_told(service: Service, model: str) -> None:
    service.fault("status", "client_secrets", status=429, headers={"Retry-After": "120"})
    assert (await service.mint({"model": model})).status == 429
    found = await pool(service, model)
    assert found["state"] == "paused"
    (paused,) = found["paused"]
    assert (paused["replica"], paused["reason"]) == ("replica-a", "limited")
    assert 60 < paused["seconds"] <= 120


async def test_the_metrics_tell_the_same(
    service: Service, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.telemetry.census.COUNT_EVERY_SECONDS", 0.0)

    async def told(name: str, **labels: str) -> float | None:
        return (await scrape(service.http, service.base)).value(
            f"cloakroom_pool_{name}", model=model, **labels
        )

    for result in RESULTS:
        assert await told("takes_total", result=result) == 0
    for _ in range(3):
        assert (await service.mint({"model": model})).status == 200

    async def in_stock() -> bool:
        return bool((await pool(service, model))["stock"])

    await eventually(in_stock)
    assert (await service.mint({"model": model})).status == 200
    unsuited = {"model": model, "expires_after": {"anchor": "created_at", "seconds": 600}}
    assert (await service.mint(unsuited)).status == 200
    hits = await told("takes_total", result="hit")
    assert hits
    assert hits == await told("keys_total", outcome="used")
    assert await told("takes_total", result="unsuited") == 1
    assert await told("takes_total") == 5

    async def minted_as_billed() -> bool:
        return bool(await told("keys_total", outcome="minted") == (await pool(service, model))["minted"])

    await eventually(minted_as_billed)
    # The gauges are read in the background, for the next scrape.
    await eventually(lambda: told("stock"))
    assert await told("goal") is not None


async def test_it_takes_no_parameter_and_is_audited(service: Service) -> None:
    with audited() as lines:
        assert (await ask(service, "GET", "/pools?model=voice")).status == 400
        assert (await ask(service, "GET", "/pools", key="wrong")).status == 401
        await get(service, "/pools")
    assert [(line["action"], line["status"]) for line in lines] == [
        ("pools.list", 400),
        ("pools.list", 401),
        ("pools.list", 200),
    ]


async def test_keys_in_force_say_nothing_of_pools(service: Service) -> None:
    found = await get(service, "/keys")
    assert all("pools" not in replica for replica in found["replicas"])
