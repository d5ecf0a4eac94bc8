"""Reads the settings for the doctor: a row for each problem and for each note on a LiteLLM file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from app.doctor.finding import Finding
from app.providers.explanations import setting_name
from app.settings import LiteLlmNote, Settings, SettingsError, load_with_notes
from app.settings.load import CONFIG_NAME, read_config
from app.settings.secrets import MAKE_KEYS

Origin = Literal["ours", "litellm"]

_LITELLM_KEYS: Final[Mapping[str, str]] = {"base_url": "api_base", "model": "model", "api_key": "api_key"}
_VARIABLE: Final = re.compile(r"[A-Z][A-Z0-9_]{3,}\b")


@dataclass(frozen=True, slots=True)
class Source:
    """``settings`` is None where they cannot be used; ``findings`` then say why."""

    settings: Settings | None
    findings: Sequence[Finding]
    origin: Origin


def read_source(environ: Mapping[str, str]) -> Source:
    """Load the settings of this environment and the file that it names."""
    try:
        settings, notes = load_with_notes(environ)
    except SettingsError as error:
        understood = _notes(environ)
        said = {str(note) for note in understood}
        lines = [line for line in str(error).splitlines() if line not in said]
        problems = [_problem(line, environ) for line in lines]
        return Source(None, [*problems, *map(_noted, understood)], "ours")
    return Source(settings, [_read_from(environ, notes), *map(_noted, notes)], "litellm" if notes else "ours")


def _notes(environ: Mapping[str, str]) -> Sequence[LiteLlmNote]:
    """The notes on a file whose settings cannot be used; none where the file cannot be read either."""
    try:
        return read_config(environ).notes
    except SettingsError:
        return ()


def _read_from(environ: Mapping[str, str], notes: Sequence[LiteLlmNote]) -> Finding:
    name = environ.get(CONFIG_NAME)
    kind = "LiteLLM's configuration" if notes else "our own YAML"
    return Finding(
        "settings", "source", "ok", f"the environment, and {name} ({kind})" if name else "the environment"
    )


def _problem(line: str, environ: Mapping[str, str]) -> Finding:
    """A row from one line of ``SettingsError``: what is wrong, and after a semicolon how to fix it."""
    detail, _, fix = line.partition("; ")
    name, detail = _named(detail)
    if " is " in name:
        # "models is empty: map at least one alias": the problem and its fix.
        return Finding("settings", name.partition(" ")[0], "fail", name, detail)
    if not fix:
        fix = _correct(name, environ.get(CONFIG_NAME))
    elif name.isupper() and "missing" in detail and not fix.startswith("run "):
        fix = f"set {name}; {fix}"
    return Finding("settings", name or "settings", "fail", detail, fix)


def _named(text: str) -> tuple[str, str]:
    """The setting that a problem begins with, and the problem without it if a colon follows."""
    variable = _VARIABLE.match(text)
    if variable:
        return variable[0], text.removeprefix(f"{variable[0]}: ")
    place, colon, rest = text.partition(": ")
    return (place, rest) if colon else ("", text)


def _correct(name: str, file: str | None) -> str:
    if not name:
        return "correct it; docs/configuration.md has every setting"
    if name.endswith("_KEYS"):
        return f"correct {name}; {MAKE_KEYS}"
    return f"correct {name} in {file}" if file and not name.isupper() else f"correct {name}"


def _noted(note: LiteLlmNote) -> Finding:
    if note.level == "info":
        return Finding("litellm", note.entry, "ok", note.text)
    detail, fix = _halves(note.text)
    return Finding("litellm", note.entry, "warn", detail, fix)


def _halves(text: str) -> tuple[str, str]:
    detail, semicolon, fix = text.partition("; ")
    return (detail, fix) if semicolon else (text, "change the entry if that was not meant")


def place_of(origin: Origin, deployment: str, provider: str, field: str) -> str:
    """What the operator calls a field of a deployment: our setting, or the key in a LiteLLM file."""
    if origin == "litellm" and field in _LITELLM_KEYS:
        return f"litellm_params.{_LITELLM_KEYS[field]} of the entry that is served as '{deployment}'"
    return setting_name(deployment, provider, field)
