"""Writes cloakroom.json, the dashboard: python deploy/grafana/build.py > deploy/grafana/cloakroom.json"""

from __future__ import annotations

import json
import sys
from typing import Any

from panels import HERE, SOURCE
from rows import ROWS

WIDTH = 24


def laid_out() -> list[dict[str, Any]]:
    """The panels in rows: each at its place, with an id of its own."""
    found: list[dict[str, Any]] = []
    top = 0
    for title, panels, width, height in ROWS:
        found.append(
            {
                "type": "row",
                "title": title,
                "collapsed": False,
                "panels": [],
                "gridPos": {"x": 0, "y": top, "w": WIDTH, "h": 1},
            }
        )
        top += 1
        for number, one in enumerate(panels):
            line, column = divmod(number * width, WIDTH)
            found.append({**one, "gridPos": {"x": column, "y": top + line * height, "w": width, "h": height}})
        top += -(-len(panels) * width // WIDTH) * height
    return [{"id": number, **one} for number, one in enumerate(found, start=1)]


def variable(name: str, label: str, query: str) -> dict[str, Any]:
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def dashboard() -> dict[str, Any]:
    return {
        "__requires": [
            {"type": "grafana", "id": "grafana", "name": "Grafana", "version": "10.0.0"},
            {"type": "datasource", "id": "prometheus", "name": "Prometheus", "version": "1.0.0"},
        ],
        "uid": "cloakroom",
        "title": "Cloakroom",
        "description": "What is minted and relayed, and what stands in the way. What to do: docs/runbook.md.",
        "tags": ["cloakroom"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {
            "list": [
                {
                    "type": "datasource",
                    "name": "datasource",
                    "label": "Data source",
                    "query": "prometheus",
                    "current": {},
                },
                variable("job", "Job", "label_values(cloakroom_build_info, job)"),
                variable("instance", "Replica", 'label_values(cloakroom_build_info{job=~"$job"}, instance)'),
                variable("model", "Model", 'label_values(cloakroom_mints_total{job=~"$job"}, model)'),
                variable(
                    "deployment",
                    "Deployment",
                    'label_values(cloakroom_provider_tries_total{job=~"$job"}, deployment)',
                ),
            ]
        },
        "annotations": {
            "list": [
                {
                    "name": "Starts",
                    "datasource": SOURCE,
                    "enable": True,
                    "iconColor": "blue",
                    "expr": f"changes(process_start_time_seconds{{{HERE}}}[1m]) > 0",
                    "titleFormat": "{{instance}} started",
                }
            ]
        },
        "panels": laid_out(),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(dashboard(), indent=2) + "\n")
