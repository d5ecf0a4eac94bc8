"""Every session kind on every path alias, and handles that open their own family only."""

from __future__ import annotations

from typing import Any

import pytest

from app.store import keys
from app.web.routes import ALIASES
from tests.support.handles import claims_of
from tests.support.offers import fresh_offer
from tests.support.service import Service

TRANSCRIPTION: dict[str, Any] = {
    "session": {
        "type": "transcription",
        "audio": {"input": {"transcription": {"model": "gpt-4o-transcribe", "language": "en"}}},
    }
}
TRANSLATION: dict[str, Any] = {
    "session": {"model": "gpt-realtime-translate", "audio": {"output": {"language": "es"}}}
}


async def mint_at(service: Service, path: str, body: Any) -> Any:
    reply = await service.post(
        path, json=body, headers={"Authorization": f"Bearer {service.planted.client_key}"}
    )
    assert reply.status == 200, reply
    return reply.json


async def relay_at(service: Service, path: str, handle: str) -> Any:
    return await service.post(
        path,
        data=fresh_offer(),
        headers={"Authorization": f"Bearer {handle}", "Content-Type": "application/sdp"},
    )


def last_body(service: Service) -> str:
    return str(service.provider.journal.reports()[-1]["path"])


@pytest.mark.parametrize("base", ALIASES)
async def test_a_realtime_handle_opens_a_realtime_call(service: Service, base: str) -> None:
    answer = await mint_at(service, f"{base}/realtime/client_secrets", {"model": "gpt-realtime-2.1"})
    assert answer["session"]["type"] == "realtime"
    assert answer["calls_url"] == f"{service.base}/v1/realtime/calls"
    # Old clients name the model once more; it is ignored, as the session was fixed at the mint.
    reply = await relay_at(service, f"{base}/realtime/calls?model=another", answer["value"])
    assert reply.status == 201
    assert last_body(service) == "/v1/realtime/calls"
    assert service.provider.journal.reports()[-1]["query"] == ""


@pytest.mark.parametrize("base", ALIASES)
async def test_a_transcription_handle_opens_a_transcription_call(service: Service, base: str) -> None:
    answer = await mint_at(service, f"{base}/realtime/client_secrets", TRANSCRIPTION)
    assert answer["session"]["type"] == "transcription"
    assert answer["session"]["audio"]["input"]["transcription"]["model"] == "gpt-4o-transcribe"
    assert (await relay_at(service, f"{base}/realtime/calls", answer["value"])).status == 201


@pytest.mark.parametrize("base", ALIASES)
async def test_a_translation_handle_opens_a_translation_call(service: Service, base: str) -> None:
    answer = await mint_at(service, f"{base}/realtime/translations/client_secrets", TRANSLATION)
    assert last_body(service) == "/v1/realtime/translations/client_secrets"
    assert answer["calls_url"] == f"{service.base}/v1/realtime/translations/calls"
    reply = await relay_at(service, f"{base}/realtime/translations/calls", answer["value"])
    assert reply.status == 201
    assert reply.headers["location"].startswith("/v1/realtime/calls/")
    assert last_body(service) == "/v1/realtime/translations/calls"


async def test_a_handle_presented_elsewhere_is_refused_and_spends_nothing(service: Service) -> None:
    realtime = (await mint_at(service, "/v1/realtime/client_secrets", {"model": "gpt-realtime-2.1"}))["value"]
    translation = (await mint_at(service, "/v1/realtime/translations/client_secrets", TRANSLATION))["value"]
    asked = service.asked("calls")
    for path, handle in (
        ("/v1/realtime/translations/calls", realtime),
        ("/v1/realtime/calls", translation),
        ("/realtime", translation),
    ):
        reply = await relay_at(service, path, handle)
        assert (reply.status, reply.code) == (403, "wrong_session_family"), path
    assert service.asked("calls") == asked
    client = service.store_client
    assert await client.hget(keys.handle(claims_of(realtime)["jti"]), "calls") == "0"


@pytest.mark.parametrize("base", ALIASES)
async def test_the_betas_session_is_minted_through_the_ga_endpoint(service: Service, base: str) -> None:
    body = {
        "model": "gpt-4o-realtime-preview",
        "modalities": ["audio", "text"],
        "voice": "verse",
        "instructions": "Be kind.",
        "input_audio_transcription": {"model": "gpt-4o-transcribe"},
        "turn_detection": {"type": "server_vad"},
        "temperature": 0.8,
        "client_secret": {"expires_after": {"anchor": "created_at", "seconds": 60}},
    }
    answer = await mint_at(service, f"{base}/realtime/sessions", body)
    assert last_body(service) == "/v1/realtime/client_secrets"
    assert answer["object"] == "realtime.session"
    assert answer["id"].startswith("sess_")
    assert {name: answer[name] for name in body if name != "client_secret"} == {
        name: value for name, value in body.items() if name != "client_secret"
    }
    handle = answer["client_secret"]["value"]
    assert claims_of(handle)["exp"] == answer["client_secret"]["expires_at"]
    # The beta's pages post their offer to /realtime with ?model=.
    reply = await relay_at(service, f"{base}/realtime?model=gpt-4o-realtime-preview", handle)
    assert reply.status == 201


@pytest.mark.parametrize("base", ALIASES)
async def test_the_betas_transcription_session_is_minted_through_the_ga_endpoint(
    service: Service, base: str
) -> None:
    body = {"input_audio_format": "pcm16", "input_audio_transcription": {"model": "gpt-4o-transcribe"}}
    answer = await mint_at(service, f"{base}/realtime/transcription_sessions", body)
    assert answer["object"] == "realtime.transcription_session"
    assert answer["input_audio_transcription"] == body["input_audio_transcription"]
    handle = answer["client_secret"]["value"]
    assert (await relay_at(service, f"{base}/realtime/calls", handle)).status == 201


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        (
            "/v1/realtime/client_secrets",
            {"session": {"type": "transcription"}},
            "session.audio.input.transcription.model",
        ),
        ("/v1/realtime/translations/client_secrets", {}, "session.model"),
        ("/v1/realtime/sessions", {"model": 1}, "model"),
        (
            "/v1/realtime/sessions",
            {"model": "gpt-realtime-2.1", "input_audio_format": "mp3"},
            "input_audio_format",
        ),
        ("/v1/realtime/sessions", {"model": "gpt-realtime-2.1", "client_secret": 5}, "client_secret"),
        (
            "/v1/realtime/sessions",
            {"model": "gpt-realtime-2.1", "client_secret": {"expires_after": {"seconds": 1}}},
            "client_secret.expires_after.seconds",
        ),
        ("/v1/realtime/sessions", {"model": "gpt-realtime-2.1", "audio": 5, "voice": "x"}, "audio"),
        ("/v1/realtime/transcription_sessions", {}, "input_audio_transcription.model"),
        (
            "/v1/realtime/transcription_sessions",
            {"input_audio_transcription": {"model": []}},
            "input_audio_transcription.model",
        ),
    ],
)
async def test_a_fault_is_named_by_the_callers_own_field(
    service: Service, path: str, body: Any, param: str
) -> None:
    reply = await service.post(
        path, json=body, headers={"Authorization": f"Bearer {service.planted.client_key}"}
    )
    assert (reply.status, reply.code) == (400, "invalid_request"), reply
    assert reply.json["error"]["param"] == param
    assert service.asked() == 0
