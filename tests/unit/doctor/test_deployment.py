"""The checks of one deployment against the provider in a box, in the same loop."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp.test_utils import TestServer

from app.broker.session_policy import ModelPolicy
from app.doctor.deployment import DeploymentDoctor, Look
from app.doctor.finding import Finding
from app.doctor.mint import Trial
from app.doctor.source import Origin
from app.errors import UpstreamError
from app.models import Deployment, Secret
from app.outbound.client import UpstreamClient
from app.sandbox import SandboxConfig
from app.sandbox.faults import read_fault
from app.sandbox.provider import PROVIDER
from tests.support.clocks import PATIENCE
from tests.support.egress import here
from tests.support.service import start_sandbox
from tests.unit.values import AZURE_KEY, OPENAI_KEY

TOKEN = "eyJ0eXAiOiJKV1QifQ.eyJhIjoxfQ.c2lnbmF0dXJl"
Examine = Callable[..., Any]


class Tokens:
    """What keeps a token, without the keeping: ``fault`` is why there is none."""

    def __init__(self, fault: str | None = None) -> None:
        self.fault = fault
        self.closed = False

    def current(self) -> Secret:
        if self.fault is not None:
            raise UpstreamError(self.fault)
        return Secret(TOKEN)

    def held(self) -> tuple[Secret, ...]:
        return (Secret(TOKEN),)

    def refused(self) -> None:
        """Nothing to ask for."""

    async def start(self, *, wait: float) -> None:
        assert wait > 0

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
async def provider() -> AsyncIterator[TestServer]:
    server = await start_sandbox(
        SandboxConfig(
            openai_keys=(OPENAI_KEY,), azure_keys=(AZURE_KEY,), azure_tokens=(TOKEN,), peer="static"
        )
    )
    yield server
    await server.close()


@pytest.fixture
async def examine(provider: TestServer) -> AsyncIterator[Examine]:
    upstream = UpstreamClient(connect_timeout=PATIENCE, egress=here())

    async def look(
        *,
        mint: bool = True,
        seconds: float = PATIENCE,
        proxied: bool = False,
        alias: str | None = "gpt-realtime-2.1",
        origin: Origin = "ours",
        **changes: Any,
    ) -> dict[str, Finding]:
        values: dict[str, Any] = {
            "name": "voice",
            "provider": "openai",
            "base_url": str(provider.make_url("/v1")),
            "api_key": Secret(OPENAI_KEY),
        }
        doctor = DeploymentDoctor(
            Look(upstream, seconds, mint, proxied, time.time, egress=here()),
            Deployment(**{**values, **changes}),
            trials=[Trial(alias, ModelPolicy())] if alias else [],
            aliases=[alias or "any other name"],
            place=lambda field: f"deployments.voice.{field}",
            origin=origin,
        )
        rows = await doctor.examine()
        for row in rows:
            assert row.subject == "voice"
            for secret in (OPENAI_KEY, AZURE_KEY, TOKEN, "ek_"):
                assert secret not in row.detail + row.fix
        assert len({row.name for row in rows}) == len(rows)
        return {row.name: row for row in rows}

    yield look
    await upstream.close()


def azure(server: TestServer, /, **changes: Any) -> dict[str, Any]:
    return {
        "provider": "azure",
        "base_url": str(server.make_url("/openai/v1")),
        "upstream_model": "voice-prod",
        "api_key": Secret(AZURE_KEY),
        **changes,
    }


def statuses(rows: dict[str, Finding]) -> dict[str, str]:
    return {name: row.status for name, row in rows.items()}


async def test_without_being_asked_nothing_is_minted(provider: TestServer, examine: Examine) -> None:
    rows = await examine(mint=False)
    assert statuses(rows) == {
        "target": "ok",
        "credential": "ok",
        "reach": "ok",
        "clock": "ok",
        "model ends": "ok",
        "mint": "skipped",
    }
    assert "--mint" in rows["mint"].fix
    assert provider.app[PROVIDER].keys.minted == 0
    for entry in provider.app[PROVIDER].journal.reports():
        headers = {name.lower() for name, _ in entry["headers"]}  # type: ignore[attr-defined]
        assert entry["method"] == "GET"
        assert not headers & {"authorization", "api-key"}


async def test_a_mint_takes_the_shortest_life_and_shows_no_key(
    provider: TestServer, examine: Examine
) -> None:
    rows = await examine()
    assert rows["mint"].status == "ok"
    assert rows["mint"].detail.startswith("gpt-realtime-2.1: a realtime key that lives ")
    assert 8 <= int(rows["mint"].detail.split(" lives ")[1].split(" s")[0]) <= 10
    assert provider.app[PROVIDER].keys.minted == 1


@pytest.mark.parametrize(
    ("changes", "code", "fix"),
    [
        (
            {"upstream_model": "no-such-one"},
            "404 DeploymentNotFound",
            "set deployments.voice.model to a deployment's name",
        ),
        (
            {"upstream_model": "gpt-realtime-2.1"},
            "400 OpperationNotSupported",
            "most likely deployments.voice.model is",
        ),
        ({"upstream_model": "chat"}, "400 OpperationNotSupported", "most likely deployments.voice.model is"),
        ({"api_key": Secret("0" * 32)}, "401", "check that deployments.voice.api_key is whole"),
    ],
)
async def test_azure_s_refusals_are_explained_by_the_setting(
    changes: dict[str, Any], code: str, fix: str, provider: TestServer, examine: Examine
) -> None:
    row = (await examine(**azure(provider, **changes)))["mint"]
    assert row.status == "fail"
    assert row.detail.startswith(f"gpt-realtime-2.1: {code}")
    assert row.fix.startswith(fix)
    assert not row.fix.endswith(".")


async def test_a_litellm_entry_for_chat_is_told_how_to_leave_it_out(
    provider: TestServer, examine: Examine
) -> None:
    hint = "; if it is a chat model, leave the entry out with model_info.mode: chat"
    chat = azure(provider, upstream_model="chat")
    assert (await examine(**chat, origin="litellm"))["mint"].fix.endswith(hint)
    assert hint not in (await examine(**chat))["mint"].fix
    assert (await examine(alias="gpt-9-chat", origin="litellm"))["mint"].fix.endswith(hint)
    wrong_key = await examine(**azure(provider, api_key=Secret("0" * 32)), origin="litellm")
    assert hint not in wrong_key["mint"].fix


async def test_a_deployment_of_another_kind_of_session_is_found_out(
    provider: TestServer, examine: Examine
) -> None:
    row = (await examine(**azure(provider, upstream_model="scribe")))["mint"]
    assert row.status == "ok"
    assert "a transcription key" in row.detail


@pytest.mark.parametrize(
    ("alias", "family"),
    [
        ("gpt-4o-transcribe", "transcription"),
        ("whisper-1", "transcription"),
        ("gpt-realtime-translate", "translation"),
    ],
)
async def test_a_model_s_name_chooses_the_kind_of_session(alias: str, family: str, examine: Examine) -> None:
    assert f"{alias}: a {family} key" in (await examine(alias=alias))["mint"].detail


async def test_openai_s_refusals_are_explained_too(examine: Examine) -> None:
    wrong = (await examine(api_key=Secret("sk-wrong-wrong-wrong-wrong")))["mint"]
    assert wrong.detail.startswith("gpt-realtime-2.1: 401 invalid_api_key: ")
    assert "deployments.voice.api_key" in wrong.fix
    unknown = (await examine(alias="gpt-9-chat"))["mint"]
    assert "404 model_not_found" in unknown.detail
    assert "deployments.voice.model" in unknown.fix


async def test_where_any_name_leads_the_mint_asks_for_one(examine: Examine) -> None:
    row = (await examine(alias=None))["mint"]
    assert row.status == "warn"
    assert "--model NAME" in row.fix


async def test_the_provider_s_clock_is_read_without_a_credential(
    provider: TestServer, examine: Examine
) -> None:
    provider.app[PROVIDER].clock.skew = 90
    row = (await examine(mint=False))["clock"]
    assert row.status == "fail"
    assert row.detail == "the provider's clock is 90 s ahead of ours (Date of GET /v1 without a key)"


async def test_a_provider_that_is_away_fails_once_and_names_the_proxy(examine: Examine) -> None:
    rows = await examine(base_url="http://127.0.0.1:1/v1", proxied=True)
    assert (rows["reach"].status, rows["clock"].status, rows["mint"].status) == ("fail", "skipped", "fail")
    assert "HTTPS_PROXY is set, and the service uses no proxy" in rows["reach"].fix
    assert rows["mint"].fix == "fix the row 'reach' first"


@pytest.mark.virtual_time
async def test_a_provider_that_hangs_is_a_failed_row_in_time(provider: TestServer, examine: Examine) -> None:
    provider.app[PROVIDER].faults.arm(read_fault({"kind": "stall", "path": "client_secrets", "times": 0}))
    row = (await examine(seconds=0.5))["mint"]
    assert row.status == "fail"
    assert "--timeout" in row.fix


async def test_entra_s_token_is_asked_for_and_the_keeper_closed(
    provider: TestServer, examine: Examine
) -> None:
    tokens = Tokens()
    rows = await examine(**azure(provider, api_key=None, tokens=tokens))
    assert (rows["token"].status, rows["mint"].status) == ("ok", "ok")
    assert rows["credential"].detail == "Microsoft Entra ID"
    assert tokens.closed


async def test_without_a_token_the_reason_is_the_row(provider: TestServer, examine: Examine) -> None:
    tokens = Tokens(fault="the client secret has expired")
    rows = await examine(**azure(provider, api_key=None, tokens=tokens))
    assert (rows["token"].status, rows["token"].detail) == ("fail", "the client secret has expired")
    assert rows["token"].fix == "check deployments.voice.entra"
    assert rows["mint"].status == "fail"
    assert tokens.closed


async def test_the_preview_s_front_end_is_looked_at_as_well(provider: TestServer, examine: Examine) -> None:
    preview = azure(provider, provider="azure-preview", base_url=str(provider.make_url("")).rstrip("/"))
    rows = await examine(**preview, webrtc_url="http://127.0.0.1:1/v1/realtimertc", mint=False)
    assert rows["reach"].status == "ok"
    assert rows["reach for offers"].status == "fail"
    assert "deployments.voice.region or webrtc_url" in rows["reach for offers"].fix


async def test_where_nothing_is_minted_the_doctor_says_so_and_asks_for_no_key(
    provider: TestServer, examine: Examine
) -> None:
    changes: dict[str, Any] = {"provider": "localai", "base_url": str(provider.make_url("/localai/v1"))}
    changes |= {"api_key": None, "ephemeral_keys": False, "call_key": "standard"}
    for mint in (True, False):
        rows = await examine(**changes, mint=mint)
        assert statuses(rows) == {
            "target": "ok",
            "unverified": "ok",
            "credential": "ok",
            "reach": "ok",
            "clock": "ok",
            "mint": "ok",
        }
        assert rows["unverified"].detail == "never tried at the real service: all of it at a running LocalAI"
        assert rows["credential"].detail == "none is set, and none is sent"
        assert "nothing is minted upstream" in rows["mint"].detail
        assert "a call is made without a credential" in rows["mint"].detail
        assert "does not matter" in rows["clock"].detail
    assert {entry["method"] for entry in provider.app[PROVIDER].journal.reports()} == {"GET"}


async def test_a_session_that_its_calls_cannot_have_is_found_without_a_call(
    provider: TestServer, examine: Examine
) -> None:
    """As the mint would refuse it: a transcription at a server that has none."""
    changes: dict[str, Any] = {"provider": "localai", "base_url": str(provider.make_url("/localai/v1"))}
    changes |= {"api_key": None, "ephemeral_keys": False}
    row = (await examine(**changes, alias="whisper-1"))["mint"]
    assert row.status == "fail"
    assert "serves realtime sessions only" in row.detail
