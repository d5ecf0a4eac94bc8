"""A successor that cannot take over is refused at the start."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from app.broker.routing.catalog import Takeover
from app.providers.retirement import first_moment
from app.settings.aliases import ModelSettings
from app.wiring import build_model
from tests.unit.settings.environments import OWN, load, problems
from tests.unit.values import OPENAI_KEY

DAY = "2027-01-10"


def environment(models: dict[str, Any], **fixed: str) -> dict[str, str]:
    place = {"provider": "openai", "api_key": OPENAI_KEY}
    places = {"openai": place, **{name: {**place, "model": model} for name, model in fixed.items()}}
    return {**OWN, "CLOAKROOM_DEPLOYMENTS": json.dumps(places), "CLOAKROOM_MODELS": json.dumps(models)}


def entry(successor: str, place: str = "openai") -> dict[str, Any]:
    return {"deployments": place, "successor": successor, "successor_from": DAY}


def test_a_successor_takes_over_at_the_first_moment_of_its_day_in_utc() -> None:
    settings = load(environment({"gpt-realtime": entry("gpt-realtime-2.1"), "gpt-realtime-2.1": "openai"}))
    found = settings.models["gpt-realtime"]
    assert isinstance(found, ModelSettings)
    assert found.successor_from == date(2027, 1, 10)
    assert build_model(found).takeover == Takeover("gpt-realtime-2.1", first_moment(date(2027, 1, 10)))


def test_a_successor_may_be_a_name_that_the_star_takes() -> None:
    load(environment({"gpt-realtime": entry("gpt-realtime-2.1"), "*": "openai"}))


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ({"old": entry("new")}, "models.old.successor: there is no model 'new'; add it under models"),
        ({"old": entry("*"), "*": "openai"}, "models.old.successor: there is no model '*'"),
        ({"*": entry("new"), "new": "openai"}, "models.*.successor: any name has no successor"),
        ({"old": entry("old")}, "models.old.successor: its successors lead back to it"),
        (
            {"a": entry("b"), "b": entry("c"), "c": entry("a")},
            "models.a.successor: its successors lead back to it",
        ),
        ({"old": {"deployments": "openai", "successor": "new"}}, "models.old ... need each other"),
        ({"old": {"deployments": "openai", "successor_from": DAY}}, "models.old ... need each other"),
        (
            {"old": {**entry("new"), "successor_from": "soon"}, "new": "openai"},
            "models.old ... successor_from",
        ),
        ({"old": entry("new", "fixed"), "new": "fixed"}, "models.old.successor: 'new' is minted as the same"),
    ],
)
def test_a_successor_that_cannot_take_over_is_refused(models: dict[str, Any], said: str) -> None:
    found = problems(environment(models, fixed="gpt-realtime"))
    start, _, rest = said.partition(" ... ")
    assert any(line.startswith(start) and rest in line for line in found), found
