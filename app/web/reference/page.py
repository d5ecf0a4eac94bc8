"""The reference as one page of HTML, without scripts and without anything loaded from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from importlib.resources import files
from typing import Any, Final

from markdown_it import MarkdownIt

from app.web.reference.document import Document, flat, operations, references

Json = Mapping[str, Any]

STYLE: Final = files(__package__).joinpath("page.css").read_text(encoding="utf-8")
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
# A number sign would end the URL, hence rgb().
_ICON: Final = (
    "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'>"
    "<rect width='32' height='32' rx='8' fill='rgb(11,110,99)'/>"
    "<path d='M13.4 10.6a2.6 2.6 0 1 1 3.9 2.2c-.9.5-1.3 1-1.3 2v.6l-8.6 5.3c-1.4.9-.8 2.8.8 2.8h15.6"
    "c1.6 0 2.2-1.9.8-2.8L16 15.4' fill='none' stroke='white' stroke-width='2' stroke-linecap='round' "
    "stroke-linejoin='round'/></svg>"
)
_PROVIDER: Final = "#/components/schemas/ProviderError"
# Explained once for all responses, at the top of the page.
_EVERYWHERE: Final = frozenset(
    {"x-request-id", "Vary", "Cache-Control", "X-Content-Type-Options", "x-cloakroom-replica"}
)
# A word in the security scheme's name, the credential, and its variable in the example's shell.
_CREDENTIALS: Final = (("admin", "admin key"), ("handle", "handle"), ("", "client key"))
# Raw HTML in a description would be a mistake, so it is shown as text.
_MARKDOWN: Final = MarkdownIt("commonmark", {"html": False}).enable("table")


def page(document: Document) -> str:
    """The whole HTML."""
    info, url = document["info"], document["servers"][0]["url"]
    intro, *guide = info["description"].split("\n## ")
    sections = [(title, _prose(text)) for title, _, text in (part.partition("\n") for part in guide)]
    codes = _prose(document["components"]["schemas"]["ErrorCode"]["description"])
    table = f'<div class="wide" tabindex="0" role="region" aria-label="Table of error codes">{codes}</div>'
    contents = _contents(document, [title for title, _ in sections])
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(info["title"])}: API reference</title>
<link rel="icon" href="{escape(_ICON)}">
<style>{STYLE}</style></head>
<body><a class="skip" href="#group-{_slug(document["tags"][0]["name"])}">Skip to the endpoints</a>
<header><img src="{escape(_ICON)}" alt="" width="40" height="40">
<div><h1>{escape(info["title"])} API</h1><p>{escape(info["summary"])}</p></div>
<a href="openapi.json" class="raw">openapi.json</a></header>
<nav class="narrow" aria-label="Contents"><details><summary>Contents</summary>{contents}</details></nav>
<nav class="wide-only" aria-label="Contents">{contents}</nav>
<main><div class="card">{_prose(intro)}{f"<p>Base URL: {_code(url)}</p>" if url != "/" else ""}</div>
{"".join(_card(title, text) for title, text in sections)}
{"".join(_group(document, tag) for tag in document["tags"])}
{_card("Error codes", table)}</main></body></html>
"""


def _contents(document: Document, guide: list[str]) -> str:
    found = [("Guide", [(_slug(title), title) for title in guide])]
    for tag in document["tags"]:
        tagged = [item for _, _, item in operations(document) if tag["name"] in item["tags"]]
        found.append((tag["name"], [(item["operationId"], item["summary"]) for item in tagged]))
    found.append(("Errors", [("error-codes", "Error codes")]))
    return "".join(
        f"<h2>{escape(title)}</h2>" + _list(f'<a href="#{name}">{escape(text)}</a>' for name, text in links)
        for title, links in found
    )


def _card(title: str, content: str) -> str:
    name = escape(title)
    return f'<section class="card" id="{_slug(title)}" aria-label="{name}"><h2>{name}</h2>{content}</section>'


def _group(document: Document, tag: Json) -> str:
    name = escape(tag["name"])
    shown = (_operation(document, *item) for item in operations(document) if tag["name"] in item[2]["tags"])
    # The prefix, because an operation may have the name of its group.
    return (
        f'<section class="group" id="group-{_slug(name)}" aria-label="{name}"><h2>{name}</h2>'
        f"{_prose(tag['description'])}{''.join(shown)}</section>"
    )


def _operation(document: Document, path: str, method: str, operation: Json) -> str:
    name, summary, verb = operation["operationId"], escape(operation["summary"]), method.upper()
    badge = ' <span class="badge">deprecated</span>' if operation.get("deprecated") else ""
    parameters = [flat(document, item) for item in operation.get("parameters", ())]
    fields = "".join(
        _field(item, f"{item['in']}, {_type(document, item['schema'])}", _inline(item["description"]))
        for item in parameters
    )
    content = operation.get("requestBody", {}).get("content", {})
    # Named statuses first, and "other 4xx" after them.
    responses = _list(
        (_response(document, *item) for item in sorted(operation["responses"].items())), "responses"
    )
    command = _code(_curl(document, path, method, operation))
    return f"""<article class="card" id="{name}" aria-label="{summary}">
<h3><span class="method {method}">{verb}</span> <code>{escape(path).replace("/", "<wbr>/")}</code>
<a href="#{name}" aria-label="Link to {verb} {escape(path)}">#</a></h3>
<p class="summary">{summary}{badge}</p>{_prose(operation.get("description", ""))}
<h4>Authentication</h4><p>{_credential(document, operation)}</p>
{f'<h4>Parameters</h4><ul class="fields">{fields}</ul>' if fields else ""}
{"<h4>Request</h4>" + _bodies(document, content) if content else ""}
<h4>Try it</h4><pre class="command">{command}</pre>
<h4>Responses</h4>{responses}</article>
"""


def _credential(document: Document, operation: Json) -> str:
    ways = []
    for name in _schemes(operation):
        scheme = document["components"]["securitySchemes"][name]
        header = scheme["name"] + ":" if scheme["type"] == "apiKey" else "Authorization: Bearer"
        ways.append(_code(f"{header} <{_credential_of(name)}>"))
    return ", or ".join(ways) or "None."


def _schemes(operation: Json) -> list[str]:
    return [name for choice in operation.get("security", ()) for name in choice]


def _credential_of(scheme: str) -> str:
    return next(credential for word, credential in _CREDENTIALS if word in scheme.lower())


def _response(document: Document, status: str, given: Json) -> str:
    response, good = flat(document, given), status.startswith("2")
    headers = _list(
        (
            f"{_code(name)} {_inline(flat(document, header)['description'])}"
            for name, header in response.get("headers", {}).items()
            if name not in _EVERYWHERE
        ),
        "headers",
    )
    content = response.get("content", {})
    more = headers + _bodies(document, content, schemas=good)
    if more:
        title = "Headers and body" if good else "Example"
        more = f"<details{' open' if good else ''}><summary>{title}</summary>{more}</details>"
    codes = _list(_codes(content), "codes")
    shown = f"other {status.lower()}" if status.endswith("XX") else status
    return (
        f'<span class="status s{status[0]}">{shown}</span><div><p>{_inline(response["description"])}</p>'
        f"{codes}{more}</div>"
    )


def _codes(content: Json) -> Iterator[str]:
    """The codes that an error response may have."""
    for schema in (item["schema"] for item in content.values()):
        for variant in schema.get("anyOf", [schema]):
            error = variant.get("properties", {}).get("error", {}).get("properties", {})
            yield from map(_code, error.get("code", {}).get("enum", ()))
        if _PROVIDER in set(references(schema)):
            yield "or the provider's code"


def _bodies(document: Document, content: Json, *, schemas: bool = True) -> str:
    """Each media type with its schema, if wanted, and its examples."""
    shown = ""
    for media_type, body in content.items():
        shown += f'<p class="media">{_code(media_type)}</p>'
        shown += _schema(document, body["schema"]) if schemas else ""
        examples = [(item["summary"], item["value"]) for item in body.get("examples", {}).values()]
        examples += [("Example", body["example"])] if "example" in body else []
        for title, value in examples:
            text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
            shown += f'<p class="caption">{escape(title)}</p>' if schemas else ""
            # It scrolls sideways, so it takes the keyboard's focus.
            shown += f'<pre tabindex="0" role="region" aria-label="{escape(title)}, {media_type}">'
            shown += f"{_code(text)}</pre>"
    return shown


def _variants(document: Document, schema: Json) -> list[Json]:
    """What a value may be besides null: each variant, or the schema itself."""
    schema = flat(document, schema)
    given = schema.get("anyOf" if "properties" not in schema else "", schema.get("oneOf", [schema]))
    return [flat(document, item) for item in given if item.get("type") != "null"]


def _type(document: Document, schema: Json) -> str:
    """``integer, 10 to 7200, or null`` and the like."""
    schema = flat(document, schema)
    null = any(
        "null" in _types(item) for item in (schema, *schema.get("anyOf", ()), *schema.get("oneOf", ()))
    )
    text = " or ".join(dict.fromkeys(_plain(item) for item in _variants(document, schema)))
    return f"{text}, or null" if null else text


def _types(schema: Json) -> list[str]:
    kind = schema.get("type", [])
    return [kind] if isinstance(kind, str) else list(kind)


def _plain(schema: Json) -> str:
    if "const" in schema:
        return f"always {schema['const']}"
    if "enum" in schema:
        return " or ".join(str(value) for value in schema["enum"] if value is not None)
    text = " or ".join(kind for kind in _types(schema) if kind != "null") or "any value"
    bounds = (
        f", {schema['minimum']} to {schema['maximum']}" if {"minimum", "maximum"} <= schema.keys() else ""
    )
    return text + bounds


def _schema(document: Document, schema: Json) -> str:
    """The fields of an object, of each variant, or the type of a plain value."""
    variants = _variants(document, schema)
    shown = [_fields(document, item) or f'<p class="type">{escape(_plain(item))}</p>' for item in variants]
    return shown[0] if len(shown) == 1 else '<p class="type">One of:</p>' + _list(shown, "variants")


def _fields(document: Document, schema: Json) -> str:
    about = f"<p>{_inline(schema['description'])}</p>" if "description" in schema else ""
    fields = ""
    for name, value in schema.get("properties", {}).items():
        # Only null: accepted for clients that send every field, and not worth showing.
        if (field := flat(document, value)).get("type") != "null":
            items = [flat(document, item.get("items", item)) for item in _variants(document, field)]
            inner = "".join(_fields(document, item) for item in items if "properties" in item)
            text = f"<details><summary>Fields</summary>{inner}</details>" if inner else ""
            if "description" in field and not (inner and len(items) == 1 and field in items):
                text = _inline(field["description"]) + text
            item = {"name": name, "required": name in schema.get("required", ())}
            fields += _field(item, _type(document, field), text)
    return about + (f'<ul class="fields">{fields}</ul>' if fields else "")


def _field(item: Json, kind: str, content: str) -> str:
    """One line of a list of fields; ``item`` has ``name`` and perhaps ``required``."""
    required = ' <span class="required">required</span>' if item.get("required") else ""
    head = f'{_code(item["name"])} <span class="type">{escape(kind)}</span>{required}'
    return f"<li>{head}<div>{content}</div></li>"


def _curl(document: Document, path: str, method: str, operation: Json) -> str:
    """The command that sends the request from a shell, with the credential and the id in variables."""
    server = document["servers"][0]["url"].rstrip("/") or "https://voice.example.com"
    url = f"{server}{path}".replace("{call_id}", "$CALL_ID").replace("{id}", "$ID")
    content = operation.get("requestBody", {}).get("content", {})
    # With a body curl posts by itself.
    verb = "" if method == "get" or content else f" -X {method.upper()}"
    lines = [f"curl{verb} " + (f'"{url}"' if "$" in url else url)]
    for scheme in _schemes(operation)[:1]:
        lines.append(f'-H "Authorization: Bearer ${_credential_of(scheme).upper().replace(" ", "_")}"')
    if "application/sdp" in content:
        lines += ["-H 'Content-Type: application/sdp'", "--data-binary @offer.sdp"]
    elif content:
        media_type, body = next(iter(content.items()))
        example = body.get("example") or next(iter(body["examples"].values()))["value"]
        lines += [f"-H 'Content-Type: {media_type}'", f"-d {shlex.quote(json.dumps(example))}"]
    return " \\\n  ".join(lines)


def _list(items: Iterable[str], kind: str = "links") -> str:
    shown = "".join(f"<li>{item}</li>" for item in items)
    return f'<ul class="{kind}">{shown}</ul>' if shown else ""


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"


def _prose(text: str) -> str:
    return str(_MARKDOWN.render(text))


def _inline(text: str) -> str:
    return str(_MARKDOWN.renderInline(" ".join(text.split())))


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
