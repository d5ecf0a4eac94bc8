"""HTML from plain values: everything is escaped that is not markup already. Pure."""

from __future__ import annotations

import html
import re
from typing import Final

from markdown_it import MarkdownIt

_VOID: Final = frozenset({"meta", "link", "img", "br"})
# Descriptions are ours, but raw HTML in one would still be a mistake: it is shown as text.
_MARKDOWN: Final = MarkdownIt("commonmark", {"html": False}).enable("table")


class Html(str):
    """Text that is markup already, and is not escaped again."""

    __slots__ = ()


def el(tag: str, *children: str | None, **attributes: str | None) -> Html:
    """One element; children that are no ``Html`` are escaped, None is left out.

    A trailing underscore of an attribute's name is dropped (``class_``), others become dashes.
    """
    shown = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{html.escape(value)}"'
        for name, value in attributes.items()
        if value is not None
    )
    if tag in _VOID:
        return Html(f"<{tag}{shown}>")
    return Html(f"<{tag}{shown}>{join(*children)}</{tag}>")


def join(*children: str | None) -> Html:
    """The children one after another, without an element around them."""
    return Html(
        "".join(child if isinstance(child, Html) else html.escape(child) for child in children if child)
    )


def markdown(text: str) -> Html:
    """CommonMark with tables, as blocks."""
    return Html(_MARKDOWN.render(text))


def inline(text: str) -> Html:
    """CommonMark in one line, without a paragraph around it."""
    return Html(_MARKDOWN.renderInline(" ".join(text.split())))


def slug(text: str) -> str:
    """A fragment for a heading."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
