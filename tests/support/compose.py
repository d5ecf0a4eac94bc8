"""Reads docker-compose.yml as Compose does, as far as that file goes: anchors, ``${NAME:?}``, ``$$``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
REPLICAS: Final = ("replica-a", "replica-b")

_REFERENCE = re.compile(r"\$(?:\$|\{(\w+)(?::([-?])((?:[^{}])*))?\})")
_DURATION = re.compile(r"(\d+)s")
_UNITS: Final = {"M": 2**20, "mb": 2**20}


class MissingVariable(Exception):
    """What ``${NAME:?message}`` raises; Compose prints the message and starts nothing."""


def load_compose(folder: Path = ROOT) -> dict[str, Any]:
    """The file in this folder: this checkout's, or a release's."""
    loaded: dict[str, Any] = yaml.safe_load((folder / "docker-compose.yml").read_text(encoding="utf-8"))
    return loaded


def services(folder: Path = ROOT) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = load_compose(folder)["services"]
    return found


def interpolate(text: str, variables: Mapping[str, str]) -> str:
    """Put the variables' values into ``text``.

    Raises:
        MissingVariable: a required one is unset or empty.
    """

    def value(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        given = variables.get(match[1], "")
        if not given and match[2] == "?":
            raise MissingVariable(match[3])
        return given or (match[3] if match[2] == "-" else "")

    return _REFERENCE.sub(value, text)


def environment_of(service: str, variables: Mapping[str, str], folder: Path = ROOT) -> dict[str, str]:
    """The environment that the service's process is started with."""
    configured: dict[str, str | None] = services(folder)[service].get("environment", {})
    passed_on = {
        name: variables[name] for name, value in configured.items() if value is None and name in variables
    }
    set_here = {
        name: interpolate(value, variables) for name, value in configured.items() if value is not None
    }
    return passed_on | set_here


def read_env_file(text: str) -> dict[str, str]:
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


def seconds(duration: str) -> int:
    match = _DURATION.fullmatch(duration)
    assert match, duration
    return int(match[1])


def in_bytes(size: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(\w+)", size).groups()  # type: ignore[union-attr]
    return int(number) * _UNITS[unit]
