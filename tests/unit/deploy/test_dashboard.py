"""The dashboard and the alerts ask for nothing that a replica does not tell."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support.families import FAMILIES
from tests.support.page import ROOT
from tests.support.service import Service
from tests.unit.deploy.alert_rules import expressions, promtool, rules
from tests.unit.deploy.exposed import VALUES, exposed
from tests.unit.deploy.promql import filled_in, grouped_by, selectors

FOLDER: Final = ROOT / "deploy" / "grafana"
DASHBOARD: Final[dict[str, Any]] = json.loads((FOLDER / "cloakroom.json").read_text(encoding="utf-8"))
PANELS: Final[list[dict[str, Any]]] = [one for one in DASHBOARD["panels"] if one["type"] != "row"]
RECORDED: Final = {
    rule["record"]: frozenset(rule["record"].partition(":")[0].split("_"))
    for rule in rules()
    if "record" in rule
}


def queries() -> Iterator[tuple[str, str, str]]:
    """Each panel's title, expression and legend."""
    for one in PANELS:
        for target in one["targets"]:
            yield one["title"], target["expr"], target["legendFormat"]


def all_expressions() -> dict[str, str]:
    found = {f"{title} {number}": expr for number, (title, expr, _) in enumerate(queries())}
    starts = {note["name"]: note["expr"] for note in DASHBOARD["annotations"]["list"]}
    return found | starts | expressions()


async def test_every_query_names_metrics_and_labels_that_a_replica_exposes(service: Service) -> None:
    known: Mapping[str, frozenset[str]] = {**await exposed(service), **RECORDED}
    for where, expr in all_expressions().items():
        named = selectors(expr)
        assert named, (where, "names no metric")
        there = frozenset[str]()
        for selector in named:
            assert selector.metric in known, (where, selector.metric)
            assert selector.labels <= known[selector.metric], (where, selector)
            there |= known[selector.metric]
        assert grouped_by(expr) <= there, (where, grouped_by(expr) - there)


async def test_every_label_that_a_legend_shows_is_there(service: Service) -> None:
    known = await exposed(service)
    for title, expr, legend in queries():
        shown = set(re.findall(r"\{\{(\w+)\}\}", legend))
        left = (
            grouped_by(expr)
            if "by (" in expr
            else frozenset[str]().union(*(known[selector.metric] for selector in selectors(expr)))
        )
        assert shown <= left, (title, shown - left)


async def test_every_variable_offers_labels_that_are_there(service: Service) -> None:
    known = await exposed(service)
    for one in DASHBOARD["templating"]["list"]:
        if one["type"] == "query":
            found = re.fullmatch(r"label_values\((\w+)(?:\{.*\})?, (\w+)\)", one["definition"])
            assert found, one["definition"]
            assert found[2] in known[found[1]], one["definition"]


def test_every_value_that_a_query_looks_for_can_occur() -> None:
    for where, expr in all_expressions().items():
        for selector in selectors(expr):
            for label, value in selector.values:
                assert value in VALUES[label], (where, label, value)


def test_prometheus_can_read_every_query(tmp_path: Path) -> None:
    recorded = [
        {"record": f"panel:{number}", "expr": filled_in(expr)}
        for number, (_, expr, _) in enumerate(queries())
    ]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": recorded}]}), encoding="utf-8")
    assert f"{len(recorded)} rules found" in promtool("check", "rules", file)


def test_every_metric_of_ours_is_on_the_dashboard() -> None:
    asked = {
        re.sub(r"_(bucket|sum|count)$", "", selector.metric)
        for _, e, _ in queries()
        for selector in selectors(e)
    }
    ours = {one.name for one in FAMILIES}
    assert len(ours) >= 22
    assert ours - asked == set()


def test_the_dashboard_is_what_its_source_makes() -> None:
    made = subprocess.run([sys.executable, FOLDER / "build.py"], capture_output=True, text=True, check=True)
    assert (FOLDER / "cloakroom.json").read_text(encoding="utf-8") == made.stdout


def test_it_can_be_imported_anywhere() -> None:
    assert DASHBOARD["uid"] == "cloakroom"
    assert "id" not in DASHBOARD, "Grafana gives it"
    names = [one["name"] for one in DASHBOARD["templating"]["list"]]
    assert names == ["datasource", "job", "instance", "model", "deployment"]
    for one in PANELS:
        assert one["datasource"]["uid"] == "${datasource}"
        assert {target["datasource"]["uid"] for target in one["targets"]} == {"${datasource}"}
        assert one["title"]
        assert one["description"].endswith("."), one["title"]
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD))) - {"__rate_interval", "__all"}
    assert used == set(names)


def test_no_two_panels_lie_on_each_other_and_none_beside_the_page() -> None:
    taken: dict[tuple[int, int], str] = {}
    for one in DASHBOARD["panels"]:
        place = one["gridPos"]
        assert place["x"] + place["w"] <= 24, one["title"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, (one["title"], taken.get((x, y)))
                taken[x, y] = one["title"]
    ids = [one["id"] for one in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))


def test_the_labels_of_a_recorded_series_are_in_its_name() -> None:
    for rule in rules():
        if "record" in rule:
            assert grouped_by(rule["expr"]) == RECORDED[rule["record"]]
