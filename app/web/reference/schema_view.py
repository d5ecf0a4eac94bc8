"""A JSON Schema as a list of fields for people. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from app.web.reference.document import Document, resolve
from app.web.reference.markup import Html, el, inline, join

_NULL: Final = "null"

Schema = Mapping[str, Any]


def schema_view(document: Document, schema: Schema) -> Html:
    """The fields of an object, its variants, or what a plain value may be."""
    schema = flat(document, schema)
    variants = [flat(document, variant) for variant in _variants(schema)]
    if len(variants) == 1:
        return schema_view(document, variants[0])
    if variants:
        shown = (el("li", _head(variant), _body(document, variant)) for variant in variants)
        return join(el("p", "One of:", class_="type"), el("ul", *shown, class_="variants"))
    return _body(document, schema) or el("p", _plain(schema), class_="type")


def flat(document: Document, schema: Schema) -> Schema:
    """The schema with its reference taken in; what stands beside the reference wins."""
    while "$ref" in schema:
        beside = {name: value for name, value in schema.items() if name != "$ref"}
        schema = {**resolve(document, schema["$ref"]), **beside}
    return schema


def type_text(document: Document, schema: Schema) -> str:
    """``integer, 10 to 7200, or null`` and the like."""
    schema = flat(document, schema)
    null = _NULL in _types(schema) or any(_NULL in _types(variant) for variant in schema.get("anyOf", ()))
    variants = [flat(document, variant) for variant in _variants(schema)] or [schema]
    text = " or ".join(dict.fromkeys(_plain(variant) for variant in variants))
    return f"{text}, or null" if null and text != _NULL else text


def _variants(schema: Schema) -> list[Schema]:
    """What the value may be besides null."""
    return [variant for variant in schema.get("anyOf", ()) if _types(variant) != [_NULL]]


def _types(schema: Schema) -> list[str]:
    kind = schema.get("type", [])
    return [kind] if isinstance(kind, str) else list(kind)


def _plain(schema: Schema) -> str:
    if "const" in schema:
        return f"always {schema['const']}"
    if "enum" in schema:
        return " or ".join(str(value) for value in schema["enum"] if value is not None)
    text = " or ".join(kind for kind in _types(schema) if kind != _NULL) or "any value"
    if "minimum" in schema and "maximum" in schema:
        return f"{text}, {schema['minimum']} to {schema['maximum']}"
    return text


def _head(variant: Schema) -> Html | None:
    """A variant's name for itself, where its description does not give one."""
    return None if "description" in variant else el("p", _plain(variant), class_="type")


def _body(document: Document, schema: Schema) -> Html | None:
    about = el("p", inline(schema["description"]), class_="about-fields") if "description" in schema else None
    fields = list(_fields(document, schema))
    if not fields:
        return about
    return join(about, el("ul", *fields, class_="fields"))


def _fields(document: Document, schema: Schema) -> Iterator[Html]:
    required = set(schema.get("required", ()))
    for name, value in schema.get("properties", {}).items():
        field = flat(document, value)
        if _types(field) == [_NULL]:
            continue  # allowed for the sake of clients that send every field; nobody needs to be told
        nested = [flat(document, variant) for variant in _variants(field)] or [field]
        # An inner object is folded up; the outermost fields fit on a screen then.
        inner = [body for body in (_body(document, item) for item in nested if "properties" in item) if body]
        summary = "its fields" if len(inner) == 1 else "its forms"
        about = field.get("description")
        yield el(
            "li",
            el("code", name, class_="name"),
            Html(" "),
            el("span", type_text(document, field), class_="type"),
            el("span", "required", class_="required") if name in required else None,
            el("p", inline(about)) if about and not inner else None,
            el("details", el("summary", summary), *inner) if inner else None,
        )
