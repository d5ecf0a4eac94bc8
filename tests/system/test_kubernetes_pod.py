"""Pods of the overlay "small" as processes, started with the environment that a cluster would give them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import aiohttp
import pytest

from app.store.embedded.engine import HOST
from app.telemetry.scrape import IN_FLIGHT
from tests.support.api import minted, relay
from tests.support.processes import Replica
from tests.support.stack import Stack
from tests.unit.deploy.kubernetes.pods import environment_of
from tests.unit.deploy.kubernetes.rendering import COMPONENTS, base_with, by_name, overlay

Ports = dict[str, str]


@pytest.fixture(scope="module")
def deployment() -> dict[str, Any]:
    return by_name(overlay("small"))["Deployment/cloakroom"]


@pytest.fixture
def pods(static_stack: Stack, deployment: dict[str, Any]) -> Iterator[list[Ports]]:
    """Two pods: the URL of each of their ports, by its name."""
    planted = static_stack.planted
    secret = planted.environment(
        OPENAI_API_KEY=planted.openai_key,
        OPENAI_BASE_URL=f"{static_stack.sandbox.url}/v1",
        REDIS_PASSWORD=planted.store_password,
    )
    del secret["CLOAKROOM_ENVIRONMENT"]
    environment = environment_of(deployment, {"cloakroom": secret})
    address = environment["CLOAKROOM_REDIS_URL"]
    assert "@cloakroom-redis:6379/" in address
    here = {
        "CLOAKROOM_REDIS_URL": address.replace("cloakroom-redis:6379", f"{HOST}:{static_stack.engine.port}"),
        "CLOAKROOM_OPS_PORT": "0",
        # The provider in a box is on this machine.
        "CLOAKROOM_PRIVATE_NETWORKS": "127.0.0.0/8",
        # The end of a pod is tests/system/test_drain.py.
        "CLOAKROOM_DRAIN_SECONDS": "0",
    }
    with ExitStack() as running:
        found = []
        for name in ("pod-a", "pod-b"):
            pod = running.enter_context(Replica(name, environment | here | {"CLOAKROOM_REPLICA": name}))
            listening = pod.wait_for_event("listening")
            assert listening["environment"] == "production"
            found.append({"http": pod.url, "ops": f"http://{listening['operations'][0]}"})
        yield found


async def status_of(http: aiohttp.ClientSession, url: str) -> tuple[int, str]:
    async with http.get(url) as response:
        return response.status, await response.text()


async def test_one_pod_relays_what_another_has_minted(
    static_stack: Stack, pods: list[Ports], http: aiohttp.ClientSession
) -> None:
    handle = await minted(http, pods[0]["http"], static_stack.planted.client_key)
    assert (await relay(http, pods[1]["http"], handle)).status == 201


async def test_the_probes_find_a_pod_in_health(
    pods: list[Ports], deployment: dict[str, Any], http: aiohttp.ClientSession
) -> None:
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    for kind in ("startup", "liveness", "readiness"):
        probe = container[f"{kind}Probe"]["httpGet"]
        assert (await status_of(http, pods[0][probe["port"]] + probe["path"]))[0] == 200, kind


async def test_the_scraper_finds_the_figure_that_scales_and_the_public_port_has_none(
    pods: list[Ports], http: aiohttp.ClientSession, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = by_name(base_with(COMPONENTS, tmp_path_factory.mktemp("whole")))
    (endpoint,) = whole["ServiceMonitor/cloakroom"]["spec"]["endpoints"]
    status, figures = await status_of(http, pods[0][endpoint["port"]] + endpoint["path"])
    assert status == 200
    assert f"\n{IN_FLIGHT.name} " in figures
    for path in (endpoint["path"], "/admin/v1/stats"):
        assert (await status_of(http, pods[0]["http"] + path))[0] == 404
