"""Azure without a key: a real replica signs in with Microsoft Entra ID, and renews the token as it serves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp

from app.sandbox import SandboxConfig
from app.sandbox.provider import PROVIDER, Provider
from app.store.embedded.engine import LocalEngine
from tests.support.api import mint, relay
from tests.support.clocks import PATIENCE
from tests.support.entra import FakeEntra, RunningEntra, start_entra
from tests.support.planted import Planted
from tests.support.processes import Replica
from tests.support.service import start_sandbox
from tests.support.sinks import store_dump

TOKENS = [f"eyJ0eXAiOiJKV1QifQ.eyJudW1iZXIiOiI{number}In0.c2lnbmF0dXJl{number}" for number in range(40)]
KEYS = {"tenant_id": "${TENANT}", "client_id": "${CLIENT}", "client_secret": "${CLIENT_SECRET}"}


@asynccontextmanager
async def signed_in(
    entra: FakeEntra, planted: Planted, store: str, folder: Path, **changes: str
) -> AsyncIterator[tuple[Replica, Provider, RunningEntra]]:
    """A replica with one Azure deployment, the resource that takes Entra's tokens only, and Entra."""
    async with AsyncExitStack() as resources:
        sandbox = await start_sandbox(SandboxConfig(azure_keys=(), azure_tokens=tuple(TOKENS), peer="static"))
        resources.push_async_callback(sandbox.close)
        running = await start_entra(entra, folder)
        resources.push_async_callback(running.server.close)
        config = folder / "cloakroom.yaml"
        lines = "".join(f"      {name}: {value}\n" for name, value in KEYS.items())
        config.write_text(
            "deployments:\n  voice:\n    provider: azure\n    model: voice-prod\n"
            f"    base_url: {sandbox.make_url('/')}\n    entra:\n{lines}"
            "models: {gpt-realtime-2.1: voice}\n"
        )
        environment = planted.environment(
            CLOAKROOM_REDIS_URL=store,
            CLOAKROOM_CONFIG=str(config),
            CLOAKROOM_LOG_LEVEL="debug",
            TENANT=entra.tenant_id,
            CLIENT=entra.client_id,
            CLIENT_SECRET=entra.client_secret,
            AZURE_AUTHORITY_HOST=running.authority,
            SSL_CERT_FILE=str(running.trusted),
        )
        # The endpoints that it starts with live in this loop, so its start is waited for elsewhere.
        replica = await asyncio.to_thread(Replica, "signed-in", {**environment, **changes})
        resources.callback(replica.stop)
        yield replica, sandbox.app[PROVIDER], running


async def test_a_replica_mints_and_relays_with_a_token_and_renews_it_in_the_background(
    engine: LocalEngine, planted: Planted, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    entra = FakeEntra(tokens=TOKENS, life=60, refresh_in=1)
    mints = 0
    async with signed_in(entra, planted, engine.url, tmp_path) as (replica, provider, _):
        answers: list[str] = []
        async with asyncio.timeout(PATIENCE):
            while len(entra.requests) < 3 or mints < 4 * len(entra.requests):
                reply = await mint(http, replica.url, planted.client_key)
                assert reply.status == 200, reply
                mints += 1
                answers.append(str(reply))
                await asyncio.sleep(0.02)
        answered = await relay(http, replica.url, reply.json["value"])
        assert answered.status == 201, answered
        answers.append(str(answered))
        arrived = [entry for entry in provider.journal.reports() if entry["operation"] == "client_secrets"]
        dump = "\n".join(await store_dump(engine.url))
        output = replica.output
    credentials = [_headers(entry) for entry in arrived]
    used = {headers["authorization"].removeprefix("Bearer ") for headers in credentials}
    assert len(used) >= 2
    assert used <= set(TOKENS[: len(entra.requests)])
    assert not any("api-key" in headers for headers in credentials)
    # Once a second as Entra says, never per request, never two at once.
    assert len(entra.requests) < mints
    assert entra.at_once == 1
    for secret in (*TOKENS[:4], entra.client_secret):
        for text in (*answers, dump, output):
            assert secret not in text
    assert "access_token_refreshed" in output


async def test_a_renewal_that_fails_is_logged_and_the_old_token_serves_on(
    engine: LocalEngine, planted: Planted, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    entra = FakeEntra(tokens=TOKENS, life=60, refresh_in=1)
    async with signed_in(entra, planted, engine.url, tmp_path) as (replica, _, _):
        entra.outage = 403
        await asyncio.to_thread(replica.wait_for_event, "access_token_not_refreshed")
        assert (await mint(http, replica.url, planted.client_key)).status == 200
        output = replica.output
    assert entra.client_secret not in output
    assert TOKENS[0] not in output


async def test_without_a_token_a_mint_is_a_502_that_names_the_setting(
    engine: LocalEngine, planted: Planted, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    entra = FakeEntra(tokens=TOKENS)
    wrong = "the-secrets-id-instead"
    async with signed_in(entra, planted, engine.url, tmp_path, CLIENT_SECRET=wrong) as (replica, provider, _):
        reply = await mint(http, replica.url, planted.client_key)
        output = replica.output
    assert (reply.status, reply.code) == (502, "upstream_error")
    message = reply.json["error"]["message"]
    assert "set deployments.voice.entra.client_secret to its value, not its id (AADSTS7000215)" in message
    assert reply.headers["retry-after"] == "1"
    assert provider.journal.counts() == {}
    assert wrong not in reply.text + output


def _headers(entry: dict[str, object]) -> dict[str, str]:
    pairs = entry["headers"]
    assert isinstance(pairs, list)
    return {name.lower(): value for name, value in pairs}


async def test_a_new_client_secret_is_tried_before_it_counts(
    engine: LocalEngine, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    entra, planted, file = FakeEntra(TOKENS), Planted(), tmp_path / "client_secret"
    wrong, new = "wrong~secret.of-the_test~run", "second~secret.of-the_test~run"
    file.write_text(entra.client_secret)
    variable = {"CLOAKROOM_DEPLOYMENTS__VOICE__ENTRA__CLIENT_SECRET_FILE": str(file)}
    async with signed_in(entra, planted, engine.url, tmp_path, **variable) as (replica, _, _):
        file.write_text(wrong)
        refused = await asyncio.to_thread(replica.wait_for_event, "secrets_refused")
        assert refused["reason"].startswith("deployments.voice.entra.client_secret: ")
        assert "the client secret is wrong" in refused["reason"]
        # The token of before is still good.
        assert (await mint(http, replica.url, planted.client_key)).status == 200
        entra.client_secret = new
        file.write_text(new)
        taken = await asyncio.to_thread(replica.wait_for_event, "secrets_reloaded")
        assert taken["changed"] == ["deployments.voice"]
        assert (await mint(http, replica.url, planted.client_key)).status == 200
    assert not [secret for secret in (wrong, new) if secret in replica.output]
