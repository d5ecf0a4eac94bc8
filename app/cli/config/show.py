"""``cloakroom config``: show the settings in force without a secret, and the schema of the YAML file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter

from app.cli.display import Column, Columns, print_lines, terminal_width
from app.cli.failure import unusable_settings
from app.cli.output import document, tell, write
from app.settings import LiteLlmNote, Settings, SettingsError, Variables, load_with_notes
from app.settings.environment import PREFIX
from app.settings.groups.workers import FOR_EACH_WORKER, worker_count
from app.settings.load import CONFIG_NAME, read_config
from app.settings.reference import config_schema
from app.settings.secrets import masked_settings

DEFAULT: Final = "default"
_PROVIDERS: Final = ("OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT")
_FROM_PROVIDERS: Final = ("deployments", "models", "default_model")


def show_config(
    *,
    config: Path | None = None,
    all_fields: Annotated[bool, Parameter(name="--all", negative=())] = False,
    as_document: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Show the settings in force, and whether environment, file or default gave each. Secrets are masked.

    For LiteLLM's file it also shows which entries are left out, and why. Exit status 1 when the settings are
    not usable; it says why.

    Args:
        config: Our own YAML file, or LiteLLM's config.yaml; default: what CLOAKROOM_CONFIG names.
        all_fields: Also those that are not set.
        as_document: Print one JSON document, always with all settings.
    """
    environ = dict(os.environ)
    if config is not None:
        environ[CONFIG_NAME] = str(config)
    try:
        settings, notes = load_with_notes(environ)
        values, origin = masked_settings(settings), sources(settings, environ)
    except SettingsError as error:
        raise unusable_settings(error) from None
    if as_document:
        both = {name: {"value": values[name], "source": origin[name]} for name in values}
        write(document({"object": "settings", "settings": both, **_as_documents(notes)}))
        return
    table = Columns(
        [Column("SETTING", most=60), Column("VALUE", most=80), Column("FROM", rank=1, most=60)],
        width=terminal_width(),
    )
    shown = [name for name in values if all_fields or origin[name] != DEFAULT]
    rows = [
        (path, text, origin[name])
        for name in shown
        for path, text in _flat(name, values[name])
        if text or all_fields
    ]
    print_lines(table.lines(rows))
    _print_left_out(notes)
    for note in notes:
        if note.reason is None:
            tell(f"{note.level}: {note}")
    if (number := worker_count(settings)) > 1:
        tell(f"{number} workers; for each of them count {', '.join(FOR_EACH_WORKER)}")
    if not all_fields:
        tell(f"{len(values) - len(shown)} settings have their defaults; --all shows them")


def print_schema() -> None:
    """Print the JSON Schema of the file that CLOAKROOM_CONFIG names."""
    write(document(config_schema()))


def sources(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """Where each field's value comes from: the variable, the file, both, or ``default``.

    Raises:
        SettingsError: the file cannot be read.
    """
    variables = Variables(environ)
    in_file = read_config(variables).values
    usual = ", ".join(variables.source(name) for name in _PROVIDERS if variables.get(name))
    found = {}
    for name in type(settings).model_fields:
        places = _variables(name, variables)
        if name in in_file:
            places.append(f"the file {variables[CONFIG_NAME]}")
        if not places and name in _FROM_PROVIDERS and usual and name in settings.model_fields_set:
            places.append(usual)
        found[name] = " over ".join(places) or DEFAULT
    return found


def _variables(name: str, environ: Variables) -> list[str]:
    """The variable itself, or the one that names its file, and the nested ones below it, where not empty."""
    variable = PREFIX + name.upper()
    below = sorted(
        each for each, value in environ.items() if value and each.upper().startswith(f"{variable}__")
    )
    whole = [environ.source(each) for each, value in environ.items() if value and each.upper() == variable]
    return [*([f"{variable}__..."] if below else []), *(source.upper() for source in whole)]


def _print_left_out(notes: Sequence[LiteLlmNote]) -> None:
    """Print what was left out as a second table, where there is any. A reason is never shortened."""
    rows = [(note.entry, note.reason) for note in notes if note.reason is not None]
    if not rows:
        return
    table = Columns([Column("LEFT OUT", most=60), Column("WHY")], width=None)
    write("\n")
    print_lines(table.lines(rows))


def _as_documents(notes: Sequence[LiteLlmNote]) -> dict[str, Any]:
    """``left_out`` and ``notes`` of the JSON document, both empty without a LiteLLM file."""
    return {
        "left_out": [
            {"entry": note.entry, "reason": note.reason} for note in notes if note.reason is not None
        ],
        "notes": [
            {"level": note.level, "entry": note.entry, "note": note.text}
            for note in notes
            if note.reason is None
        ],
    }


def _flat(path: str, value: Any) -> Iterator[tuple[str, str]]:
    """Nested sections as dotted paths."""
    if isinstance(value, Mapping) and value:
        for name, item in value.items():
            yield from _flat(f"{path}.{name}", item)
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        for number, item in enumerate(value):
            yield from _flat(f"{path}.{number}", item)
    elif isinstance(value, list):
        yield path, ", ".join(map(str, value))
    elif isinstance(value, bool):
        yield path, str(value).lower()
    else:
        yield path, "" if value is None or value == {} else str(value)
