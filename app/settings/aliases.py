"""One model in the settings: its deployments, and the operator's policy for it.

It has three forms: ``alias: deployment``, ``alias: [deployment, deployment]``, or a ``ModelSettings``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Annotated, Any, Final

from pydantic import Field, model_validator
from pydantic_core import ErrorDetails

from app.broker.routing.catalog import ANY_MODEL
from app.broker.session_policy import usual_life
from app.models import LONGEST_CALL_SECONDS, MAX_KEY_SECONDS, MIN_KEY_SECONDS, SHORTEST_CALL_SECONDS
from app.settings.base import Section

MOST_POOLED: Final = 1000
# pydantic tells of each form of a model apart: models, alias, the form, and what is inside it.
_IN_A_FORM: Final = 3
_NOT_THIS_FORM: Final = frozenset({"string_type", "tuple_type", "model_type", "model_attributes_type"})


class ChoiceSettings(Section):
    """One of several deployments of a model."""

    deployment: str = Field(description="name of a deployment")
    priority: int = Field(default=0, ge=0, le=1000, description="the lowest number is tried first")
    weight: int = Field(default=1, ge=1, le=1000, description="share among those of one priority")


class PoolSettings(Section):
    """Keys of a model that are minted ahead."""

    target: int = Field(
        ge=1, le=MOST_POOLED, description="most keys in stock; there are fewer where fewer are wanted"
    )
    max_waste: float = Field(
        default=0.5,
        ge=0,
        le=0.95,
        description="share of an hour's minted keys that may be thrown away; then fewer are minted",
    )


class ModelSettings(Section):
    """One model, with a policy."""

    deployments: Annotated[tuple[str | ChoiceSettings, ...], Field(min_length=1)] = Field(
        description="where it is minted: names, or {deployment, priority, weight}"
    )
    defaults: dict[str, Any] = Field(
        default_factory=dict, description="session fields for callers who leave them out"
    )
    locked: dict[str, Any] = Field(
        default_factory=dict, description="session fields that no caller can change"
    )
    strip_instructions: bool = Field(
        default=False,
        description="keep instructions out of the mint answer, and of what a GPT-Live page sees",
    )
    min_seconds: int = Field(
        default=MIN_KEY_SECONDS, ge=MIN_KEY_SECONDS, le=MAX_KEY_SECONDS, description="shortest expires_after"
    )
    max_seconds: int = Field(
        default=MAX_KEY_SECONDS, ge=MIN_KEY_SECONDS, le=MAX_KEY_SECONDS, description="longest expires_after"
    )
    default_seconds: int | None = Field(
        default=None,
        ge=MIN_KEY_SECONDS,
        le=MAX_KEY_SECONDS,
        description="expires_after where the caller names none; default: the provider's",
    )
    max_calls: int | None = Field(
        default=None, ge=0, le=1000, description="calls a handle is good for; default: handle_max_calls"
    )
    max_call_seconds: int | None = Field(
        default=None,
        ge=SHORTEST_CALL_SECONDS,
        le=LONGEST_CALL_SECONDS,
        description="a call is hung up after so long; callers may ask for less; default: the service's",
    )
    metering: bool | None = Field(
        default=None, description="count the usage of its calls; default: the service's"
    )
    region: str | None = Field(
        default=None,
        description="a region that its calls never leave: all of its deployments must be in it",
    )
    successor: str | None = Field(
        default=None, description="another model, where this one is minted from successor_from on"
    )
    successor_from: date | None = Field(
        default=None, description="the day on which the successor takes over, at 00:00 UTC, as 2027-01-10"
    )
    pool: PoolSettings | None = Field(
        default=None,
        description="keys minted ahead, for mints that do not depend on their caller",
    )

    @model_validator(mode="before")
    @classmethod
    def _one_deployment(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("deployments"), str):
            return {**value, "deployments": (value["deployments"],)}
        return value

    @model_validator(mode="after")
    def _sound(self) -> ModelSettings:
        if self.min_seconds > self.max_seconds:
            raise ValueError("min_seconds is more than max_seconds")
        if self.default_seconds is not None and not (
            self.min_seconds <= self.default_seconds <= self.max_seconds
        ):
            raise ValueError("default_seconds is not between min_seconds and max_seconds")
        if (self.successor is None) != (self.successor_from is None):
            raise ValueError("successor and successor_from need each other: a model, and a day")
        if self.pool is not None:
            _check_life(self)
        for name in ("defaults", "locked"):
            if {"model", "type"} & getattr(self, name).keys():
                raise ValueError(f"{name} cannot hold 'model' or 'type': the alias and the path decide them")
        return self


def problems_in_place(problems: Iterable[ErrorDetails]) -> list[tuple[tuple[str, ...], str]]:
    """The place and the message of each problem; of a model, only those of the form that it is written in."""
    found: list[tuple[tuple[str, ...], str]] = []
    formless, written = dict[tuple[str, ...], None](), set[tuple[str, ...]]()
    for problem in problems:
        place, message = tuple(map(str, problem["loc"])), problem["msg"].removeprefix("Value error, ")
        if place[0] != "models" or len(place) < _IN_A_FORM:
            found.append((place, message))
        elif len(place) == _IN_A_FORM and problem["type"] in _NOT_THIS_FORM:
            formless[place[:2]] = None
        else:
            written.add(place[:2])
            found.append(((*place[:2], *place[_IN_A_FORM:]), message))
    told = "write a deployment's name, a list of names, or a section with deployments"
    return [*found, *((place, told) for place in formless if place not in written)]


def _check_life(model: ModelSettings) -> None:
    """Keys of a pool live twice as long as the usual handle, so that no handle gets shorter by it."""
    usual = usual_life(model)
    if 2 * usual > model.max_seconds:
        raise ValueError(
            f"pool mints keys that live twice as long as the usual handle, {usual} s, and max_seconds is "
            f"{model.max_seconds}; set default_seconds to {model.max_seconds // 2} or less"
        )


AnyModelSettings = str | Annotated[tuple[str, ...], Field(min_length=1)] | ModelSettings


def choices(entry: AnyModelSettings) -> Iterable[ChoiceSettings]:
    """The deployments of a model, whatever its form."""
    if isinstance(entry, str):
        names: Iterable[str | ChoiceSettings] = (entry,)
    else:
        names = entry.deployments if isinstance(entry, ModelSettings) else entry
    return [name if isinstance(name, ChoiceSettings) else ChoiceSettings(deployment=name) for name in names]


def successor_problems(models: Mapping[str, AnyModelSettings]) -> Iterator[str]:
    """A line for each successor that is not there, and for each that leads back to its predecessor."""
    for alias, entry in models.items():
        seen, name = {alias}, _successor(entry)
        if name is None:
            continue
        if alias == ANY_MODEL:
            yield "models.*.successor: any name has no successor; name the model that ends, and give it one"
        elif name == ANY_MODEL or (name not in models and ANY_MODEL not in models):
            known = ", ".join(sorted(other for other in models if other not in (alias, ANY_MODEL)))
            yield f"models.{alias}.successor: there is no model {name!r}; add it under models; known: {known}"
        while name is not None and name not in seen:
            seen.add(name)
            name = _successor(models.get(name))
        if name == alias:
            yield f"models.{alias}.successor: its successors lead back to it; let one of them have none"


def _successor(entry: AnyModelSettings | None) -> str | None:
    return entry.successor if isinstance(entry, ModelSettings) else None
