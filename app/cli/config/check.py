"""``cloakroom config check``: what changes for a file that another program was started with."""

from __future__ import annotations

import os
import re
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from cyclopts import Parameter

from app.cli.display import Column, Columns, print_lines
from app.cli.failure import EXIT_DONE, EXIT_FAILED, EXIT_OPEN, unusable_settings
from app.cli.output import document, tell, write
from app.settings import SettingsError, Variables, load_with_notes
from app.settings.litellm.check import compare, stand_ins, unset_variables
from app.settings.litellm.differences import VERDICTS, Difference, Part
from app.settings.load import CONFIG_NAME, read_document
from app.wiring import WiringError, build_catalog

_TITLES: Final[Mapping[Part, str]] = {
    "model": "MODELS",
    "setting": "SETTINGS",
    "key": "KEYS AND BUDGETS",
    "client": "CLIENTS",
}
_STYLES: Final = {"same": "green", "do": "yellow", "lost": "red", "stops": "red"}
# What no file of LiteLLM's has: Cloakroom's own secrets and its store.
_RINGS: Final = ("CLOAKROOM_SIGNING_KEYS", "CLOAKROOM_SEALING_KEYS")
# A problem begins with its variable, or with a place and a colon.
_PLACE: Final = re.compile(r"(CLOAKROOM_\w+|[^:]+(?=: )):? (.*)")
_STORE: Final = "CLOAKROOM_REDIS_URL"
_STAND_IN_STORE: Final = "redis://127.0.0.1:6379/0"


def check_config(
    file: Path,
    *,
    source: Annotated[Literal["litellm"], Parameter(name="--from")],
    as_document: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Print what changes for a file of another program: its models, settings, keys and clients.

    It asks no provider and no store. The file's variables need not be set where it runs. Exit status: 0 when
    all that is about realtime is taken over, 4 when a row needs a step or has no equal here, 1 when the
    service would not start with the file.

    Args:
        file: LiteLLM's config.yaml.
        source: Whose file it is: litellm.
        as_document: Print one JSON document.
    """
    try:
        rows = _rows(file, Variables(os.environ))
    except SettingsError as error:
        raise unusable_settings(error) from None
    if as_document:
        write(document(_as_document(file, source, rows)))
    else:
        _print(rows)
    return _status(rows)


def _rows(file: Path, environ: Mapping[str, str]) -> list[Difference]:
    loaded = read_document(str(file))
    unset = unset_variables(loaded, environ)
    complete = {**environ, **stand_ins(unset)}
    rows = compare(loaded, Variables(complete), unset)
    if not any(row.verdict == "stops" for row in rows):
        rows += _start({**complete, CONFIG_NAME: str(file)})
    return [*rows, *_own(environ)]


def _start(environ: Mapping[str, str]) -> Iterator[Difference]:
    """What would stop the start with this file, with all that is missing here in place."""
    own = {name: f"check:{secrets.token_urlsafe(32)}" for name in _RINGS} | {_STORE: _STAND_IN_STORE}
    try:
        settings, _ = load_with_notes({**own, **environ})
        build_catalog(settings)
    except (SettingsError, WiringError) as error:
        for line in str(error).splitlines():
            named = _PLACE.match(line)
            place, text = named.groups() if named else ("the file", line)
            yield Difference("setting", place, "stops", text)


def _own(environ: Mapping[str, str]) -> Iterator[Difference]:
    for name in (*_RINGS, _STORE):
        if not environ.get(name):
            how = (
                "it names the store that replicas share"
                if name == _STORE
                else "'cloakroom keys new' makes it"
            )
            yield Difference("setting", name, "do", f"is not set here: {how}")


def _print(rows: Sequence[Difference]) -> None:
    for number, (part, title) in enumerate(_TITLES.items()):
        shown = [(row.place, row.verdict, row.text) for row in rows if row.part == part]
        if not shown:
            continue
        if number:
            write("\n")
        columns = [Column(title, most=60), Column("VERDICT", styles=_STYLES), Column("WHAT CHANGES")]
        # A text is never shortened.
        print_lines(Columns(columns, width=None).lines(shown))
    tell("")
    for verdict, count in _counts(rows).items():
        tell(f"{count} {verdict}: {VERDICTS[verdict]}")


def _counts(rows: Sequence[Difference]) -> dict[Any, int]:
    counted = Counter(row.verdict for row in rows)
    return {verdict: counted[verdict] for verdict in VERDICTS if counted[verdict]}


def _as_document(file: Path, source: str, rows: Sequence[Difference]) -> dict[str, Any]:
    return {
        "object": "config_check",
        "file": str(file),
        "from": source,
        "starts": not any(row.verdict == "stops" for row in rows),
        "counts": _counts(rows),
        "differences": [
            {"part": row.part, "place": row.place, "verdict": row.verdict, "text": row.text} for row in rows
        ],
    }


def _status(rows: Sequence[Difference]) -> int:
    """Rows about clients do not count: only the team knows what its clients use."""
    verdicts = {row.verdict for row in rows if row.part != "client"}
    if "stops" in verdicts:
        return EXIT_FAILED
    return EXIT_OPEN if verdicts & {"do", "lost"} else EXIT_DONE
