"""Compares a LiteLLM file with what is served of it here: one row for each entry, setting, key and path."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.settings.base import SettingsError
from app.settings.litellm.config import MODEL_LIST, Reading, is_litellm, read_entries, read_litellm
from app.settings.litellm.deployment import unused_keys
from app.settings.litellm.differences import (
    Difference,
    Meaning,
    Part,
    client_differences,
    meaning_in_entry,
    meaning_of,
)
from app.settings.litellm.entry import entry_place
from app.settings.litellm.sections import LiteLlmNote
from app.telemetry.redaction import one_safe_line

_VARIABLE: Final = "os.environ/"
_SECTIONS: Final = ("general_settings", "litellm_settings", "router_settings")
# Read as a whole, with rows of their own.
_READ_WHOLE: Final = (MODEL_LIST, "credential_list")
# Rows about these come from the notes, which say more.
_NO_NAME: Final = "is not a model's name"
_ALIASES: Final = "router_settings.model_group_alias"
_MASTER_KEY: Final = "general_settings.master_key"
_BY_NOTE: Final = ("master_key", "model_group_alias")
_METRICS: Final = frozenset({"prometheus", "prometheus_system", "otel", "arize_phoenix"})
_STAND_IN: Final = "not-set-0123456789abcdefghij"
_STAND_IN_URL: Final = "https://not-set.example"


@dataclass(frozen=True, slots=True)
class Unset:
    """A variable that a place of the file names and that is not set where the check runs."""

    place: str
    key: str
    name: str


def unset_variables(loaded: Any, environ: Mapping[str, str]) -> tuple[Unset, ...]:
    """The variables that entries, shared credentials and the master key name, and that are not set."""
    return tuple(_unset(loaded, environ)) if isinstance(loaded, dict) else ()


def stand_ins(unset: Collection[Unset]) -> dict[str, str]:
    """A value for each variable that is not set, so that everything else can be checked."""
    return {one.name: _STAND_IN_URL if "base" in one.key else _STAND_IN for one in unset}


def compare(loaded: Any, environ: Mapping[str, str], unset: Sequence[Unset] = ()) -> list[Difference]:
    """Every difference between LiteLLM with this file and Cloakroom with it, in the file's order.

    Args:
        loaded: the file, parsed.
        environ: the variables, with a stand-in for each of those that are not set.
        unset: those that have a stand-in.

    Raises:
        SettingsError: it is no file of LiteLLM's.
    """
    if not isinstance(loaded, dict) or not is_litellm(loaded):
        raise SettingsError("the file is not LiteLLM's: it has neither a model_list nor one of its sections")
    reading = read_entries(loaded, environ)
    return [
        *_models(loaded, reading, unset),
        *_rest(loaded, reading, environ),
        *_settings(loaded, unset),
        *client_differences(),
    ]


def _unset(loaded: Mapping[str, Any], environ: Mapping[str, str]) -> Iterator[Unset]:
    own = loaded.get("environment_variables")
    known = own if isinstance(own, dict) else {}
    parts = [("credential_list", "", loaded.get("credential_list"))]
    entries = loaded.get(MODEL_LIST)
    for number, raw in enumerate(entries if isinstance(entries, list) else (), start=1):
        parts.append((entry_place(number, raw), "", raw))
    parts.append((_MASTER_KEY, "", _written(loaded, _MASTER_KEY)))
    for part in parts:
        for one in _named(*part):
            # A mapping of files is asked, not listed.
            if one.name not in environ and one.name not in known:
                yield one


def _named(place: str, key: str, value: Any) -> Iterator[Unset]:
    """Every variable that a value names, at any depth."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _named(place, str(name), item)
    elif isinstance(value, list):
        for item in value:
            yield from _named(place, key, item)
    elif isinstance(value, str) and value.strip().startswith(_VARIABLE):
        yield Unset(place, key, value.strip().removeprefix(_VARIABLE))


def _models(loaded: Mapping[str, Any], reading: Reading, unset: Sequence[Unset]) -> Iterator[Difference]:
    entries = {one.entry.place: one.entry for one in reading.served}
    for number, raw in enumerate(loaded.get(MODEL_LIST) or (), start=1):
        place = entry_place(number, raw)
        for problem in reading.problems:
            if problem.startswith(f"{place}: "):
                yield Difference("model", place, "stops", problem.removeprefix(f"{place}: "))
        notes = [note for note in reading.notes if note.entry == place]
        yield from (_of_entry(note) for note in notes if not note.text.startswith("not used: "))
        if all(note.reason is None for note in notes):
            yield from _variables("model", place, unset)
        if place in entries:
            yield from _unused(place, unused_keys(entries[place]))


def _of_entry(note: LiteLlmNote) -> Difference:
    if note.reason is not None:
        return Difference("model", note.entry, "do" if note.level == "warning" else "stays", note.text)
    if note.text.startswith("served as "):
        return Difference("model", note.entry, "same", note.text)
    return Difference("model", note.entry, "do" if note.level == "warning" else "differs", note.text)


def _unused(place: str, keys: Sequence[str]) -> Iterator[Difference]:
    others = []
    for key in keys:
        meaning = meaning_in_entry(key)
        if meaning is None:
            others.append(key)
        else:
            yield meaning.at(place, key=key)
    if others:
        text = f"no effect on a realtime call: {one_safe_line(', '.join(others))}"
        yield Difference("model", place, "differs", text)


def _variables(part: Part, place: str, unset: Sequence[Unset]) -> Iterator[Difference]:
    for name in dict.fromkeys(one.name for one in unset if one.place == place):
        # It may be the key itself, written behind the prefix.
        shown = one_safe_line(name, limit=80)
        text = f"the variable {shown} is not set here: set it where Cloakroom runs"
        yield Difference(part, place, "do", text)


def _rest(loaded: Mapping[str, Any], reading: Reading, environ: Mapping[str, str]) -> Iterator[Difference]:
    """What the file as a whole comes to: names that lead nowhere, and the master key."""
    if reading.problems:
        return
    try:
        values, notes = read_litellm(loaded, environ)
    except SettingsError as error:
        yield Difference("model", MODEL_LIST, "stops", str(error).splitlines()[0])
        return
    # Those of the entries have their rows.
    others = [note for note in notes if note not in reading.notes]
    for note in others:
        if note.entry == _MASTER_KEY:
            yield Difference("key", note.entry, "do" if note.level == "warning" else "differs", note.text)
        elif note.entry == _ALIASES or note.text.startswith(_NO_NAME):
            yield Difference("model", note.entry, "do", note.text)
    if _written(loaded, _ALIASES) and all(note.entry != _ALIASES for note in others):
        yield Difference("model", _ALIASES, "same", "each of its names leads to a model that is served here")
    default = values.get("default_model")
    if default is None:
        text = "is refused, since several are served; CLOAKROOM_DEFAULT_MODEL names one"
    else:
        text = f"means {one_safe_line(str(default), limit=80)}, the only realtime model"
    yield Difference("model", "a mint without a model", "differs", text)


def _written(loaded: Mapping[str, Any], place: str) -> Any:
    """What stands at ``section.name``; None where there is nothing."""
    section, _, name = place.partition(".")
    found = loaded.get(section)
    return found.get(name) if isinstance(found, dict) else None


def _settings(loaded: Mapping[str, Any], unset: Sequence[Unset]) -> Iterator[Difference]:
    yield from _variables("key", _MASTER_KEY, unset)
    yield from _variables("setting", "credential_list", unset)
    for section, value in loaded.items():
        if section in _READ_WHOLE:
            continue
        if section not in _SECTIONS:
            yield _of_setting(one_safe_line(str(section), limit=80), str(section), value)
            continue
        for name, item in value.items() if isinstance(value, dict) else ():
            if name not in _BY_NOTE:
                yield _of_setting(f"{section}.{one_safe_line(str(name), limit=80)}", str(name), item)


def _of_setting(place: str, name: str, value: Any) -> Difference:
    meaning = _by_value(name, value) or meaning_of(name)
    if not value and meaning.verdict in ("do", "lost"):
        return Difference(meaning.part, place, "differs", "is off or empty, so nothing changes")
    return meaning.at(place)


def _by_value(name: str, value: Any) -> Meaning | None:
    """Settings whose value decides what they mean here."""
    if name == "routing_strategy":
        if value == "simple-shuffle":
            return Meaning("setting", "same", "entries of one name share the load by weight, rpm or tpm")
        text = "entries of one name share the load by weight, rpm or tpm, not by use, latency or cost"
        return Meaning("setting", "lost", text)
    if (
        name.endswith(("callback", "callbacks"))
        and isinstance(value, list)
        and _METRICS.issuperset(map(str, value))
    ):
        return Meaning("setting", "differs", "built in: /metrics, and traces with cloakroom[otel]")
    return None
