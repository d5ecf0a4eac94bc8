"""Serves the reference: as JSON for programs, as a page for people."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterator, Mapping

import orjson
from aiohttp import web

from app.web.answers import Asset, asset_answer


def reference_routes(public_url: str | None) -> Iterator[web.RouteDef]:
    """``/openapi.json`` and ``/docs``. They show only what is public, and the service's public URL.

    Both are made at the first request: most replicas never get one, and it takes 3 MB.
    """

    async def openapi(request: web.Request) -> web.Response:
        document, _, _ = await asyncio.to_thread(_make, public_url)
        return asset_answer(request, document)

    async def docs(request: web.Request) -> web.Response:
        _, page, headers = await asyncio.to_thread(_make, public_url)
        response = asset_answer(request, page)
        response.headers.update(headers)
        return response

    yield web.get("/openapi.json", openapi)
    yield web.get("/docs", docs)


@functools.cache
def _make(public_url: str | None) -> tuple[Asset, Asset, Mapping[str, str]]:
    """The document, the page, and the page's security headers."""
    # Imported here, since they load a YAML and a Markdown parser.
    from app.web.reference.document import load_document
    from app.web.reference.page import POLICY, page

    document = load_document(public_url)
    return (
        Asset.of(orjson.dumps(document), "application/json"),
        Asset.of(page(document).encode(), "text/html"),
        {"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY"},
    )
