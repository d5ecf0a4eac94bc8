"""A model has one of three forms, and a mistake in it is told once, with the name of the field."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.settings.environments import OWN, problems
from tests.unit.values import OPENAI_KEY

PLACES = {"oai": {"provider": "openai", "api_key": OPENAI_KEY}}


def told(model: Any) -> list[str]:
    return problems(
        {
            **OWN,
            "CLOAKROOM_DEPLOYMENTS": json.dumps(PLACES),
            "CLOAKROOM_MODELS": json.dumps({"voice": model}),
        }
    )


@pytest.mark.parametrize("model", [5, None, True])
def test_what_has_none_of_the_forms_is_told_of_all_three(model: Any) -> None:
    (problem,) = told(model)
    assert problem == (
        "models.voice: write a deployment's name, a list of names, or a section with deployments"
    )


@pytest.mark.parametrize(
    ("model", "place"),
    [
        (["oai", 3], "models.voice.1: "),
        ([], "models.voice: "),
        ({"deployments": []}, "models.voice.deployments: "),
        ({"deployments": ["oai"], "lokced": {}}, "models.voice.lokced: "),
        ({"deployments": ["oai"], "max_seconds": 5}, "models.voice.max_seconds: "),
        ({"deployments": ["oai"], "min_seconds": 60, "max_seconds": 30}, "models.voice: min_seconds"),
        ({"max_calls": 3}, "models.voice.deployments: "),
    ],
)
def test_a_mistake_in_one_form_is_told_of_that_form_alone(model: Any, place: str) -> None:
    (problem,) = told(model)
    assert problem.startswith(place)
