"""Serves the reference: as JSON for programs, as a page for people."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Final

import orjson
from aiohttp import web

from app.settings import Settings
from app.web.asset import Asset, answer
from app.web.openapi.document import load_document
from app.web.openapi.page import POLICY, page

_PAGE_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}


class ReferenceSite:
    """``/openapi.json`` and ``/docs``, made once at the start.

    They tell of the service what anybody can read in its repository, and its public URL.

    Raises:
        DocumentError: the document is broken.
    """

    def __init__(self, settings: Settings) -> None:
        self._json, self._page = _assets(settings.public_url)

    def routes(self) -> Iterator[web.RouteDef]:
        """The reference's part of the route table."""
        yield web.get("/openapi.json", self.document)
        yield web.get("/docs", self.docs)

    async def document(self, request: web.Request) -> web.Response:
        """The document."""
        return answer(request, self._json)

    async def docs(self, request: web.Request) -> web.Response:
        """The page, with its policy."""
        response = answer(request, self._page)
        response.headers.update(_PAGE_HEADERS)
        return response


@functools.cache
def _assets(public_url: str | None) -> tuple[Asset, Asset]:
    document = load_document(public_url)
    return (
        Asset.of(orjson.dumps(document), "application/json"),
        Asset.of(page(document).encode(), "text/html"),
    )
