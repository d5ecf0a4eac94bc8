"""Every route, on one screen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from aiohttp import web

from app.settings import Settings
from app.web import hangup_view, health, metrics_view, mint_views, relay_views
from app.web.admin.routes import admin_routes
from app.web.demo.site import DemoSite
from app.web.protocol import expect
from app.web.reference.site import ReferenceSite

# OpenAI's clients use /v1, LiteLLM's users often leave it out, Azure's clients say /openai/v1.
ALIASES: Final = ("/v1", "", "/openai/v1")


def _post(path: str, view: Callable[[web.Request], Awaitable[web.Response]]) -> web.RouteDef:
    return web.post(path, view, expect_handler=expect)


def routes(settings: Settings) -> Iterator[web.RouteDef]:
    """The route table of the service."""
    for base in ALIASES:
        yield _post(f"{base}/realtime/client_secrets", mint_views.mint)
        yield _post(f"{base}/realtime/sessions", mint_views.mint_beta)
        yield _post(f"{base}/realtime/transcription_sessions", mint_views.mint_beta_transcription)
        yield _post(f"{base}/realtime/translations/client_secrets", mint_views.mint_translation)
        yield _post(f"{base}/realtime/calls", relay_views.relay)
        # The beta's pages post their offer here, with ?model=.
        yield _post(f"{base}/realtime", relay_views.relay)
        yield _post(f"{base}/realtime/translations/calls", relay_views.relay_translation)
        # Any segment: the view gives one answer for what is no call id and for what is no call.
        yield _post(f"{base}/realtime/calls/{{call_id:[^/]+}}/hangup", hangup_view.hang_up)
    yield from health_routes()
    if settings.ops_port is None:
        yield from operations_routes()
    yield from ReferenceSite(settings).routes()
    if settings.demo_enabled:
        yield from DemoSite(settings).routes()


def health_routes() -> Iterator[web.RouteDef]:
    """What load balancers ask for, on every port."""
    yield web.get("/livez", health.livez)
    yield web.get("/readyz", health.readyz)


def operations_routes() -> Iterator[web.RouteDef]:
    """What scrapers and operators ask for; nothing of it is for callers."""
    yield web.get("/metrics", metrics_view.metrics)
    yield from admin_routes()
