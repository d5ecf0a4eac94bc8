"""A model ends, and its successor takes over at midnight: on two replicas, without a failed mint."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import date
from typing import Any, Final

import aiohttp
import pytest

from app.doctor.finding import Finding
from app.doctor.run import Options, examine
from app.providers.retirement import first_moment
from app.sandbox import SandboxConfig
from app.store.embedded.engine import LocalEngine
from tests.conftest import SERVICE_PASSWORD
from tests.support.access import url_for_service
from tests.support.planted import Planted
from tests.support.scrape import scrape
from tests.support.service import Service, start_sandbox, start_service

OLD, NEW = "gpt-realtime", "gpt-realtime-2.1"
TAKEOVER, END = date(2027, 1, 10), date(2027, 1, 20)
MODELS: Final = {
    OLD: {
        "deployments": "openai",
        "locked": {"instructions": "Be brief."},
        "successor": NEW,
        "successor_from": TAKEOVER.isoformat(),
    },
    "left-behind": "fixed",
    "*": "openai",
}


class Clock:
    """The time of everything here; it stands until it is set."""

    def __init__(self, at: float) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


class World:
    """Two replicas of one service, and a provider that ends a model."""

    def __init__(self, clock: Clock, replicas: tuple[Service, Service], environment: dict[str, str]) -> None:
        self.clock = clock
        self.replicas = replicas
        self.environment = environment
        self.provider = replicas[0].provider

    def minted_as(self) -> list[str]:
        """The model of each key that the provider minted, in order."""
        return [key.model for key in self.provider.keys._keys.values()]


@pytest.fixture
async def world(engine: LocalEngine, planted: Planted, http: aiohttp.ClientSession) -> AsyncIterator[World]:
    clock = Clock(first_moment(TAKEOVER) - 3600)
    config = SandboxConfig(
        openai_keys=(planted.openai_key,),
        openai_ends={OLD: END.isoformat()},
        peer="static",
        now=clock,
    )
    async with AsyncExitStack() as resources:
        sandbox = await start_sandbox(config)
        resources.push_async_callback(sandbox.close)
        place = {
            "provider": "openai",
            "api_key": planted.openai_key,
            "base_url": str(sandbox.make_url("/v1")),
        }
        settings = {
            "CLOAKROOM_DEPLOYMENTS": json.dumps({"openai": place, "fixed": {**place, "model": OLD}}),
            "CLOAKROOM_MODELS": json.dumps(MODELS),
        }
        url = url_for_service(engine, SERVICE_PASSWORD)
        replicas = [
            await start_service(http, sandbox, url, planted, None, clock, CLOAKROOM_REPLICA=name, **settings)
            for name in ("replica-a", "replica-b")
        ]
        for service in replicas:
            resources.push_async_callback(service.server.close)
        environment = planted.environment(CLOAKROOM_REDIS_URL=url, **settings)
        yield World(clock, (replicas[0], replicas[1]), environment)
        for service in replicas:
            service.conformance.raise_breaches()


async def test_a_successor_takes_over_on_both_replicas_without_a_failed_mint(world: World) -> None:
    a, b = world.replicas
    before = [await service.mint({"model": OLD}) for service in (a, b)]
    assert [reply.status for reply in before] == [200, 200]
    assert world.minted_as() == [OLD, OLD]
    # Midnight passes while both are minting.
    replies = []
    for milliseconds in range(-5, 5):
        world.clock.at = first_moment(TAKEOVER) + milliseconds / 1000
        under_way = [asyncio.create_task(service.mint({"model": OLD})) for service in (a, b)]
        await asyncio.sleep(0.001)
        world.clock.at += 0.001
        replies += await asyncio.gather(*under_way)
    assert {reply.status for reply in replies} == {200}
    # Whatever serves it, the caller sees the alias, and the alias's policy holds.
    assert {reply.json["session"]["model"] for reply in replies} == {OLD}
    assert {reply.json["session"]["instructions"] for reply in replies} == {"Be brief."}
    crossed = world.minted_as()[2:]
    assert set(crossed) == {OLD, NEW}
    world.clock.at = first_moment(END) + 60
    after = [await service.mint({"model": OLD}) for service in (a, b)]
    assert [reply.status for reply in after] == [200, 200]
    assert world.minted_as()[-2:] == [NEW, NEW]
    # A handle that was minted under the successor opens a call at the other replica.
    assert (await b.relay(after[0].json["value"])).status == 201
    # What the same provider says to who still names the old model.
    refused = await a.mint({"model": "left-behind"})
    assert (refused.status, refused.code) == (404, "model_not_found")


async def test_the_metric_names_the_alias_that_ends_and_not_the_one_with_a_successor(world: World) -> None:
    for service in world.replicas:
        seen = await scrape(service.http, service.base)
        ends = {
            sample.labels["model"]: sample.value
            for sample in seen.samples()
            if sample.name == "cloakroom_model_end_timestamp_seconds"
        }
        assert ends == {"left-behind": first_moment(END)}


async def rows(world: World, *, mint: bool = True) -> dict[str, list[Finding]]:
    report = await examine(world.environment, Options(seconds=60, mint=mint), clock=world.clock)
    found: dict[str, list[Finding]] = {}
    for finding in report.findings:
        if finding.name == "model ends":
            found.setdefault(finding.subject, []).append(finding)
    return found


async def test_the_doctor_names_the_alias_the_day_and_what_to_set(world: World) -> None:
    found = await rows(world)
    (fine,) = found["openai"]
    assert (fine.status, fine.detail) == ("ok", "none is announced, by the provider's list")
    (ending,) = found["fixed"]
    assert ending.status == "warn"
    assert ending.detail == (
        f"left-behind: {OLD} ends on 2027-01-20, in 10 days (the provider's list of models, 2027-01-09)"
    )
    assert ending.fix == (
        f"set models.left-behind.successor to {NEW}, and successor_from to a day before 2027-01-20"
    )


async def test_the_doctor_goes_by_the_table_where_the_list_cannot_be_read(world: World) -> None:
    world.replicas[0].fault("status", "models", status=403, times=0)
    (ending,) = (await rows(world))["fixed"]
    assert "OpenAI's page of deprecations" in ending.detail
    assert "ends on 2027-01-20" in ending.detail
    world.provider.journal.clear()
    assert (await rows(world, mint=False))["fixed"] == [ending]
    # Without --mint no key is sent, and the list is not read without one.
    assert "/v1/models" not in world.provider.journal.counts()


async def test_an_end_that_is_far_away_is_told_without_a_warning(world: World) -> None:
    world.clock.at = first_moment(END) - 70 * 86_400
    (ending,) = (await rows(world))["fixed"]
    assert (ending.status, ending.fix) == ("ok", "")
    assert "in 70 days" in ending.detail


def listed_models(listed: Any) -> dict[str, Any]:
    return {model["id"]: model["shutdown_date"] for model in listed["data"]}


async def test_the_provider_in_a_box_lists_an_end_until_it_comes(world: World, planted: Planted) -> None:
    service = world.replicas[0]
    url, headers = service.sandbox.make_url("/v1/models"), {"Authorization": f"Bearer {planted.openai_key}"}
    async with service.http.get(url, headers=headers) as answer:
        models = listed_models(await answer.json())
    assert (models[OLD], models[NEW]) == (END.isoformat(), None)
    world.clock.at = first_moment(END)
    async with service.http.get(url, headers=headers) as answer:
        assert OLD not in listed_models(await answer.json())
    async with service.http.get(url) as answer:
        assert answer.status == 401
