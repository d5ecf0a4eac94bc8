"""Reads LiteLLM's ``config.yaml``: its realtime models become deployments, models and a client.

The result has the shape of our own YAML, so the environment still wins over it and the same rules check it.
A mistake is an error, as in our own file. Entries that are not realtime models and values without a
counterpart here are left out with a note. Sources: LiteLLM's pages "Config.yaml", "/realtime" and
"Router - Load Balancing", and LiteLLM's source 1.110.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from app.settings.base import SettingsError
from app.settings.litellm.deployment import (
    NotServed,
    deployment_name,
    entry_notes,
    read_deployment,
    try_deployment,
)
from app.settings.litellm.entry import LiteLlmEntry, entry_place, left_out, other_mode, read_entry
from app.settings.litellm.models import Served, as_model, group_aliases, model_groups, upstream_aliases
from app.settings.litellm.sections import (
    LiteLlmEnvironment,
    LiteLlmNote,
    check_credential,
    master_client,
    section_notes,
    shared_credentials,
    wants_ambient_entra,
    with_credential,
)

MODEL_LIST: Final = "model_list"
# A file without a model_list has its models elsewhere (``include``, a database), and is refused as LiteLLM's.
_MARKS: Final = (MODEL_LIST, "litellm_settings", "general_settings", "router_settings")


@dataclass
class Reading:
    """What became of the entries so far: served, left out with a note, or a problem that stops the start."""

    environment: LiteLlmEnvironment
    credentials: Mapping[str, Mapping[str, Any]]
    ambient_entra: bool
    served: list[Served] = field(default_factory=list)
    notes: list[LiteLlmNote] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def is_litellm(loaded: Mapping[str, Any]) -> bool:
    """Whether a YAML file is LiteLLM's: none of these is a key of ours."""
    return any(key in loaded for key in _MARKS)


def read_litellm(
    loaded: Mapping[str, Any], environ: Mapping[str, str]
) -> tuple[dict[str, Any], list[LiteLlmNote]]:
    """Return the settings of a LiteLLM file in the shape of our own YAML, and the notes on it.

    Raises:
        SettingsError: a value is missing, or no entry is a realtime model; one line per problem.
    """
    reading = read_entries(loaded, environ)
    if reading.problems:
        raise SettingsError("\n".join(reading.problems))
    if not reading.served:
        elsewhere = [note for note in section_notes(loaded) if note.level == "warning"]
        lines = ["model_list: no entry is a realtime model that is served here"]
        raise SettingsError("\n".join([*lines, *map(str, reading.notes), *map(str, elsewhere)]))
    groups = model_groups(reading.served)
    forms, form_notes = upstream_aliases(reading.served, groups)
    aliases, alias_notes = group_aliases(loaded.get("router_settings"), groups)
    clients, client_notes = master_client(loaded.get("general_settings"), reading.environment)
    values: dict[str, Any] = {
        "deployments": {served.name: served.deployment for served in reading.served},
        "models": {**{name: as_model(group) for name, group in groups.items()}, **forms, **aliases},
        **clients,
    }
    default = _only_talking(reading.served)
    if default is not None:
        values["default_model"] = default
    return values, [*reading.notes, *form_notes, *alias_notes, *client_notes, *section_notes(loaded)]


def read_entries(loaded: Mapping[str, Any], environ: Mapping[str, str]) -> Reading:
    """Read every entry of the ``model_list``, each by itself.

    Raises:
        SettingsError: the ``model_list`` is no list.
    """
    environment = LiteLlmEnvironment(environ, loaded.get("environment_variables"))
    reading = Reading(
        environment, shared_credentials(loaded.get("credential_list")), wants_ambient_entra(loaded)
    )
    for number, raw in enumerate(_entries(loaded.get(MODEL_LIST)), start=1):
        _read_one(reading, number, raw)
    return reading


def _only_talking(served: Iterable[Served]) -> str | None:
    """The only realtime model, which a request without a model must mean; None where there are several.

    Entries that do not say what they are do not count beside one that does: most of them are for chat.
    """
    said = {one.entry.model_name for one in served if one.entry.kind == "realtime"}
    talking = said or {one.entry.model_name for one in served if one.entry.kind is None}
    return talking.pop() if len(talking) == 1 else None


def _entries(model_list: Any) -> Iterable[Any]:
    if model_list is None:
        return []
    if not isinstance(model_list, list):
        raise SettingsError("model_list: must be a list of entries with model_name and litellm_params")
    return model_list


def _read_one(reading: Reading, number: int, raw: Any) -> None:
    place = entry_place(number, raw)
    mode = other_mode(raw)
    if mode is not None:
        reading.notes.append(LiteLlmNote.leaving_out("info", place, f"its model_info.mode is {mode}"))
        return
    entry: LiteLlmEntry | None = None
    try:
        entry = read_entry(place, with_credential(raw, reading.credentials), reading.environment)
        note = left_out(entry)
        if note is not None:
            reading.notes.append(note)
            return
        check_credential(place, entry.params, reading.credentials)
        deployment = read_deployment(entry, reading.environment, ambient_entra=reading.ambient_entra)
        if not entry.is_meant:
            try_deployment(place, deployment)
        _serve(reading, entry, deployment)
    except SettingsError as error:
        if entry is None or entry.is_meant:
            reading.problems.append(str(error))
            return
        # It may be a model for chat or for uploaded files, which LiteLLM serves too.
        why = str(error).removeprefix(f"{place}: ")
        if entry.kind is None:
            why += "; correct it, or set model_info.mode to what it is"
        reading.notes.append(LiteLlmNote.leaving_out("warning", place, why))
    except NotServed as reason:
        reading.notes.append(LiteLlmNote.leaving_out("warning", place, str(reason)))


def _serve(reading: Reading, entry: LiteLlmEntry, deployment: dict[str, Any]) -> None:
    taken = {served.name for served in reading.served}
    name = deployment_name(entry, deployment)
    if name in taken and name == entry.info.get("id"):
        raise SettingsError(f"{entry.place}: model_info.id {name!r} appears twice")
    name = _unused(name, taken)
    reading.served.append(Served(name, entry, deployment))
    if entry.kind is None:
        how = "because nothing says that it is not a realtime model; model_info.mode can say what it is"
    else:
        how = f"a {entry.kind} model" + ("" if entry.says_mode else " by its name")
    text = f"served as deployment '{name}', {how}"
    reading.notes += [LiteLlmNote("info", entry.place, text), *entry_notes(entry)]


def _unused(name: str, taken: Container[str]) -> str:
    """``name``, or ``name-2`` and so on.

    Two deployments of one name are one address and one model with two keys. So no offer goes to a wrong place
    if their order differs between two versions of the file.
    """
    number, candidate = 1, name
    while candidate in taken:
        number += 1
        candidate = f"{name}-{number}"
    return candidate
