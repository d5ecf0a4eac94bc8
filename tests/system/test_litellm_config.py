"""``cloakroom serve --config`` with a LiteLLM file, as a team arrives from there: same file, same keys."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import orjson
import pytest

from app.store.embedded.engine import LocalEngine
from tests.support.api import mint, relay
from tests.support.clocks import PATIENCE
from tests.support.planted import Planted
from tests.support.processes import ROOT, Process, Replica, Sandbox

CONFIG: Final = str(ROOT / "tests" / "samples" / "litellm" / "sandbox.yaml")

LEFT_OUT: Final = {
    "model_list entry 5 (azure-chat)": "its base_model azure/gpt-4o is no realtime model; if it is one, "
    "set model_info.mode: realtime",
    "model_list entry 6 (gpt-4o)": "its model gpt-4o is no realtime model; if it is one, "
    "set model_info.mode: realtime",
}


@dataclass(frozen=True)
class LiteLlmService:
    """One replica, its provider, and the keys; the client's key is LiteLLM's master key."""

    replica: Replica
    sandbox: Sandbox
    planted: Planted

    def asked(self) -> list[dict[str, Any]]:
        """What the provider has been asked since the last time, oldest first."""
        requests: list[dict[str, Any]] = self.sandbox.control("GET", "requests")["requests"]
        self.sandbox.control("DELETE", "requests")
        return requests


def _environment(planted: Planted, **more: str) -> dict[str, str]:
    """What LiteLLM itself would be started with, and the service's own secrets."""
    return planted.environment(
        **{
            "CLOAKROOM_API_KEYS": "",
            "OPENAI_API_KEY": planted.openai_key,
            "AZURE_API_KEY": planted.azure_key,
            "LITELLM_MASTER_KEY": planted.client_key,
            **more,
        }
    )


@pytest.fixture(scope="module")
def service(engine: LocalEngine, planted: Planted) -> Iterator[LiteLlmService]:
    with Sandbox("--peer", "static", openai_key=planted.openai_key, azure_key=planted.azure_key) as sandbox:
        environment = _environment(planted, CLOAKROOM_REDIS_URL=engine.url, SANDBOX_URL=sandbox.url)
        with Replica("litellm", environment, "--config", CONFIG) as replica:
            yield LiteLlmService(replica, sandbox, planted)


@pytest.mark.parametrize("model", ["gpt-4o-realtime", "openai/gpt-realtime"])
async def test_an_openai_entry_mints_and_relays_by_its_name_and_its_upstream_form(
    service: LiteLlmService, http: aiohttp.ClientSession, model: str
) -> None:
    minted, relayed = await _mint_and_relay(service, http, model)
    assert minted["path"] == "/v1/realtime/client_secrets"
    assert _headers(minted)["authorization"] == f"Bearer {service.planted.openai_key}"
    assert relayed["path"] == "/v1/realtime/calls"


@pytest.mark.parametrize(
    ("model", "deployment"),
    [
        ("azure-gpt-realtime", "voice-prod"),
        ("azure/voice-prod", "voice-prod"),
        # Nothing says what these are.
        ("assistant", "voice-mini"),
        ("azure/voice-mini", "voice-mini"),
    ],
)
async def test_an_azure_entry_mints_and_relays_at_the_ga_surface_whatever_its_api_version_and_mode(
    service: LiteLlmService, http: aiohttp.ClientSession, model: str, deployment: str
) -> None:
    minted, relayed = await _mint_and_relay(service, http, model)
    assert (minted["path"], minted["query"]) == ("/openai/v1/realtime/client_secrets", "")
    assert _headers(minted)["api-key"] == service.planted.azure_key
    assert relayed["path"] == "/openai/v1/realtime/calls"
    assert "api-version" not in relayed["query"]
    assert service.sandbox.control("GET", "calls")["calls"][-1]["model"] == deployment


async def test_a_transcription_entry_serves_a_nested_model_under_the_providers_name(
    service: LiteLlmService, http: aiohttp.ClientSession
) -> None:
    service.asked()
    words = {"input": {"transcription": {"model": "words"}}}
    body = {"session": {"type": "realtime", "model": "azure-gpt-realtime", "audio": words}}
    reply = await mint(http, service.replica.url, service.planted.client_key, body)
    # The sandbox refuses any name there but that of a deployment for transcription.
    assert reply.status == 200, reply
    assert len(service.asked()) == 1


async def test_what_was_left_out_is_no_model_and_the_error_names_those_that_are(
    service: LiteLlmService, http: aiohttp.ClientSession
) -> None:
    refused = await mint(http, service.replica.url, service.planted.client_key, {"model": "gpt-4o"})
    assert (refused.status, refused.code) == (404, "model_not_found")
    assert (
        "assistant, azure-gpt-realtime, azure/scribe, azure/voice-mini, azure/voice-prod, gpt-4o-realtime, "
        "openai/gpt-realtime, words" in refused.text
    )
    assert service.asked() == []


async def test_the_start_logs_what_was_made_of_the_file_and_no_secret(service: LiteLlmService) -> None:
    said = [(note["level"], note["entry"], note["note"]) for note in service.replica.events("litellm_config")]
    assert ("info", "model_list entry 1 (gpt-4o-realtime)") in [note[:2] for note in said]
    assert (
        "info",
        "model_list entry 4 (assistant)",
        f"served as deployment 'azure-127.0.0.1-{urlsplit(service.sandbox.url).port}-voice-mini', because "
        "nothing says that it is not a realtime model; model_info.mode can say what it is",
    ) in said
    left_out = [(entry, f"left out: {reason}") for entry, reason in LEFT_OUT.items()]
    assert [note[1:] for note in said if note[2].startswith("left out")] == left_out
    assert ("info", "litellm_settings", "not used: drop_params") in said
    for secret in service.planted.all_values():
        assert secret not in service.replica.output


def test_config_show_lists_what_is_left_out_and_why(service: LiteLlmService) -> None:
    table = _config_show(service)
    settings, _, left_out = table.stdout.partition("\n\n")
    assert "models.assistant " in settings
    header, *rows = left_out.splitlines()
    assert header.split() == ["LEFT", "OUT", "WHY"]
    assert [tuple(re.split(r" {2,}", row)) for row in rows] == list(LEFT_OUT.items())
    assert "info: litellm_settings: not used: drop_params" in table.stderr.splitlines()
    assert "left out" not in table.stderr
    document = orjson.loads(_config_show(service, "--json").stdout)
    assert document["left_out"] == [{"entry": entry, "reason": reason} for entry, reason in LEFT_OUT.items()]
    assert {"level": "info", "entry": "litellm_settings", "note": "not used: drop_params"} in document[
        "notes"
    ]


def test_a_variable_that_is_not_set_ends_the_start_with_its_entry(planted: Planted) -> None:
    environment = _environment(planted, CLOAKROOM_REDIS_URL="memory://")
    with Process(["app", "serve", "--config", CONFIG], environment) as process:
        assert process.wait() == 1
    assert (
        "  - model_list entry 1 (gpt-4o-realtime): api_base names the environment variable SANDBOX_URL, "
        "which is not set" in process.lines
    )
    for secret in planted.all_values():
        assert secret not in process.output


def _config_show(service: LiteLlmService, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in the replica's surroundings; no secret may stand in what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "app", "config", "show", "--config", CONFIG, *arguments],
        env={
            # Not the variable that chose the tests' server: it is no setting.
            **{name: value for name, value in os.environ.items() if not name.startswith("CLOAKROOM_")},
            **_environment(
                service.planted, SANDBOX_URL=service.sandbox.url, CLOAKROOM_REDIS_URL="redis://127.0.0.1"
            ),
        },
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    assert not [secret for secret in service.planted.all_values() if secret in done.stdout + done.stderr]
    return done


async def _mint_and_relay(
    service: LiteLlmService, http: aiohttp.ClientSession, model: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Do both with LiteLLM's keys and form, and return the two requests that the provider had."""
    service.asked()
    reply = await mint(http, service.replica.url, service.planted.client_key, {"model": model})
    assert reply.status == 200, reply
    # Where LiteLLM's page looks for it.
    answer = await relay(http, service.replica.url, reply.json["client_secret"]["value"])
    assert answer.status == 201, answer
    assert answer.text.startswith("v=0")
    assert answer.headers["location"].startswith("/v1/realtime/calls/rtc_")
    minted, relayed = service.asked()
    return minted, relayed


def _headers(request: Mapping[str, Any]) -> dict[str, str]:
    return {name.lower(): value for name, value in request["headers"]}
