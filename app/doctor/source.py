"""Reads the settings for the doctor: what could not be used, and what was made of a LiteLLM file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from app.doctor.finding import Finding
from app.doctor.places import Origin
from app.settings import LiteLlmNote, Settings, SettingsError, load_with_notes
from app.settings.yaml_file import CONFIG_NAME, read_config

# "CLOAKROOM_PORT: ...", "deployments.voice: ...", "CLOAKROOM_SIGNING_KEYS is missing"; else the line's place.
_NAME: Final = re.compile(r"(?P<variable>[A-Z][A-Z0-9_]{3,})\b|(?P<place>[^:]{1,120}): ")


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
    """The notes on a file whose settings are of no use, as far as the file itself could be read."""
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
    """One line of ``SettingsError``: what is wrong, then, after a semicolon, how to mend it."""
    detail, _, fix = line.partition("; ")
    found = _NAME.match(line)
    name = (found["variable"] or found["place"]) if found else ""
    if not fix:
        where = f" in {environ[CONFIG_NAME]}" if environ.get(CONFIG_NAME) and not name.isupper() else ""
        fix = f"correct {name}{where}" if name else "correct it; docs/configuration.md has every setting"
    return Finding("settings", name or "settings", "fail", detail.removeprefix(f"{name}: "), fix)


def _noted(note: LiteLlmNote) -> Finding:
    if note.level == "info":
        return Finding("litellm", note.entry, "ok", note.text)
    detail, fix = _halves(note.text)
    return Finding("litellm", note.entry, "warn", detail, fix)


def _halves(text: str) -> tuple[str, str]:
    detail, semicolon, fix = text.partition("; ")
    return (detail, fix) if semicolon else (text, "change the entry if that was not meant")
