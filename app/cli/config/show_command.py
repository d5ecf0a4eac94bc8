"""``cloakroom config show``: the settings that are in force, and where each comes from, without a secret."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from app.cli.columns import Column, Columns, print_lines, terminal_width
from app.cli.config.sources import DEFAULT, sources
from app.cli.failure import EXIT_DONE, CliFailure
from app.cli.output import document, tell, write
from app.settings import LiteLlmNote, SettingsError, load_with_notes
from app.settings.load import CONFIG_NAME
from app.settings.secrets import masked_settings


def show_config(
    *,
    config: Path | None = None,
    all_fields: Annotated[bool, Parameter(name="--all", negative=())] = False,
    as_document: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Show the settings in force, and whether environment, file or default gave each. Secrets are masked.

    Of LiteLLM's file also which entries are left out, and why. Exit status 1 when the settings are not
    usable; it says why.

    Args:
        config: Our own YAML file, or LiteLLM's config.yaml; default: what CLOAKROOM_CONFIG names.
        all_fields: Also those that nobody has set.
        as_document: Print one JSON document, always with all.
    """
    environ = dict(os.environ)
    if config is not None:
        environ[CONFIG_NAME] = str(config)
    try:
        settings, notes = load_with_notes(environ)
        values, origin = masked_settings(settings), sources(settings, environ)
    except SettingsError as error:
        lines = "\n".join(f"  - {line}" for line in str(error).splitlines())
        raise CliFailure(f"the settings are not usable:\n{lines}") from None
    if as_document:
        both = {name: {"value": values[name], "source": origin[name]} for name in values}
        write(document({"object": "settings", "settings": both, **_as_documents(notes)}))
        return EXIT_DONE
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
    if not all_fields:
        tell(f"{len(values) - len(shown)} settings have their defaults; --all shows them")
    return EXIT_DONE


def _print_left_out(notes: Sequence[LiteLlmNote]) -> None:
    """A second table below an empty line; nothing where nothing was left out. A reason is never shortened."""
    rows = [(note.entry, note.reason) for note in notes if note.reason is not None]
    if not rows:
        return
    table = Columns([Column("LEFT OUT", most=60), Column("WHY")], width=None)
    write("\n")
    print_lines(table.lines(rows))


def _as_documents(notes: Sequence[LiteLlmNote]) -> dict[str, Any]:
    """``left_out`` and ``notes`` of the JSON document; both are empty without a LiteLLM file."""
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
