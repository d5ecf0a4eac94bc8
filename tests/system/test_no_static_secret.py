"""A deployment whose only secrets are its own rings.

Two real replicas. The provider takes no key, only the access tokens that it exchanges. The backend has no
client key, only its platform's token; a user has the token of the identity provider.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from app.sandbox import SandboxConfig
from app.sandbox.federation import AUDIENCE as OPENAI_AUDIENCE
from app.sandbox.federation import Identity, signed
from app.sandbox.provider import PROVIDER, Provider
from app.store.embedded.engine import LocalEngine
from tests.support.api import called, hang_up, mint, minted, post
from tests.support.issuer import claims_of, exchange_form
from tests.support.planted import Planted
from tests.support.processes import Replica
from tests.support.service import start_sandbox

BACKEND: Final = "system:serviceaccount:voice:backend"
PLATFORM_KEY: Final = "the-platform-signs-with-this-7Qz4YtWmP1"


@dataclass
class Keyless:
    """Two replicas, and what a platform and an identity provider would sign."""

    a: Replica
    b: Replica
    environment: dict[str, str]
    config: str
    provider: Provider
    issuer: str

    def signed_for(self, subject: str, audience: str) -> str:
        return self.provider.issuer.sign(claims_of(self.issuer, sub=subject, aud=audience))


def config_of(folder: Path, origin: str) -> Path:
    config = folder / "cloakroom.yaml"
    config.write_text(
        f"""
deployments:
  voice:
    provider: openai
    base_url: {origin}/v1
    workload_identity:
      identity_provider_id: idp_test
      service_account_id: sa_test
      token_file: {folder / "token"}
      token_url: {origin}/oauth/token
models: {{gpt-realtime-2.1: voice}}
clients:
  backend: {{}}
  web: {{mints_per_minute_per_subject: 60}}
issuers:
  everybody:
    issuer: {origin}/issuer
    audience: [cloakroom, cluster]
    algorithms: [ES256]
    users: {{client: web}}
    exchange: [{{subject: "{BACKEND}", client: backend, audience: cluster}}]
"""
    )
    return config


@pytest.fixture
async def keyless(engine: LocalEngine, planted: Planted, tmp_path: Path) -> AsyncIterator[Keyless]:
    async with AsyncExitStack() as resources:
        identity = Identity("idp_test", "sa_test", PLATFORM_KEY)
        sandbox = await start_sandbox(SandboxConfig(openai_keys=(), identity=identity, peer="static"))
        resources.push_async_callback(sandbox.close)
        claims = {"sub": "pod", "aud": [OPENAI_AUDIENCE], "exp": time.time() + 600, "jti": "pod"}
        (tmp_path / "token").write_text(signed(claims, PLATFORM_KEY))
        origin = str(sandbox.make_url("")).rstrip("/")
        config = config_of(tmp_path, origin)
        environment = planted.environment(CLOAKROOM_REDIS_URL=engine.url, CLOAKROOM_CONFIG=str(config))
        for name in ("CLOAKROOM_API_KEYS", "CLOAKROOM_ADMIN_KEYS"):
            del environment[name]
        replicas = [await asyncio.to_thread(Replica, name, environment) for name in ("a", "b")]
        for replica in replicas:
            resources.callback(replica.stop)
        a, b = replicas
        yield Keyless(a, b, environment, config.read_text(), sandbox.app[PROVIDER], f"{origin}/issuer")


async def test_a_backend_and_a_user_make_calls_where_nobody_holds_a_static_secret(
    keyless: Keyless, planted: Planted, http: aiohttp.ClientSession
) -> None:
    everything = json.dumps(keyless.environment) + keyless.config
    rings = (planted.signing, planted.sealing)
    assert [one for one in planted.all_values() if one in everything] == [
        ring.partition(":")[2] for ring in rings
    ]
    # The backend: its platform's token for a client token at A, which B takes as it takes a key.
    form = exchange_form(keyless.signed_for(BACKEND, "cluster"))
    exchanged = await post(http, f"{keyless.a.url}/oauth/token", data=form)
    assert exchanged.status == 200, exchanged
    client_token = exchanged.json["access_token"]
    handle = await minted(http, keyless.b.url, client_token)
    call_id = await called(http, keyless.a.url, handle)
    assert (await hang_up(http, keyless.b.url, client_token, call_id)).status == 200
    # The user: straight to the mint, and not with the token that is for the exchange.
    user = keyless.signed_for("ada", "cloakroom")
    reply = await mint(http, keyless.a.url, user)
    assert reply.status == 200
    await called(http, keyless.b.url, reply.json["value"])
    # Whoever is neither gets nothing, and the exchange takes no user for a workload.
    stranger = exchange_form(keyless.signed_for("ada", "cluster"))
    assert (await post(http, f"{keyless.b.url}/oauth/token", data=stranger)).json["error"] == "invalid_grant"
    assert (await mint(http, keyless.a.url, planted.client_key)).code == "invalid_api_key"
    # All that reached the provider was an access token.
    mints = [one for one in keyless.provider.journal.reports() if one["operation"] == "client_secrets"]
    presented = {value for one in mints for name, value in one["headers"] if name == "Authorization"}  # type: ignore[attr-defined]
    assert len(mints) == 2
    assert all(value.startswith("Bearer oat-") for value in presented)
    for text in (client_token, user, keyless.signed_for(BACKEND, "cluster")):
        signature = text.rpartition(".")[2]
        assert signature not in keyless.a.output + keyless.b.output
