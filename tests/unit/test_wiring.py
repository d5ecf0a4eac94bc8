"""Deployments made of settings: which credential goes out, and what cannot be built, told by its setting."""

from __future__ import annotations

import sys
import time
from typing import Any

import orjson
import pytest

from app.models import Deployment, Secret
from app.providers.registry import PROVIDERS
from app.settings import Settings, load_settings
from app.wiring import WiringError, build_deployments, token_keepers
from tests.support.planted import Planted
from tests.unit.values import HeldTokens, mint_request, offer

AZURE = {"provider": "azure", "base_url": "https://x.openai.azure.com/openai/", "model": "voice-prod"}
ENTRA = {"tenant_id": "t-1", "client_id": "c-1", "client_secret": "s-1-of-the-test"}


def settings(**deployment: Any) -> Settings:
    environment = Planted().environment(CLOAKROOM_REDIS_URL="memory://")
    environment["CLOAKROOM_DEPLOYMENTS"] = orjson.dumps({"voice": deployment}).decode()
    environment["CLOAKROOM_MODELS"] = '{"gpt-realtime-2.1": "voice"}'
    return load_settings(environment)


def built(**deployment: Any) -> Deployment:
    return build_deployments(settings(**deployment), clock=time.time)["voice"]


def test_a_key_needs_no_keeper() -> None:
    deployment = built(**AZURE, api_key="k" * 32)
    assert deployment.bearer() == Secret("k" * 32)
    assert token_keepers({"voice": deployment}) == []


def test_entra_makes_one_keeper_and_no_key() -> None:
    deployment = built(**AZURE, entra=ENTRA)
    assert deployment.api_key is None
    assert token_keepers({"voice": deployment}) == [deployment.tokens]
    assert "s-1-of-the-test" not in repr(deployment)


def test_a_token_goes_out_as_a_bearer_and_never_as_a_key() -> None:
    deployment = Deployment("voice", "azure", "https://x/openai/v1", upstream_model="v", tokens=HeldTokens())
    headers = PROVIDERS["azure"].mint_request(deployment, mint_request()).headers
    assert headers["Authorization"] == "Bearer eyJ.token.now"
    assert "api-key" not in headers


@pytest.mark.parametrize("credential", [{}, {"api_key": Secret("k"), "tokens": HeldTokens()}])
def test_a_deployment_that_mints_has_exactly_one_credential(credential: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="an api_key or tokens"):
        Deployment("voice", "azure", "https://x/openai/v1", **credential)


@pytest.mark.parametrize("changes", [{}, {"api_key": ""}])
def test_a_server_without_credentials_is_sent_none(changes: dict[str, Any]) -> None:
    deployment = built(provider="openai", base_url="https://voice:8080/v1", ephemeral_keys=False, **changes)
    assert (deployment.ephemeral_keys, deployment.call_key) == (False, "standard")
    assert (deployment.bearer(), deployment.held_secrets()) == (None, ())
    call = PROVIDERS["openai"].kept_call(deployment, mint_request())
    headers = PROVIDERS["openai"].standard_call_request(deployment, call, offer(b"v=0")).headers
    assert "Authorization" not in headers


def test_a_missing_extra_is_told_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "azure.identity.aio", None)
    with pytest.raises(WiringError) as refused:
        built(**AZURE, entra=ENTRA)
    assert str(refused.value).startswith("deployments.voice.entra needs azure-identity")
    assert "pip install 'cloakroom[entra]'" in str(refused.value)


def test_an_address_of_another_kind_is_told_by_its_deployment() -> None:
    with pytest.raises(WiringError, match=r"deployments\.voice: base_url must"):
        built(provider="openai", api_key="k" * 32, base_url="ftp://x")


@pytest.mark.parametrize(
    ("changes", "filtered"),
    [
        ({}, True),
        ({"webrtc_filter": False}, False),
        ({"provider": "azure-preview", "region": "eastus2"}, False),
    ],
)
def test_azures_event_filter_is_on_by_default(changes: dict[str, Any], filtered: bool) -> None:
    assert built(**{**AZURE, **changes}, api_key="k" * 32).webrtc_filter is filtered


def test_a_region_becomes_its_front_end() -> None:
    preview = {**AZURE, "provider": "azure-preview", "api_key": "k" * 32}
    assert built(**preview, region="swedencentral").webrtc_url == (
        "https://swedencentral.realtimeapi-preview.ai.azure.com/v1/realtimertc"
    )
    assert built(**preview, webrtc_url="https://front.example").webrtc_url == (
        "https://front.example/v1/realtimertc"
    )
    with pytest.raises(WiringError, match=r"deployments\.voice: webrtc_url must look like"):
        built(**preview, webrtc_url="front.example")
