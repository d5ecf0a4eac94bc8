"""Reads deploy/prometheus/alerts.yml, and has promtool look at it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support.page import ROOT
from tests.support.programs import required

FOLDER: Final = ROOT / "deploy" / "prometheus"
RULES: Final = FOLDER / "alerts.yml"
_TEMPLATE: Final = re.compile(r"\{\{ \$(?:labels\.(\w+)|value(?: \| \w+)?) \}\}")


@dataclass(frozen=True)
class Alert:
    """One alert as it stands in the file."""

    name: str
    expr: str
    severity: str
    annotations: Mapping[str, str]

    def told(self, labels: Mapping[str, str], value: str) -> dict[str, str]:
        """The annotations of a firing one."""

        def fill(found: re.Match[str]) -> str:
            return labels[found[1]] if found[1] else value

        return {name: _TEMPLATE.sub(fill, text) for name, text in self.annotations.items()}


def rules() -> list[dict[str, Any]]:
    loaded = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    return [rule for group in loaded["groups"] for rule in group["rules"]]


def alerts() -> dict[str, Alert]:
    found = [rule for rule in rules() if "alert" in rule]
    made = {
        rule["alert"]: Alert(rule["alert"], rule["expr"], rule["labels"]["severity"], rule["annotations"])
        for rule in found
    }
    assert len(made) == len(found), "an alert stands twice"
    return made


def expressions() -> dict[str, str]:
    """Every expression of the file by the name of its alert or record."""
    return {rule.get("alert") or rule["record"]: rule["expr"] for rule in rules()}


def promtool(*arguments: str | Path) -> str:
    """Run promtool; fail with what it says when it finds something."""
    program = required("promtool", package="prometheus")
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
