"""Which deployments are looked at, and under which names a mint is tried."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.doctor.run import aliases_of, leads_to, trials_for, unknown_model_findings
from app.settings import Settings
from tests.unit.settings.environments import OWN, load
from tests.unit.values import OPENAI_KEY, deployment


def settings(models: dict[str, Any], **changes: str) -> Settings:
    names = {name: {"provider": "openai", "api_key": OPENAI_KEY} for name in ("a", "b")}
    return load(
        {**OWN, **changes}, CLOAKROOM_DEPLOYMENTS=json.dumps(names), CLOAKROOM_MODELS=json.dumps(models)
    )


MODELS = {
    "gpt-realtime-2.1": "a",
    "gpt-realtime-2.1-mini": ["a", "b"],
    "pinned": {"deployments": "b", "max_seconds": 60},
}


def test_a_model_leads_to_each_of_its_deployments_and_to_no_other() -> None:
    chosen = settings(MODELS)
    assert leads_to(chosen, None, "a")
    assert leads_to(chosen, "gpt-realtime-2.1", "a")
    assert not leads_to(chosen, "gpt-realtime-2.1", "b")
    assert leads_to(chosen, "gpt-realtime-2.1-mini", "b")
    assert not leads_to(chosen, "nobody", "a")
    assert aliases_of(chosen, "b") == ["gpt-realtime-2.1-mini", "pinned"]


def test_a_deployment_without_a_model_of_its_own_is_tried_under_each_alias() -> None:
    trials = trials_for(settings(MODELS), None, deployment(name="a"))
    assert [trial.alias for trial in trials] == ["gpt-realtime-2.1", "gpt-realtime-2.1-mini"]


def test_a_deployment_with_a_model_is_tried_once() -> None:
    trials = trials_for(settings(MODELS), None, deployment("azure", name="b"))
    assert [trial.alias for trial in trials] == ["gpt-realtime-2.1-mini"]


def test_a_successor_is_tried_before_its_day_comes() -> None:
    ending = {"deployments": "a", "successor": "next", "successor_from": "2027-01-10"}
    trials = trials_for(settings({"last": ending, "*": "a"}), None, deployment(name="a"))
    assert [trial.alias for trial in trials] == ["last", "next"]


def test_a_chosen_model_is_the_only_trial_and_brings_its_policy() -> None:
    (trial,) = trials_for(settings(MODELS), "pinned", deployment(name="b"))
    assert (trial.alias, trial.policy.max_seconds) == ("pinned", 60)
    assert trials_for(settings(MODELS), "pinned", deployment(name="a")) == []


@pytest.mark.parametrize(
    ("asked", "default", "found"),
    [
        (None, "", []),
        (None, "gpt-realtime-2.1", ["gpt-realtime-2.1"]),
        ("gpt-realtime-2", "", ["gpt-realtime-2"]),
    ],
)
def test_where_any_name_leads_a_known_one_is_needed(
    asked: str | None, default: str, found: list[str]
) -> None:
    anything = settings({"*": "a"}, CLOAKROOM_DEFAULT_MODEL=default)
    assert [trial.alias for trial in trials_for(anything, asked, deployment(name="a"))] == found
    assert aliases_of(anything, "a") == ["any other name"]


def test_a_model_that_there_is_not_is_a_failure_that_lists_those_there_are() -> None:
    (row,) = unknown_model_findings(settings(MODELS), "gpt-5")
    assert row.status == "fail"
    assert row.fix == "ask for one of gpt-realtime-2.1, gpt-realtime-2.1-mini, pinned, or add it under models"
    assert unknown_model_findings(settings(MODELS), "pinned") == []
    assert unknown_model_findings(settings({"*": "a"}), "gpt-5") == []
