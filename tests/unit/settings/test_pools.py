"""``models.<name>.pool``: what is taken, and what is told of values that make no sense."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.broker.session_policy import PoolPolicy
from app.wiring import build_catalog
from tests.unit.settings.environments import OWN, load, problems
from tests.unit.values import OPENAI_KEY

PLACES = {
    "oai": {"provider": "openai", "api_key": OPENAI_KEY},
    "home": {"provider": "localai", "base_url": "https://localai:8080"},
    "keyless": {"provider": "openai", "api_key": OPENAI_KEY, "ephemeral_keys": False},
}


def environment(models: dict[str, Any]) -> dict[str, str]:
    return {**OWN, "CLOAKROOM_DEPLOYMENTS": json.dumps(PLACES), "CLOAKROOM_MODELS": json.dumps(models)}


def model(**fields: Any) -> dict[str, Any]:
    return {"deployments": ["oai"], **fields}


def test_a_pool_has_a_target_and_usually_half_may_be_wasted() -> None:
    models = {
        "voice": model(pool={"target": 20}),
        "chat": model(pool={"target": 1000, "max_waste": 0}),
        "cold": model(),
        "plain": "oai",
    }
    catalog = build_catalog(load(environment(models)))
    assert catalog.pools == {"voice": PoolPolicy(20, 0.5), "chat": PoolPolicy(1000, 0.0)}


@pytest.mark.parametrize(
    ("pool", "told"),
    [
        ({}, "models.voice.pool.target"),
        ({"target": 0}, "models.voice.pool.target"),
        ({"target": 1001}, "models.voice.pool.target"),
        ({"target": 2.5}, "models.voice.pool.target"),
        ({"target": 20, "max_waste": 0.96}, "models.voice.pool.max_waste"),
        ({"target": 20, "max_waste": -0.1}, "models.voice.pool.max_waste"),
        ({"target": 20, "size": 3}, "models.voice.pool.size"),
        (True, "models.voice.pool"),
    ],
)
def test_a_bad_value_is_told_with_its_place(pool: Any, told: str) -> None:
    found = problems(environment({"voice": model(pool=pool)}))
    assert any(told in problem for problem in found), found


@pytest.mark.parametrize(
    "lives", [{"max_seconds": 600}, {"default_seconds": 3601}, {"default_seconds": 100, "max_seconds": 199}]
)
def test_keys_that_could_not_live_twice_as_long_as_a_handle_are_a_problem(lives: dict[str, int]) -> None:
    (problem,) = problems(environment({"voice": model(pool={"target": 20}, **lives)}))
    assert "twice as long" in problem
    assert f"set default_seconds to {lives.get('max_seconds', 7200) // 2} or less" in problem


@pytest.mark.parametrize(
    "lives",
    [{}, {"max_seconds": 1200}, {"default_seconds": 3600}, {"default_seconds": 60, "max_seconds": 120}],
)
def test_those_that_can_are_none(lives: dict[str, int]) -> None:
    assert "voice" in load(environment({"voice": model(pool={"target": 20}, **lives)})).models


@pytest.mark.parametrize("place", ["home", "keyless"])
def test_a_deployment_that_mints_no_keys_has_nothing_to_keep(place: str) -> None:
    models = {"voice": {"deployments": ["oai", place], "pool": {"target": 20}}}
    (problem,) = problems(environment(models))
    assert problem.startswith(f"models.voice.pool: deployment '{place}' mints no keys")


def test_any_name_has_no_pool() -> None:
    (problem,) = problems(environment({"*": model(pool={"target": 20})}))
    assert problem.startswith("models.*.pool: any name has no pool")
