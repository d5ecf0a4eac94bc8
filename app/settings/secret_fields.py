"""Which settings are secrets, by their types: every ``SecretStr``, however deep it lies. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr

from app.settings.model import Settings


def has_secret(path: Sequence[str]) -> bool:
    """Whether the setting at this path is a secret, or a section that can hold one.

    Args:
        path: names of fields, and of the entries of mappings: ``("deployments", "openai", "api_key")``.
    """
    return any(_holds_secret(found) for found in _types_at(Settings, tuple(path)))


def is_secret_field(path: Sequence[str]) -> bool:
    """Whether the setting at this path is itself a secret."""
    return SecretStr in _types_at(Settings, tuple(path))


def secret_paths(annotation: Any = Settings) -> Iterator[tuple[str, ...]]:
    """The path of every secret; ``*`` stands for the name of a mapping's entry, or for a list's number."""
    for found in _alternatives(annotation):
        if found is SecretStr:
            yield ()
        elif _is_section(found):
            for name, field in found.model_fields.items():
                yield from ((name, *rest) for rest in secret_paths(field.annotation))
        else:
            inner = _entry_type(found)
            if inner is not None:
                yield from (("*", *rest) for rest in secret_paths(inner))


@cache
def _holds_secret(annotation: Any) -> bool:
    return next(secret_paths(annotation), None) is not None


def _types_at(annotation: Any, path: tuple[str, ...]) -> list[Any]:
    """The types that the setting at this path may have; none where there is no such setting."""
    if not path:
        return list(_alternatives(annotation))
    name, rest, found = path[0], path[1:], list[Any]()
    for each in _alternatives(annotation):
        if _is_section(each):
            if name in each.model_fields:
                found += _types_at(each.model_fields[name].annotation, rest)
        elif name and (inner := _entry_type(each)) is not None:
            found += _types_at(inner, rest)
    return found


def _alternatives(annotation: Any) -> Iterator[Any]:
    """The members of a union; any other type is its only one."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for member in get_args(annotation):
            yield from _alternatives(member)
    else:
        yield annotation


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _entry_type(annotation: Any) -> Any | None:
    """The type of the entries of a mapping or a list; None for a type that has none."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is None or not arguments or not isinstance(origin, type):
        return None
    if issubclass(origin, Mapping):
        return arguments[1]
    return arguments[0] if issubclass(origin, tuple | list) else None
