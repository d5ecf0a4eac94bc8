"""The metrics, for scrapers. Pages cannot read them."""

from __future__ import annotations

from aiohttp import hdrs, web

from app.telemetry.scrape import scrape
from app.web.appkeys import METRICS


async def metrics(request: web.Request) -> web.Response:
    """``GET /metrics``: Prometheus' text format, or OpenMetrics where the scraper asks for it."""
    text, content_type = await scrape(request.app[METRICS].registry, request.headers.get(hdrs.ACCEPT, ""))
    return web.Response(body=text, headers={hdrs.CONTENT_TYPE: content_type})
