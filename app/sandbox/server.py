"""The provider in a box as an aiohttp application: its routes, and what lives as long as it does."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import web

from . import control
from .config import SandboxConfig
from .http import azure, inworld, issuer, live, oauth, openai, qwen, selfhosted, sideband, voice_live
from .http.edge import provider_edge, stamp
from .provider import PROVIDER, make_provider

# The last part of a route's name is its operation: what a fault is aimed at.
ROUTES = [
    web.post("/oauth/token", oauth.exchange, name="openai.token"),
    web.get("/v1/models", openai.models, name="openai.models"),
    web.post("/v1/realtime/client_secrets", openai.client_secrets, name="openai.client_secrets"),
    web.post("/v1/realtime/calls", openai.calls, name="openai.calls"),
    web.post("/v1/realtime/calls/{call_id}/hangup", openai.hangup, name="openai.hangup"),
    web.get("/v1/realtime", sideband.openai_sideband, name="openai.sideband"),
    web.post(
        "/v1/realtime/translations/client_secrets",
        openai.translation_client_secrets,
        name="openai.translations_client_secrets",
    ),
    web.post("/v1/realtime/translations/calls", openai.translation_calls, name="openai.translations_calls"),
    web.post("/v1/realtime/sessions", openai.sessions, name="openai.sessions"),
    web.post(
        "/v1/realtime/transcription_sessions",
        openai.transcription_sessions,
        name="openai.transcription_sessions",
    ),
    web.post("/openai/v1/realtime/client_secrets", azure.client_secrets, name="azure.client_secrets"),
    web.post("/openai/v1/realtime/calls", azure.calls, name="azure.calls"),
    web.post("/openai/v1/realtime/calls/{call_id}/hangup", azure.hangup, name="azure.hangup"),
    web.get("/openai/v1/realtime", sideband.azure_sideband, name="azure.sideband"),
    web.post("/v1/live/sessions", live.openai_create, name="openai_live.calls"),
    web.post("/v1/live/sessions/{session_id}/hangup", live.openai_hangup, name="openai_live.hangup"),
    web.get("/v1/live/sessions/{session_id}/attach", live.openai_attach, name="openai_live.sideband"),
    web.post("/openai/v1/live/sessions", live.azure_create, name="azure_live.calls"),
    web.post("/openai/v1/live/sessions/{session_id}/hangup", live.azure_hangup, name="azure_live.hangup"),
    web.get("/openai/v1/live/sessions/{session_id}/attach", live.azure_attach, name="azure_live.sideband"),
    web.post("/openai/realtimeapi/sessions", azure.sessions, name="preview.sessions"),
    web.post("/v1/realtimertc", azure.rtc, name="preview.calls"),
    web.get("/issuer/.well-known/openid-configuration", issuer.configuration, name="issuer.configuration"),
    web.get("/issuer/jwks", issuer.jwks, name="issuer.jwks"),
    web.get("/issuer/authorize", issuer.sign_in_page, name="issuer.authorize"),
    web.post("/issuer/authorize", issuer.signed_in, name="issuer.signed_in"),
    web.post("/issuer/token", issuer.token, name="issuer.user_token"),
    web.get("/voice-live/realtime/calls", voice_live.calls, name="azure.voice_live"),
    web.post("/localai/v1/realtime/calls", selfhosted.localai_calls, name="localai.calls"),
    web.post("/speech-to-speech/v1/realtime/calls", selfhosted.speech_calls, name="speech.calls"),
    web.delete(
        "/speech-to-speech/v1/realtime/calls/{call_id}", selfhosted.speech_hangup, name="speech.hangup"
    ),
    web.post("/open/v1/realtime/calls", selfhosted.open_calls, name="open.calls"),
    web.post("/open/v1/realtime/calls/{call_id}/hangup", selfhosted.open_hangup, name="open.hangup"),
    web.post("/inworld/v1/realtime/calls", inworld.calls, name="inworld.calls"),
    web.post("/inworld/v1/realtime/calls/{call_id}/hangup", inworld.hangup, name="inworld.hangup"),
    web.get("/inworld/v1/realtime", inworld.sideband, name="inworld.sideband"),
    web.get("/inworld/v1/realtime/ice-servers", inworld.ice_servers, name="inworld.ice_servers"),
    web.post("/api/v1/tokens", qwen.tokens, name="qwen.tokens"),
    web.post("/api/v1/webrtc/realtime", qwen.calls, name="qwen.calls"),
    *control.ROUTES,
]


async def _sidebands_end_first(app: web.Application) -> None:
    # Their requests last as long as they do.
    app[PROVIDER].calls.leave_sidebands()


async def _calls_end_with_the_server(app: web.Application) -> AsyncIterator[None]:
    yield
    await app[PROVIDER].calls.close()


def create_sandbox(config: SandboxConfig) -> web.Application:
    """The application. Its calls end when it is cleaned up."""
    app = web.Application(middlewares=[provider_edge])
    app[PROVIDER] = make_provider(config)
    app.add_routes(ROUTES)
    app.on_response_prepare.append(stamp)
    app.on_shutdown.append(_sidebands_end_first)
    app.cleanup_ctx.append(_calls_end_with_the_server)
    return app
