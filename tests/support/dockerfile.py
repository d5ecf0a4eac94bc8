"""Reads ``deploy/Dockerfile`` as far as it goes: stages, their steps, and the settings of their images."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

_PASSED_OVER: Final = ("EXPOSE", "LABEL")
_REFERENCE: Final = re.compile(r"\$\{?(\w+)\}?")


@dataclass(frozen=True)
class Config:
    """What an image says about its containers."""

    env: Mapping[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: str = "0:0"
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    healthcheck: tuple[str, ...] = ()
    stop_signal: str = "SIGTERM"

    @property
    def ids(self) -> tuple[int, int]:
        """The numbers of the user and the group."""
        uid, gid = self.user.split(":")
        return int(uid), int(gid)


@dataclass(frozen=True)
class Step:
    """A ``RUN``, or a ``COPY`` with its sources, its target and the stage that it copies from, if any."""

    word: str
    text: str
    config: Config

    @property
    def copied(self) -> tuple[list[str], str, str | None]:
        """Sources, target, stage."""
        words = shlex.split(self.text)
        stage = words.pop(0).removeprefix("--from=") if words[0].startswith("--from=") else None
        return words[:-1], words[-1], stage


@dataclass
class Stage:
    """One ``FROM``: the name of what it builds on, its steps, and its image's settings at the end."""

    name: str
    base: str
    steps: list[Step] = field(default_factory=list)
    config: Config = field(default_factory=Config)


def read_stages(text: str) -> dict[str, Stage]:
    """The stages by their names, in the file's order.

    Raises:
        ValueError: it has an instruction that is not known here.
    """
    variables: dict[str, str] = {}
    stages: dict[str, Stage] = {}
    stage: Stage | None = None
    for word, rest in instructions(text):
        if word == "ARG":
            name, _, default = rest.partition("=")
            variables[name] = default
        elif word == "FROM":
            base, _, name = _filled(rest, variables).partition(" AS ")
            under = stages.get(base)
            stage = stages[name] = Stage(name, base, config=under.config if under else Config())
        elif stage is None:
            raise ValueError(f"{word} before FROM")
        elif word in ("RUN", "COPY"):
            stage.steps.append(Step(word, rest, stage.config))
        elif word not in _PASSED_OVER:
            stage.config = _changed(stage.config, word, rest)
    return stages


def instructions(text: str) -> list[tuple[str, str]]:
    """Each instruction's word and the rest of it; lines that go on are joined, comments are gone."""
    text = re.sub(r"(?m)^#.*\n", "", text).replace("\\\n", " ")
    return [(line.split()[0], line.split(None, 1)[1]) for line in text.splitlines() if line.strip()]


def _changed(config: Config, word: str, rest: str) -> Config:
    match word:
        case "ENV":
            pairs = (pair.partition("=") for pair in shlex.split(rest))
            added = {name: _filled(value, {"PATH": DEFAULT_PATH, **config.env}) for name, _, value in pairs}
            return replace(config, env={**config.env, **added})
        case "WORKDIR":
            return replace(config, folder=str(Path(config.folder) / rest))
        case "USER":
            return replace(config, user=rest)
        case "STOPSIGNAL":
            return replace(config, stop_signal=rest)
        case "ENTRYPOINT":
            return replace(config, entrypoint=tuple(json.loads(rest)), command=())
        case "CMD":
            return replace(config, command=tuple(json.loads(rest)))
        case "HEALTHCHECK":
            return replace(config, healthcheck=tuple(json.loads(rest.partition(" CMD ")[2])))
    raise ValueError(f"the tests' Dockerfile reader does not know {word}: teach it")


# What python:slim sets; the paths are Docker's usual ones.
DEFAULT_PATH: Final = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"


def _filled(text: str, variables: Mapping[str, str]) -> str:
    return _REFERENCE.sub(lambda match: variables.get(match[1], ""), text)
