"""A region is one that the provider has, and a model locked to one has no deployment outside of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.providers.azure import REGIONS as AZURE_REGIONS
from app.providers.openai import REGIONS
from app.wiring import build_deployments
from tests.unit.settings.environments import OWN, load, problems
from tests.unit.values import AZURE_KEY, NOW, OPENAI_KEY


def openai(**more: Any) -> dict[str, Any]:
    return {"provider": "openai", "api_key": OPENAI_KEY, **more}


def preview(**more: Any) -> dict[str, Any]:
    url = "https://acme.openai.azure.com"
    return {
        "provider": "azure-preview",
        "api_key": AZURE_KEY,
        "base_url": url,
        "model": "voice",
        **more,
    }


def environment(places: dict[str, Any], models: dict[str, Any] | None = None) -> dict[str, str]:
    names = json.dumps(models or {"voice": list(places)})
    return {**OWN, "CLOAKROOM_DEPLOYMENTS": json.dumps(places), "CLOAKROOM_MODELS": names}


def built(**settings: Any) -> tuple[str, str | None]:
    found = build_deployments(load(environment({"place": openai(**settings)})), clock=lambda: NOW)["place"]
    return found.base_url, found.region


@pytest.mark.parametrize("region", REGIONS)
def test_a_region_of_openai_leads_to_its_host(region: str) -> None:
    url = f"https://{region}.api.openai.com/v1"
    assert built(region=region) == (url, region)
    assert built(region=region, base_url=f"{url}/") == (url, region)


def test_a_regions_url_tells_the_region_too() -> None:
    assert built(base_url="https://eu.api.openai.com/v1/") == ("https://eu.api.openai.com/v1", "eu")
    assert built() == ("https://api.openai.com/v1", None)
    assert built(base_url="https://gateway.example/v1")[1] is None


@pytest.mark.parametrize("region", AZURE_REGIONS)
def test_a_region_of_azures_preview_leads_offers_to_its_front_end(region: str) -> None:
    place = build_deployments(load(environment({"p": preview(region=region)})), clock=lambda: NOW)["p"]
    assert (place.region, place.webrtc_url) == (region, AZURE_REGIONS[region])


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (
            openai(region="mars"),
            "provider: openai has no region 'mars'; known: us, eu, ae, au, in, jp",
        ),
        (openai(region="swedencentral"), "provider: openai has no region 'swedencentral'"),
        (preview(region="eu"), "provider: azure-preview has no region 'eu'"),
        (
            openai(region="eu", base_url="https://us.api.openai.com/v1"),
            "region 'eu' is served at https://eu.api.openai.com/v1 only; leave base_url out",
        ),
        (openai(region="eu", base_url="http://127.0.0.1:9090/v1"), "region 'eu' is served at"),
        (
            {**preview(region="eastus2"), "provider": "azure"},
            "region is for OpenAI and azure-preview; remove it",
        ),
    ],
)
def test_a_region_that_the_provider_does_not_serve_there_is_refused(place: dict[str, Any], said: str) -> None:
    assert any(said in line for line in problems(environment({"place": place})))


PLACES = {
    "eu": openai(region="eu"),
    "eu-by-url": openai(base_url="https://eu.api.openai.com/v1"),
    "us": openai(region="us"),
    "anywhere": openai(),
}


def locked(*places: str, region: str = "eu", **more: Any) -> dict[str, Any]:
    return {"deployments": list(places), "region": region, **more}


def test_a_locked_model_may_have_every_deployment_of_its_region() -> None:
    load(environment(PLACES, {"voice": locked("eu", "eu-by-url"), "*": ["us", "anywhere"]}))


@pytest.mark.parametrize(
    ("models", "said"),
    [
        (
            {"voice": locked("eu", "us")},
            "models.voice: it never leaves region 'eu', and deployment 'us' is in 'us'; take it out",
        ),
        (
            {"voice": locked("eu", "anywhere")},
            "deployment 'anywhere' names no region; take it out, or set deployments.anywhere.region",
        ),
        (
            {"voice": locked("eu", region="europe")},
            "models.voice.region: 'europe' is no region; known: us, eu,",
        ),
        (
            {"voice": locked("eu", successor="next", successor_from="2027-01-10"), "next": ["eu", "us"]},
            "models.voice: it never leaves region 'eu', and deployment 'us' is in 'us'",
        ),
        (
            {"voice": locked("eu", successor="next", successor_from="2027-01-10"), "*": "us"},
            "models.voice: it never leaves region 'eu', and deployment 'us' is in 'us'",
        ),
    ],
)
def test_a_deployment_outside_of_a_locked_models_region_is_refused(models: dict[str, Any], said: str) -> None:
    assert any(said in line for line in problems(environment(PLACES, models)))
