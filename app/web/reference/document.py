"""Merges the reference from its parts and checks it. Pure but for reading the parts."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any, Final

import yaml

# In the order of the page.
PARTS: Final = (
    "info",
    "mint",
    "mint_schemas",
    "exchange",
    "calls",
    "live",
    "ice",
    "lookup",
    "report",
    "hangup",
    "sideband",
    "operations",
    "admin",
    "admin_schemas",
    "errors",
    "responses",
    "headers",
    "security",
)
METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
# libyaml, where the wheel has it, is ten times as fast.
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Document = Mapping[str, Any]


class DocumentError(ValueError):
    """A part of the reference is broken."""


def load_document(public_url: str | None) -> Document:
    """Return the whole document, with ``public_url``, if there is one, as its server.

    Raises:
        DocumentError: says what is wrong.
    """
    document = _document()
    if public_url is None:
        return document
    servers = [{"url": public_url, "description": "This service."}]
    return {name: servers if name == "servers" else value for name, value in document.items()}


@functools.cache
def _document() -> Document:
    folder = files(__package__).joinpath("parts")
    texts = [folder.joinpath(f"{name}.yaml").read_bytes() for name in PARTS]
    document = merge(yaml.load(text, _LOADER) for text in texts)  # noqa: S506 - a safe loader
    check(document)
    return document


def merge(parts: Iterator[Mapping[str, Any]]) -> dict[str, Any]:
    """Merge the parts: their paths, and their components by kind.

    Top-level keys ``x-...`` hold what a part repeats. They are left out.

    Raises:
        DocumentError: two parts define the same thing.
    """
    merged: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            if name == "paths":
                _add(merged.setdefault("paths", {}), value, "paths")
            elif name == "components":
                for kind, things in value.items():
                    _add(merged.setdefault("components", {}).setdefault(kind, {}), things, kind)
            elif not name.startswith("x-"):
                _add(merged, {name: value}, "document")
    return merged


def _add(to: dict[str, Any], things: Mapping[str, Any], where: str) -> None:
    for name, value in things.items():
        if name in to:
            raise DocumentError(f"{where}: {name} is there twice")
        to[name] = value


def check(document: Document) -> None:
    """Check that every reference resolves and that every operation can be shown.

    Raises:
        DocumentError
    """
    for reference in references(document):
        resolve(document, reference)
    tags = {tag["name"] for tag in document["tags"]}
    seen: set[str] = set()
    for path, method, operation in operations(document):
        where = f"{method.upper()} {path}"
        for field in ("operationId", "summary", "tags", "responses"):
            if not operation.get(field):
                raise DocumentError(f"{where} has no {field}")
        if operation["operationId"] in seen:
            raise DocumentError(f"{where}: the operationId {operation['operationId']} is there twice")
        seen.add(operation["operationId"])
        if not set(operation["tags"]) <= tags:
            raise DocumentError(f"{where} has a tag that is not in tags")


def operations(document: Document) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Every (path, method in lower case, operation)."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def references(value: Any) -> Iterator[str]:
    """Every ``$ref`` below this value."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if name == "$ref" and isinstance(inner, str):
                yield inner
            else:
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def resolve(document: Document, reference: str) -> Any:
    """What a reference points to; it must be in this document.

    Raises:
        DocumentError: it points to nothing.
    """
    if not reference.startswith("#/"):
        raise DocumentError(f"{reference} is no reference into this document")
    value: Any = document
    for step in reference[2:].split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(value, Mapping) or name not in value:
            raise DocumentError(f"{reference} leads nowhere")
        value = value[name]
    return value


def flat(document: Document, value: Mapping[str, Any]) -> Mapping[str, Any]:
    """The value with its ``$ref`` resolved; what is beside the reference wins."""
    while "$ref" in value:
        beside = {name: item for name, item in value.items() if name != "$ref"}
        value = {**resolve(document, value["$ref"]), **beside}
    return value
