"""What a model puts into sessions is refused where a call would not have it: it would be lost in silence."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.settings.environments import OWN, load, problems
from tests.unit.values import OPENAI_KEY

PLACES = {
    "home": {"provider": "localai", "base_url": "https://localai:8080"},
    "hf": {"provider": "speech-to-speech", "base_url": "https://speech:8765"},
    "oai": {"provider": "openai", "api_key": OPENAI_KEY},
}


def environment(models: dict[str, Any]) -> dict[str, str]:
    return {**OWN, "CLOAKROOM_DEPLOYMENTS": json.dumps(PLACES), "CLOAKROOM_MODELS": json.dumps(models)}


@pytest.mark.parametrize("policy", ["locked", "defaults"])
@pytest.mark.parametrize("place", ["home", "hf"])
def test_a_policy_that_would_be_lost_is_a_problem(policy: str, place: str) -> None:
    models = {"voice": {"deployments": ["oai", place], policy: {"instructions": "Be brief."}}}
    (problem,) = problems(environment(models))
    assert problem.startswith(f"models.voice: a call at deployment '{place}' takes no session")


def test_a_successor_keeps_the_policy_so_its_deployments_count() -> None:
    models = {
        "voice": {
            "deployments": ["oai"],
            "locked": {"instructions": "Be brief."},
            "successor": "next",
            "successor_from": "2027-01-10",
        },
        "next": {"deployments": ["home"]},
    }
    assert any("'home' takes no session" in problem for problem in problems(environment(models)))


def test_everything_else_is_as_with_other_providers() -> None:
    loaded = load(environment({"voice": {"deployments": ["home"], "max_calls": 1, "default_seconds": 60}}))
    assert not loaded.deployments["home"].mints
