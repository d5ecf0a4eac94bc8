"""OpenAI without a key: a real replica exchanges the token in a rotated file, and renews as it serves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from app.sandbox import SandboxConfig
from app.sandbox.faults import read_fault
from app.sandbox.federation import AUDIENCE, Identity, signed
from app.sandbox.provider import PROVIDER, Provider
from app.store.embedded.engine import LocalEngine
from tests.support.api import called, hang_up, mint, minted
from tests.support.clocks import eventually
from tests.support.planted import Planted
from tests.support.processes import Replica
from tests.support.service import start_sandbox
from tests.support.sinks import store_dump

ISSUER_KEY: Final = "the-issuer-signs-with-this-7Qz4YtWmP1"


@dataclass
class Workload:
    """A replica, its token's file, and the provider."""

    replica: Replica
    file: Path
    provider: Provider
    http: aiohttp.ClientSession
    client_key: str

    def rotate(self, jti: str, *, life: float = 600, key: str = ISSUER_KEY) -> str:
        """Replace the file as Kubernetes does, in one step; return the token in it."""
        return write_token(self.file, jti, life=life, key=key)

    def fault(self, kind: str, path: str, **more: object) -> None:
        self.provider.faults.arm(read_fault({"kind": kind, "path": path, **more}))

    async def mint(self) -> None:
        reply = await mint(self.http, self.replica.url, self.client_key)
        assert reply.status == 200, reply

    async def is_refused_once(self) -> None:
        """The provider answers 401 to one mint, though the token is good: the keeper asks for another."""
        self.fault("status", "client_secrets", status=401)
        reply = await mint(self.http, self.replica.url, self.client_key)
        assert reply.status == 401, reply

    def presented(self) -> list[str]:
        """The credential of each mint that arrived, in order."""
        entries = [one for one in self.provider.journal.reports() if one["operation"] == "client_secrets"]
        return [value for one in entries for name, value in one["headers"] if name.lower() == "authorization"]  # type: ignore[attr-defined]


def write_token(file: Path, jti: str, *, life: float = 600, key: str = ISSUER_KEY) -> str:
    token = signed({"sub": "pod", "aud": [AUDIENCE], "exp": time.time() + life, "jti": jti}, key)
    fresh = file.with_suffix(".new")
    fresh.write_text(token + "\n")
    fresh.replace(file)
    return token


def config_of(folder: Path, provider: str, *, account: str = "sa_test") -> Path:
    config = folder / "cloakroom.yaml"
    config.write_text(
        "deployments:\n  voice:\n    provider: openai\n"
        f"    base_url: {provider}/v1\n"
        "    workload_identity:\n"
        "      identity_provider_id: idp_test\n"
        f"      service_account_id: {account}\n"
        f"      token_file: {folder / 'token'}\n"
        f"      token_url: {provider}/oauth/token\n"
        "models: {gpt-realtime-2.1: voice}\n"
    )
    return config


@pytest.fixture
def life() -> float:
    """Of an access token, in seconds: longer than any test."""
    return 3600.0


@pytest.fixture
async def workload(
    engine: LocalEngine, planted: Planted, http: aiohttp.ClientSession, tmp_path: Path, life: float
) -> AsyncIterator[Workload]:
    async with AsyncExitStack() as resources:
        # No standard key is accepted: whatever works came from the exchange.
        identity = Identity("idp_test", "sa_test", ISSUER_KEY, life)
        sandbox = await start_sandbox(SandboxConfig(openai_keys=(), identity=identity, peer="static"))
        resources.push_async_callback(sandbox.close)
        write_token(tmp_path / "token", "first")
        environment = planted.environment(
            CLOAKROOM_REDIS_URL=engine.url,
            CLOAKROOM_CONFIG=str(config_of(tmp_path, str(sandbox.make_url("")).rstrip("/"))),
            CLOAKROOM_LOG_LEVEL="debug",
        )
        replica = await asyncio.to_thread(Replica, "keyless", environment)
        resources.callback(replica.stop)
        yield Workload(replica, tmp_path / "token", sandbox.app[PROVIDER], http, planted.client_key)


# Renewed after half of it, by itself.
@pytest.mark.parametrize("life", [14.0])
async def test_a_call_is_minted_relayed_and_ended_with_tokens_that_a_rotated_file_gives(
    workload: Workload, engine: LocalEngine, planted: Planted
) -> None:
    handle = await minted(workload.http, workload.replica.url, planted.client_key)
    call_id = await called(workload.http, workload.replica.url, handle)
    assert (await hang_up(workload.http, workload.replica.url, planted.client_key, call_id)).status == 200
    second = workload.rotate("second")
    await eventually(lambda: "second" in workload.provider.tokens.exchanged)
    await eventually(lambda: workload.replica.output.count("access_token_refreshed") > 1)
    await workload.mint()
    presented = set(workload.presented())
    assert len(presented) == 2, "mints carried the first access token and a later one"
    dump = "\n".join(await store_dump(engine.url))
    for secret in (second, *(value.removeprefix("Bearer ") for value in presented)):
        for text in (dump, workload.replica.output):
            assert secret not in text


async def test_mints_ask_for_no_token(workload: Workload) -> None:
    for _ in range(20):
        await workload.mint()
    assert workload.provider.tokens.exchanged == ["first"]
    assert len(set(workload.presented())) == 1


async def test_an_outage_of_the_issuer_is_not_seen_while_the_token_lives(workload: Workload) -> None:
    workload.fault("status", "token", status=503, times=0)
    await workload.is_refused_once()
    line = await asyncio.to_thread(workload.replica.wait_for_event, "access_token_not_refreshed")
    assert line["reason"] == "the token exchange answered with status 503"
    await workload.mint()
    workload.provider.faults.clear()
    await eventually(lambda: len(workload.provider.tokens.exchanged) == 2)
    await workload.mint()


async def test_a_file_that_was_not_rotated_in_time_is_named_and_the_next_one_is_found(
    workload: Workload,
) -> None:
    workload.rotate("stale", life=-5)
    await workload.is_refused_once()
    line = await asyncio.to_thread(workload.replica.wait_for_event, "access_token_not_refreshed")
    assert "deployments.voice.workload_identity.token_file" in line["reason"]
    workload.rotate("fresh")
    await eventually(lambda: workload.provider.tokens.exchanged == ["first", "fresh"])
    await workload.mint()


async def test_a_401_on_a_revoked_token_is_followed_by_one_early_renewal(workload: Workload) -> None:
    await workload.mint()
    workload.provider.tokens.revoke_all()
    reply = await mint(workload.http, workload.replica.url, workload.client_key)
    assert reply.status == 401
    assert "deployments.voice.workload_identity" in reply.json["error"]["message"]

    async def works_again() -> bool:
        return (await mint(workload.http, workload.replica.url, workload.client_key)).status == 200

    await eventually(works_again)
    # The next one is revoked as well: a service account that is gone must not cost an exchange a mint.
    workload.provider.tokens.revoke_all()
    for _ in range(20):
        assert (await mint(workload.http, workload.replica.url, workload.client_key)).status == 401
    assert len(workload.provider.tokens.exchanged) == 2
