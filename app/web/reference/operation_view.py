"""One operation of the document as a part of the page. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from app.web.reference.curl import curl
from app.web.reference.document import Document, references
from app.web.reference.markup import Html, el, inline, join, markdown
from app.web.reference.schema_view import flat, schema_view, type_text

_PROVIDER: Final = "#/components/schemas/ProviderError"
# Told once for all answers, at the top of the page.
_EVERYWHERE: Final = frozenset(
    {"x-request-id", "Vary", "Cache-Control", "X-Content-Type-Options", "x-cloakroom-replica"}
)
_SHOWN_AS: Final = {"4XX": "other 4xx", "5XX": "other 5xx"}


def operation_view(document: Document, path: str, method: str, operation: Mapping[str, Any]) -> Html:
    """Everything about one operation."""
    name = operation["operationId"]
    deprecated = operation.get("deprecated", False)
    return el(
        "article",
        el(
            "h3",
            el("span", method.upper(), class_=f"method {method}"),
            Html(" "),
            el("code", *_breakable(path)),
            el("a", "#", href=f"#{name}", aria_label=f"Link to {method.upper()} {path}", class_="anchor"),
        ),
        el(
            "p",
            operation["summary"],
            el("span", "for older pages", class_="badge") if deprecated else None,
            class_="summary",
        ),
        markdown(operation.get("description", "")),
        el("h4", "Credential"),
        el("p", _credential(document, operation)),
        _parameters(document, operation),
        _request(document, operation),
        el("h4", "Try it"),
        el("pre", el("code", curl(document, path, method, operation)), class_="command"),
        el("h4", "Answers"),
        el("ul", *(_answer(document, *item) for item in _by_status(operation)), class_="answers"),
        id=name,
        aria_label=operation["summary"],
    )


def code_block(text: str, label: str) -> Html:
    """Text as it is typed or sent; it scrolls sideways, so it takes the keyboard's focus."""
    return el("pre", el("code", text), tabindex="0", role="region", aria_label=label)


def _breakable(path: str) -> Iterator[str]:
    """A path that may break before each slash."""
    for part in path.split("/")[1:]:
        yield Html("<wbr>")
        yield f"/{part}"


def _credential(document: Document, operation: Mapping[str, Any]) -> Html:
    schemes = [name for choice in operation.get("security", []) for name in choice]
    if not schemes:
        return join("None.")
    ways = []
    for name in schemes:
        scheme = document["components"]["securitySchemes"][name]
        what = "handle" if "handle" in name.lower() else "client key"
        header = f"{scheme['name']}: " if scheme["type"] == "apiKey" else "Authorization: Bearer "
        ways.append(el("code", f"{header}<{what}>"))
    return _listed(ways)


def _listed(pieces: list[Html]) -> Html:
    listed: list[str] = []
    for piece in pieces:
        listed += [", or ", piece] if listed else [piece]
    return join(*listed)


def _parameters(document: Document, operation: Mapping[str, Any]) -> Html | None:
    rows = []
    for given in operation.get("parameters", ()):
        parameter = flat(document, given)
        rows.append(
            el(
                "li",
                el("code", parameter["name"], class_="name"),
                Html(" "),
                el("span", f"{parameter['in']}, {type_text(document, parameter['schema'])}", class_="type"),
                el("span", "required", class_="required") if parameter.get("required") else None,
                el("p", inline(parameter["description"])),
            )
        )
    return join(el("h4", "Parameters"), el("ul", *rows, class_="fields")) if rows else None


def _request(document: Document, operation: Mapping[str, Any]) -> Html | None:
    if "requestBody" not in operation:
        return None
    parts: list[Html] = [el("h4", "Request")]
    for media_type, content in operation["requestBody"]["content"].items():
        parts.append(el("p", el("code", media_type), class_="media"))
        parts.append(schema_view(document, content["schema"]))
        parts += _examples(content, media_type)
    return join(*parts)


def _by_status(operation: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """What went well first, and "other 4xx" after those that are named."""
    return sorted(operation["responses"].items())


def _answer(document: Document, status: str, response: Mapping[str, Any]) -> Html:
    answer = flat(document, response)
    parts: list[Html] = []
    for name, header in answer.get("headers", {}).items():
        if name not in _EVERYWHERE:
            about = flat(document, header)["description"]
            parts.append(el("li", el("code", name), Html(" "), inline(about)))
    headers = el("ul", *parts, class_="headers") if parts else None
    bodies: list[Html] = []
    for media_type, content in answer.get("content", {}).items():
        bodies.append(el("p", el("code", media_type), class_="media"))
        if status.startswith("2"):
            bodies.append(schema_view(document, content["schema"]))
        bodies += _examples(content, f"{status} {media_type}")
    codes = list(_codes(answer))
    shown_codes = el("p", *codes, class_="codes") if codes else None
    went_well = status.startswith("2")
    more = (
        el(
            "details",
            el("summary", "headers and body" if went_well else "an example"),
            headers,
            *bodies,
            open="" if went_well else None,
        )
        if headers or bodies
        else None
    )
    return el(
        "li",
        el("span", _SHOWN_AS.get(status, status), class_=f"status s{status[0]}"),
        el("div", el("p", inline(answer["description"])), shown_codes, more),
    )


def _codes(answer: Mapping[str, Any]) -> Iterator[Html]:
    """The codes of ours that an error answer may have, and a word for the provider's own."""
    for content in answer.get("content", {}).values():
        schema = content["schema"]
        for variant in schema.get("anyOf", [schema]):
            error = variant.get("properties", {}).get("error", {}).get("properties", {})
            yield from (el("code", code) for code in error.get("code", {}).get("enum", ()))
        if _PROVIDER in set(references(schema)):
            yield el("span", "or the provider's own")


def _examples(content: Mapping[str, Any], label: str) -> Iterator[Html]:
    if "example" in content:
        yield code_block(shown(content["example"]), f"Example, {label}")
    for example in content.get("examples", {}).values():
        yield el("p", example["summary"], class_="caption")
        yield code_block(shown(example["value"]), f"Example, {example['summary']}")


def shown(value: Any) -> str:
    """An example as it goes over the wire, with line breaks for people."""
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
