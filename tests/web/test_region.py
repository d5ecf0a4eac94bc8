"""A model that is locked to a region stays in it, and the record and the log name the region.

OpenAI's hosts are providers in a box here: the egress proxy leads to them, and they have certificates.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp.test_utils import TestServer

from app.sandbox import SandboxConfig
from app.sandbox.faults import read_fault
from app.sandbox.provider import PROVIDER
from app.store import keys
from tests.conftest import ServiceFactory
from tests.support.certificates import make_certificates
from tests.support.planted import Planted
from tests.support.proxy import TunnelProxy
from tests.support.service import Service, start_sandbox

HOSTS: Final = {"eu": "eu.api.openai.com", "us": "us.api.openai.com", "": "api.openai.com"}


class Regions:
    """A provider for each region, and a service in front of all of them."""

    def __init__(self, service: Service, providers: dict[str, TestServer], proxy: TunnelProxy) -> None:
        self.service = service
        self._providers = providers
        self.proxy = proxy

    def asked(self, region: str) -> int:
        return sum(self._providers[region].app[PROVIDER].journal.counts().values())

    def fail(self, region: str, **more: Any) -> None:
        fault = {"kind": "status", "status": 503, "path": "client_secrets", "times": 0, **more}
        self._providers[region].app[PROVIDER].faults.arm(read_fault(fault))

    async def record(self, handle_id: str) -> dict[str, str]:
        found: dict[str, str] = await self.service.store_client.hgetall(keys.handle(handle_id))
        return found


@pytest.fixture
async def regions(
    service_factory: ServiceFactory, planted: Planted, tmp_path: Path
) -> AsyncIterator[Regions]:
    trusted, chain = make_certificates(tmp_path, HOSTS.values())
    other_key = planted.openai_key + "-other"
    async with AsyncExitStack() as resources:
        providers = {}
        for region in HOSTS:
            config = SandboxConfig(openai_keys=(planted.openai_key, other_key), peer="static")
            providers[region] = await start_sandbox(config, chain)
            resources.push_async_callback(providers[region].close)
        homes = {f"{HOSTS[region]}:443": int(server.port or 0) for region, server in providers.items()}
        proxy = await resources.enter_async_context(TunnelProxy(homes=homes))
        openai = {"provider": "openai", "api_key": planted.openai_key, "model": "gpt-realtime-2.1"}
        service = await service_factory(
            CLOAKROOM_PROVIDER_PROXY=proxy.url(),
            CLOAKROOM_PROVIDER_CA_FILE=str(trusted),
            CLOAKROOM_DEPLOYMENTS=json.dumps(
                {
                    "eu-one": {**openai, "region": "eu"},
                    "eu-two": {**openai, "api_key": other_key, "region": "eu"},
                    "us": {**openai, "region": "us"},
                    "anywhere": openai,
                }
            ),
            CLOAKROOM_MODELS=json.dumps(
                {
                    "locked": {"deployments": ["eu-one", "eu-two"], "region": "eu"},
                    "free": {"deployments": [{"deployment": "eu-one"}, {"deployment": "us", "priority": 1}]},
                    "*": "anywhere",
                }
            ),
        )
        yield Regions(service, providers, proxy)


def lines(shown: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in shown.splitlines() if line.startswith("{")]


async def test_the_record_and_the_log_say_which_region_serves(
    regions: Regions, capsys: pytest.CaptureFixture[str]
) -> None:
    service = regions.service
    for model, region in (("free", "eu"), ("gpt-realtime-2.1", None)):
        reply = await service.mint({"model": model})
        assert reply.status == 200
        assert (await service.relay(reply.json["value"])).status == 201
        mint, relay = (line for line in lines(capsys.readouterr().out) if line["event"] in ("mint", "relay"))
        assert (mint.get("region"), relay.get("region")) == (region, region)
        assert (await regions.record(mint["handle"])).get("region") == region
        headers = {"Authorization": f"Bearer {service.planted.admin_key}"}
        url = f"{service.base}/admin/v1/handles/{mint['handle']}"
        async with service.http.get(url, headers=headers) as answer:
            assert (await answer.json())["region"] == region
    assert regions.asked("eu") == regions.asked("") == 2
    assert regions.proxy.tunnels == ["eu.api.openai.com:443", "api.openai.com:443"]


async def test_a_locked_model_fails_in_its_region_rather_than_leave_it(regions: Regions) -> None:
    regions.fail("eu")
    for _ in range(5):
        reply = await regions.service.mint({"model": "locked"})
        assert reply.status == 503
    assert regions.asked("eu") >= 10, "both deployments of the region are tried"
    assert regions.asked("us") == regions.asked("") == 0
    # What is not locked goes elsewhere: the failure is real, and failover works.
    assert (await regions.service.mint({"model": "free"})).status == 200
    assert regions.asked("us") == 1


async def test_a_locked_model_fails_over_within_its_region(regions: Regions) -> None:
    regions.fail("eu", times=1)
    for _ in range(3):
        assert (await regions.service.mint({"model": "locked"})).status == 200
    assert {target.partition(":")[0] for target in regions.proxy.tunnels} == {HOSTS["eu"]}
