"""The route table of the public surface, on one screen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from aiohttp import web

from app.settings import Settings
from app.web import health, mint_views, token_views
from app.web.admin.routes import admin_routes
from app.web.answers import expect
from app.web.calls import views as call_views
from app.web.calls.ice import ice_servers
from app.web.calls.lookup import LOOKUP_PATH, lookup_handle
from app.web.demo.site import DemoSite
from app.web.reference.site import reference_routes

# OpenAI's clients use /v1, LiteLLM's users often leave it out, Azure's clients use /openai/v1.
ALIASES: Final = ("/v1", "", "/openai/v1")
_OFFERS: Final = ("/realtime/calls", "/realtime", "/realtime/translations/calls", "/live/sessions")
# Where ``Location`` leads. Any segment: what cannot be a call id gets the same answer as an unknown call.
_CALL: Final = "/realtime/calls/{call_id:[^/]+}"
# The same in GPT-Live's own words; either path takes any call's id.
_LIVE: Final = "/live/sessions/{call_id:[^/]+}"
_POSTS: Final = (
    ("/realtime/client_secrets", mint_views.mint),
    ("/realtime/sessions", mint_views.mint_beta),
    ("/realtime/transcription_sessions", mint_views.mint_beta_transcription),
    ("/realtime/translations/client_secrets", mint_views.mint_translation),
    ("/realtime/calls", call_views.relay),
    # Pages of the beta post their offer here, with ?model=.
    ("/realtime", call_views.relay),
    ("/realtime/translations/calls", call_views.relay_translation),
    ("/live/sessions", call_views.relay_live),
    (_CALL + "/hangup", call_views.hang_up),
    (_LIVE + "/hangup", call_views.hang_up),
    (_CALL + "/report", call_views.report),
    (LOOKUP_PATH, lookup_handle),
)


def routes(settings: Settings) -> Iterator[web.RouteDef]:
    """Every route of the main port."""
    for base in ALIASES:
        for path, view in _POSTS:
            yield web.post(base + path, view, expect_handler=expect)
        # Manners of RFC 9725 (WHIP) for clients that know them.
        for path in _OFFERS:
            yield web.options(base + path, call_views.offer_options)
        # A GET, which becomes a WebSocket.
        yield web.get(base + call_views.SIDEBAND_PATH, call_views.attach)
        yield web.get(base + _LIVE + "/attach", call_views.attach)
        yield web.get(base + "/realtime/ice-servers", ice_servers)
        for call in (_CALL, _LIVE):
            yield web.delete(base + call, call_views.hang_up, expect_handler=expect)
            yield web.patch(base + call, call_views.patch_call, expect_handler=expect)
    yield web.post(token_views.PATH, token_views.exchange, expect_handler=expect)
    yield from health_routes()
    if settings.ops_port is None:
        yield from operations_routes()
    yield from reference_routes(settings.public_url)
    if settings.demo_enabled:
        yield from DemoSite(settings).routes()


def health_routes() -> Iterator[web.RouteDef]:
    """For load balancers, on every port."""
    yield web.get("/livez", health.livez)
    yield web.get("/readyz", health.readyz)


def operations_routes() -> Iterator[web.RouteDef]:
    """For scrapers and operators; on the operations port, if there is one."""
    yield web.get("/metrics", health.metrics)
    yield from admin_routes()
