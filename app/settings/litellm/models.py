"""From LiteLLM's entries to model names: several entries of one name, and the other names they answer to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from app.redaction import one_safe_line
from app.settings.litellm.entry import LiteLlmEntry, LiteLlmNote

# LiteLLM's router weighs the deployments of a name by the first of these that they have.
_MEASURES: Final = ("weight", "rpm", "tpm")
# Our fields for a deployment's share of the load.
SHARE_FIELDS: Final = ("weight", "priority")


@dataclass(frozen=True, slots=True)
class Served:
    """An entry and the deployment that was made of it."""

    name: str
    entry: LiteLlmEntry
    deployment: Mapping[str, Any]


def model_groups(served: Sequence[Served]) -> dict[str, list[str]]:
    """``model_name`` to its deployments, in the file's order."""
    groups: dict[str, list[str]] = {}
    for one in served:
        groups.setdefault(one.entry.model_name, []).append(one.name)
    return groups


def with_shares(served: Sequence[Served]) -> Iterator[Served]:
    """Carry over what LiteLLM balances the load by: ``weight``, else rpm, else tpm; and ``order``.

    Only where a name has several deployments: elsewhere there is nothing to share.
    """
    groups = model_groups(served)
    for one in served:
        group = [other for other in served if other.entry.model_name == one.entry.model_name]
        if len(groups[one.entry.model_name]) < 2:
            yield one
            continue
        measure = next(
            (key for key in _MEASURES if any(_number(other, key) for other in group)), _MEASURES[0]
        )
        shares = zip(SHARE_FIELDS, (_number(one, measure), _number(one, "order")), strict=True)
        given = {key: value for key, value in shares if value is not None}
        yield replace(one, deployment={**given, **one.deployment})


def upstream_aliases(
    served: Sequence[Served], groups: Mapping[str, list[str]]
) -> tuple[dict[str, list[str]], list[LiteLlmNote]]:
    """The upstream form of each name, ``azure/DEPLOYMENT`` or ``openai/MODEL``, which LiteLLM takes too.

    It means the entries with that very form, not all of their ``model_name``. One that leads to different
    places under different names is no alias: it would be chance which one answers.
    """
    aliases: dict[str, list[str]] = {}
    notes: list[LiteLlmNote] = []
    by_form: dict[str, list[Served]] = {}
    for one in served:
        by_form.setdefault(one.entry.upstream, []).append(one)
    for form, those in by_form.items():
        names = sorted({one.entry.model_name for one in those})
        if form in groups:
            continue
        if len(names) == 1:
            aliases[form] = [one.name for one in those]
        elif all(_place(one) == _place(those[0]) for one in those):
            aliases[form] = [those[0].name]
        else:
            choices = one_safe_line(", ".join(names))
            text = f"is no name of a model, since it is several things here; ask for one of: {choices}"
            notes.append(LiteLlmNote("warning", one_safe_line(form, limit=80), text))
    return aliases, notes


def group_aliases(
    router_settings: Any, groups: Mapping[str, list[str]]
) -> tuple[dict[str, list[str]], list[LiteLlmNote]]:
    """The names of ``router_settings.model_group_alias`` that lead to a model served here."""
    aliases: dict[str, list[str]] = {}
    notes: list[LiteLlmNote] = []
    for alias, group in _group_aliases(router_settings):
        if group in groups and alias not in groups:
            aliases[alias] = groups[group]
            continue
        why = "a model has that name" if alias in groups else "it leads to no model that is served here"
        text = f"{one_safe_line(alias, limit=80)!r} is not taken: {why}"
        notes.append(LiteLlmNote("info", "router_settings.model_group_alias", text))
    return aliases, notes


def _group_aliases(router_settings: Any) -> Iterator[tuple[str, str]]:
    written = router_settings.get("model_group_alias") if isinstance(router_settings, dict) else None
    for alias, target in written.items() if isinstance(written, dict) else ():
        group = target.get("model") if isinstance(target, dict) else target
        yield str(alias), str(group)


def _place(one: Served) -> Mapping[str, Any]:
    """What the deployment is, without its share of the load."""
    return {key: value for key, value in one.deployment.items() if key not in SHARE_FIELDS}


def _number(one: Served, key: str) -> int | None:
    """A number of ``litellm_params``; a share that is none, or a reference, is as good as not set."""
    value = one.entry.params.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
