"""The reference as one page for people: no script, nothing from elsewhere. Pure but for reading its style."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Final

from app.web.reference.document import Document, operations
from app.web.reference.markup import Html, el, inline, join, markdown, slug
from app.web.reference.operation_view import operation_view

STYLE: Final = files(__package__).joinpath("page.css").read_text(encoding="utf-8")
# Of the one style element; nothing else inline is let through.
STYLE_HASH: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        f"style-src 'sha256-{STYLE_HASH}'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
# A number sign would end the URL, so the colour is spelt out.
_ICON: Final = (
    "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'>"
    "<rect width='32' height='32' rx='8' fill='rgb(11,110,99)'/>"
    "<path d='M13.4 10.6a2.6 2.6 0 1 1 3.9 2.2c-.9.5-1.3 1-1.3 2v.6l-8.6 5.3c-1.4.9-.8 2.8.8 2.8h15.6"
    "c1.6 0 2.2-1.9.8-2.8L16 15.4' fill='none' stroke='white' stroke-width='2' stroke-linecap='round' "
    "stroke-linejoin='round'/></svg>"
)


def page(document: Document) -> str:
    """The whole HTML."""
    info = document["info"]
    return "<!doctype html>\n" + el(
        "html",
        el(
            "head",
            el("meta", charset="utf-8"),
            el("meta", name="viewport", content="width=device-width, initial-scale=1"),
            el("meta", name="color-scheme", content="light dark"),
            el("title", f"{info['title']}: API reference"),
            el("link", rel="icon", href=_ICON),
            el("style", Html(STYLE)),
        ),
        el(
            "body",
            el("a", "Skip to the operations", href=f"#{_group(document['tags'][0])}", class_="skip"),
            el(
                "header",
                el("img", src=_ICON, alt="", width="40", height="40"),
                el("div", el("h1", f"{info['title']} API"), el("p", info["summary"])),
                el("a", "openapi.json", href="openapi.json", class_="raw"),
            ),
            el("div", _contents(document), el("main", *_main(document)), class_="columns"),
        ),
        lang="en",
    )


def _main(document: Document) -> Iterator[Html]:
    introduction, *sections = document["info"]["description"].split("\n## ")
    yield el("div", markdown(introduction), _server(document), class_="lead")
    for section in sections:
        title, _, text = section.partition("\n")
        yield el("section", el("h2", title), markdown(text), id=slug(title), class_="guide", aria_label=title)
    for tag in document["tags"]:
        yield el(
            "section",
            el("h2", tag["name"]),
            el("p", inline(tag["description"]), class_="about"),
            *(
                operation_view(document, path, method, operation)
                for path, method, operation in operations(document)
                if tag["name"] in operation["tags"]
            ),
            id=_group(tag),
            aria_label=tag["name"],
        )
    codes = document["components"]["schemas"]["ErrorCode"]
    yield el(
        "section",
        el("h2", "Error codes"),
        _table(markdown(codes["description"])),
        id="error-codes",
        aria_label="Error codes",
    )


def _group(tag: Mapping[str, str]) -> str:
    """The fragment of a group; an operation may be called as its group is."""
    return f"group-{slug(tag['name'])}"


def _server(document: Document) -> Html | None:
    url = document["servers"][0]["url"]
    return None if url == "/" else el("p", "The service is at ", el("code", url), ".")


def _table(html: Html) -> Html:
    """Wide tables scroll by themselves, so they take the keyboard's focus."""
    return el("div", html, class_="wide", tabindex="0", role="region", aria_label="Table of error codes")


def _contents(document: Document) -> Html:
    titles = [part.partition("\n")[0] for part in document["info"]["description"].split("\n## ")[1:]]
    groups = [el("h2", "Guide"), _links((f"#{slug(title)}", join(title)) for title in titles)]
    for tag in document["tags"]:
        found = (
            (f"#{operation['operationId']}", join(operation["summary"]))
            for _, _, operation in operations(document)
            if tag["name"] in operation["tags"]
        )
        groups += [el("h2", tag["name"]), _links(found)]
    groups += [el("h2", "Errors"), _links(iter([("#error-codes", join("Error codes"))]))]
    # Beside the text on a wide screen, folded up above it on a narrow one; the style shows one of them.
    return join(
        el("nav", *groups, class_="beside", aria_label="Contents"),
        el("nav", el("details", el("summary", "Contents"), *groups), class_="above", aria_label="Contents"),
    )


def _links(pairs: Iterator[tuple[str, Html]]) -> Html:
    return el("ul", *(el("li", el("a", text, href=href)) for href, text in pairs))
