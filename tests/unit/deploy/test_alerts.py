"""The alert rules, evaluated by Prometheus' own promtool over recorded samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings.model import Settings
from tests.unit.deploy.alert_cases import CASES, HEALTHY, Case
from tests.unit.deploy.alert_rules import FOLDER, RULES, alerts, promtool

ALERTS = alerts()


def test_promtool_finds_nothing_to_say_against_the_rules_and_the_example() -> None:
    assert "SUCCESS" in promtool("check", "rules", RULES)
    assert "SUCCESS" in promtool("check", "config", FOLDER / "prometheus.yml")


def test_every_alert_has_a_case_that_fires_it() -> None:
    assert {case.alert for case in CASES} == ALERTS.keys()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.alert)
def test_an_alert_fires_and_says_what_it_should(case: Case, tmp_path: Path) -> None:
    alert = ALERTS[case.alert]
    labels = {**case.labels, "severity": alert.severity}
    firing = {"exp_labels": labels, "exp_annotations": alert.told(labels, case.value)}
    _evaluate(tmp_path, case.series, [_expectation(alert.name, case.at, [firing])])


@pytest.mark.parametrize("at", [4, 12, 30, 72])
def test_ordinary_trouble_and_callers_mistakes_fire_nothing(at: int, tmp_path: Path) -> None:
    _evaluate(tmp_path, HEALTHY, [_expectation(name, at, []) for name in ALERTS])


@pytest.mark.parametrize("case", [case for case in CASES if case.at > 1], ids=lambda case: case.alert)
def test_no_alert_fires_at_the_first_sample(case: Case, tmp_path: Path) -> None:
    _evaluate(tmp_path, case.series, [_expectation(case.alert, 0, [])])


def test_an_alert_says_what_it_means_and_where_to_read_on() -> None:
    for alert in ALERTS.values():
        assert alert.severity in ("critical", "warning", "info"), alert.name
        assert alert.annotations.keys() == {"summary", "description", "runbook_url"}, alert.name
        assert alert.annotations["runbook_url"] == f"docs/runbook.md#{alert.name.lower()}"
        assert alert.annotations["summary"].endswith((".", ")")), alert.name


def test_the_numbers_in_the_alerts_are_those_of_the_settings() -> None:
    fields = Settings.model_fields
    told = " ".join(alert.annotations["description"] for alert in ALERTS.values())
    assert f"{fields['store_timeout_seconds'].default:g} s (CLOAKROOM_STORE_TIMEOUT_SECONDS)" in told
    assert f"{fields['relay_timeout_seconds'].default:g} s (CLOAKROOM_RELAY_TIMEOUT_SECONDS)" in told
    assert f"mints after {fields['mint_timeout_seconds'].default:g} s" in told


def _expectation(name: str, minutes: int, firing: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"eval_time": f"{minutes}m", "alertname": name, "exp_alerts": list(firing)}


def _evaluate(folder: Path, series: Mapping[str, str], expectations: Sequence[Mapping[str, Any]]) -> None:
    samples = [{"series": name, "values": values} for name, values in series.items()]
    group = {"interval": "15s", "input_series": samples, "alert_rule_test": list(expectations)}
    document = {"rule_files": [str(RULES)], "evaluation_interval": "15s", "tests": [group]}
    file = folder / "cases.yml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    promtool("test", "rules", file)
