"""A real replica behind an egress proxy: mint, relay, hang-up and the doctor leave through it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from app.sandbox import SandboxConfig
from app.sandbox.provider import PROVIDER
from app.store.embedded.engine import LocalEngine
from tests.support.api import called, hang_up, mint, minted
from tests.support.planted import Planted
from tests.support.processes import ROOT, Replica
from tests.support.proxy import TunnelProxy
from tests.support.service import start_sandbox
from tests.support.sinks import store_dump

PASSWORD = "s3cret:of@the/proxy"
ENCODED = "s3cret%3Aof%40the%2Fproxy"


@pytest.fixture
async def provider(planted: Planted) -> AsyncIterator[TestServer]:
    server = await start_sandbox(SandboxConfig(openai_keys=(planted.openai_key,), peer="static"))
    yield server
    await server.close()


def environment(engine: LocalEngine, planted: Planted, provider: TestServer, **more: str) -> dict[str, str]:
    return planted.environment(
        CLOAKROOM_REDIS_URL=engine.url,
        CLOAKROOM_LOG_LEVEL="debug",
        OPENAI_API_KEY=planted.openai_key,
        OPENAI_BASE_URL=str(provider.make_url("/v1")),
        **more,
    )


@pytest.mark.parametrize("how", ["setting", "environment"])
async def test_a_call_is_minted_relayed_and_ended_through_the_proxy(
    engine: LocalEngine, planted: Planted, http: aiohttp.ClientSession, provider: TestServer, how: str
) -> None:
    async with TunnelProxy(user="cloak", password=PASSWORD) as proxy:
        url = proxy.url(password=ENCODED)
        by_environment = {"http_proxy": url, "CLOAKROOM_TRUST_ENVIRONMENT_PROXY": "true"}
        names = {"CLOAKROOM_PROVIDER_PROXY": url} if how == "setting" else by_environment
        variables = environment(engine, planted, provider, **names)
        replica = await asyncio.to_thread(Replica, "behind-a-proxy", variables)
        try:
            handle = await minted(http, replica.url, planted.client_key)
            call_id = await called(http, replica.url, handle)
            reply = await hang_up(http, replica.url, planted.client_key, call_id)
            metrics = await (await http.get(f"{replica.url}/metrics")).text()
            dump = "\n".join(await store_dump(engine.url))
        finally:
            await asyncio.to_thread(replica.stop)
        assert reply.status == 200
        assert proxy.refused == 0
        assert set(proxy.tunnels) == {f"127.0.0.1:{provider.port}"}
        assert len(proxy.tunnels) == 1
    assert len(provider.app[PROVIDER].calls.reports()) == 1
    for text in (replica.output, metrics, dump, str(reply)):
        assert "s3cret" not in text
        assert ENCODED not in text


async def test_a_proxy_that_refuses_costs_no_call_and_is_named_in_the_log(
    engine: LocalEngine, planted: Planted, http: aiohttp.ClientSession, provider: TestServer
) -> None:
    async with TunnelProxy(user="cloak", password="right") as proxy:
        variables = environment(
            engine, planted, provider, CLOAKROOM_PROVIDER_PROXY=proxy.url(password="s3cret")
        )
        replica = await asyncio.to_thread(Replica, "refused", variables)
        try:
            reply = await mint(http, replica.url, planted.client_key)
            event = await asyncio.to_thread(replica.wait_for_event, "proxy_failed")
        finally:
            await asyncio.to_thread(replica.stop)
        assert (reply.status, reply.code) == (502, "upstream_unreachable")
        assert event["reason"] == f"the proxy 127.0.0.1:{proxy.port} refused the user or the password (407)"
    assert provider.app[PROVIDER].journal.counts() == {}
    assert "s3cret" not in replica.output + reply.text


@pytest.mark.parametrize(
    ("fault", "status", "says", "fix"),
    [
        (None, "ok", "proxy 127.0.0.1:{port}", ""),
        (
            "password",
            "fail",
            "refused the user or the password (407)",
            "correct the user and the password in",
        ),
        ("gone", "fail", "nothing listens on that port", "check host and port in CLOAKROOM_PROVIDER_PROXY"),
        ("wall", "fail", "opens no tunnel (status 403)", "check host and port in CLOAKROOM_PROVIDER_PROXY"),
    ],
)
async def test_the_doctor_says_which_way_it_went_and_what_is_wrong_with_the_proxy(
    engine: LocalEngine,
    planted: Planted,
    provider: TestServer,
    fault: str | None,
    status: str,
    says: str,
    fix: str,
) -> None:
    async with TunnelProxy(user="cloak", password=PASSWORD) as proxy:
        if fault == "wall":
            proxy.answer = b"HTTP/1.1 403 Forbidden\r\n\r\n"
        url = proxy.url(password="wr0ng" if fault == "password" else ENCODED)
        if fault == "gone":
            url = f"http://cloak:{ENCODED}@127.0.0.1:1"
        variables = environment(engine, planted, provider, CLOAKROOM_PROVIDER_PROXY=url)
        done = await asyncio.to_thread(doctor, variables)
    rows: dict[str, Any] = {row["name"]: row for row in json.loads(done.stdout)["findings"]}
    shown = "127.0.0.1:1" if fault == "gone" else f"127.0.0.1:{proxy.port}"
    way = f"through the proxy {shown} (CLOAKROOM_PROVIDER_PROXY)"
    assert rows["egress"]["detail"] == f"{way}; to public addresses, and to 127.0.0.0/8, ::1/128"
    reach = [row for row in json.loads(done.stdout)["findings"] if row["name"] == "reach"][-1]
    assert reach["subject"] == "openai"
    assert (reach["status"], done.returncode) == (status, 0 if status == "ok" else 1), done.stdout
    assert says.format(port=proxy.port) in reach["detail"]
    assert fix in (reach["fix"] or "")
    for hidden in ("s3cret", ENCODED, "wr0ng"):
        assert hidden not in done.stdout + done.stderr


async def test_the_doctor_and_serve_tell_a_file_that_cannot_be_used(
    engine: LocalEngine, planted: Planted, provider: TestServer
) -> None:
    variables = environment(engine, planted, provider, CLOAKROOM_PROVIDER_CA_FILE="/nowhere/ca.pem")
    done = await asyncio.to_thread(doctor, variables)
    rows = {row["name"]: row for row in json.loads(done.stdout)["findings"]}
    assert rows["egress"]["status"] == "fail"
    assert "/nowhere/ca.pem cannot be read" in rows["egress"]["detail"]
    assert "CLOAKROOM_PROVIDER_CA_FILE" in rows["egress"]["fix"]
    served = await asyncio.to_thread(command, "serve", variables)
    assert served.returncode != 0
    assert "CLOAKROOM_PROVIDER_CA_FILE: /nowhere/ca.pem cannot be read" in served.stderr + served.stdout


def doctor(variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return command("doctor", variables, "--json")


def command(name: str, variables: dict[str, str], *more: str) -> subprocess.CompletedProcess[str]:
    """Run the command; elsewhere than in the loop, since its endpoints live there."""
    return subprocess.run(
        [sys.executable, "-m", "app", name, *more],
        env=variables,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
