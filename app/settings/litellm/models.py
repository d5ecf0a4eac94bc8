"""The model names of LiteLLM's entries: several entries of one name, and their other names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.settings.litellm.entry import LiteLlmEntry
from app.settings.litellm.sections import LiteLlmNote
from app.telemetry.redaction import one_safe_line

# LiteLLM's router weights the deployments of a name by the first of these that they have.
_MEASURES: Final = ("weight", "rpm", "tpm")
# In our own ``models``, this takes every name.
ANY_MODEL: Final = "*"
# The highest weight in our settings; requests or tokens per minute can be higher.
_MOST_WEIGHT: Final = 1000


@dataclass(frozen=True, slots=True)
class Served:
    """An entry and its deployment in our settings."""

    name: str
    entry: LiteLlmEntry
    deployment: Mapping[str, Any]


def model_groups(served: Iterable[Served]) -> dict[str, list[Served]]:
    """``model_name`` to its entries, in the file's order."""
    groups: dict[str, list[Served]] = {}
    for one in served:
        groups.setdefault(one.entry.model_name, []).append(one)
    return groups


def as_model(group: Sequence[Served]) -> Any:
    """The entries of one name in the shape of our own YAML's ``models``, with their shares of the load.

    LiteLLM takes the entries of the lowest ``order`` first and shares between them by weight, else rpm, else
    tpm. Priority and weight do the same here.
    """
    names = [one.name for one in group]
    if len(group) == 1:
        return names[0]
    measure = next((key for key in _MEASURES if any(_number(one, key) for one in group)), None)
    shares = [_number(one, measure) or 1 if measure else 1 for one in group]
    scale = min(1.0, _MOST_WEIGHT / max(shares))
    orders = [_number(one, "order") for one in group]
    ranks = sorted({order for order in orders if order is not None})
    if measure is None and not ranks:
        return names
    return {
        "deployments": [
            {
                "deployment": name,
                # An entry without an order comes last.
                "priority": ranks.index(order) if order is not None else len(ranks),
                "weight": max(1, round(share * scale)),
            }
            for name, order, share in zip(names, orders, shares, strict=True)
        ]
    }


def upstream_aliases(
    served: Iterable[Served], groups: Mapping[str, Sequence[Served]]
) -> tuple[dict[str, Any], list[LiteLlmNote]]:
    """The upstream form of each name, ``azure/DEPLOYMENT`` or ``openai/MODEL``, which LiteLLM accepts too.

    It means the entries with exactly that form, not all entries of their ``model_name``. A form that leads to
    different places under different names is no alias, since chance would decide which one answers.
    """
    aliases: dict[str, Any] = {}
    notes: list[LiteLlmNote] = []
    by_form: dict[str, list[Served]] = {}
    for one in served:
        by_form.setdefault(one.entry.upstream, []).append(one)
    for form, those in by_form.items():
        names = sorted({one.entry.model_name for one in those})
        if form in groups:
            continue
        if len(names) == 1:
            aliases[form] = as_model(those)
        elif all(one.deployment == those[0].deployment for one in those):
            aliases[form] = those[0].name
        else:
            choices = one_safe_line(", ".join(names))
            text = f"is not a model's name, because it leads to several models; ask for one of: {choices}"
            notes.append(LiteLlmNote("warning", one_safe_line(form, limit=80), text))
    return aliases, notes


def group_aliases(
    router_settings: Any, groups: Mapping[str, Sequence[Served]]
) -> tuple[dict[str, Any], list[LiteLlmNote]]:
    """The names of ``router_settings.model_group_alias`` that lead to a model served here."""
    aliases: dict[str, Any] = {}
    notes: list[LiteLlmNote] = []
    for alias, group in _group_aliases(router_settings):
        if alias in groups:
            why = "a model has that name"
        elif alias == ANY_MODEL:
            # To LiteLLM it is a name like any other; in our models it would take every name.
            why = "it is a wildcard"
        elif group not in groups:
            why = "it leads to no model that is served here"
        else:
            aliases[alias] = as_model(groups[group])
            continue
        text = f"{one_safe_line(alias, limit=80)!r} is not taken: {why}"
        notes.append(LiteLlmNote("info", "router_settings.model_group_alias", text))
    return aliases, notes


def _group_aliases(router_settings: Any) -> Iterator[tuple[str, str]]:
    written = router_settings.get("model_group_alias") if isinstance(router_settings, dict) else None
    for alias, target in written.items() if isinstance(written, dict) else ():
        group = target.get("model") if isinstance(target, dict) else target
        yield str(alias), str(group)


def _number(one: Served, key: str) -> int | None:
    """A positive number of ``litellm_params``; None for any other value, such as a reference."""
    value = one.entry.params.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
