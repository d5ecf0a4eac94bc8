"""Serves the reference: as JSON for programs, as a page for people."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import orjson
from aiohttp import web

from app.settings import Settings
from app.web.asset import Asset, answer


@dataclass(frozen=True, slots=True)
class _Reference:
    """What is served, ready made."""

    json: Asset
    page: Asset
    page_headers: Mapping[str, str]


class ReferenceSite:
    """``/openapi.json`` and ``/docs``, made when first asked for: most replicas never are, and it takes 3 MB.

    They tell of the service what anybody can read in its repository, and its public URL.
    """

    def __init__(self, settings: Settings) -> None:
        self._public_url = settings.public_url

    def routes(self) -> Iterator[web.RouteDef]:
        """The reference's part of the route table."""
        yield web.get("/openapi.json", self.document)
        yield web.get("/docs", self.docs)

    async def document(self, request: web.Request) -> web.Response:
        """The document."""
        reference = await asyncio.to_thread(_make, self._public_url)
        return answer(request, reference.json)

    async def docs(self, request: web.Request) -> web.Response:
        """The page, with its policy."""
        reference = await asyncio.to_thread(_make, self._public_url)
        response = answer(request, reference.page)
        response.headers.update(reference.page_headers)
        return response


@functools.cache
def _make(public_url: str | None) -> _Reference:
    # Imported here, since they bring a reader of YAML and one of Markdown along.
    from app.web.reference.document import load_document
    from app.web.reference.page import POLICY, page

    document = load_document(public_url)
    return _Reference(
        json=Asset.of(orjson.dumps(document), "application/json"),
        page=Asset.of(page(document).encode(), "text/html"),
        page_headers={
            "Content-Security-Policy": POLICY,
            "Referrer-Policy": "no-referrer",
            "X-Frame-Options": "DENY",
        },
    )
