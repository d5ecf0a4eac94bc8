"""Every route, on one screen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from aiohttp import web

from app.settings import Settings
from app.web import health, views
from app.web.demo.site import DemoSite

# OpenAI's clients use /v1, LiteLLM's users often leave it out, Azure's clients say /openai/v1.
ALIASES: Final = ("/v1", "", "/openai/v1")


def routes(settings: Settings) -> Iterator[web.RouteDef]:
    """The route table of the service."""
    for base in ALIASES:
        yield web.post(f"{base}/realtime/client_secrets", views.mint)
        yield web.post(f"{base}/realtime/calls", views.relay)
    yield web.get("/livez", health.livez)
    yield web.get("/readyz", health.readyz)
    if settings.demo_enabled:
        yield from DemoSite(settings).routes()
