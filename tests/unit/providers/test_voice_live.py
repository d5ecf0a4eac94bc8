"""Azure Voice Live: what is kept of a mint, the message that brings the offer, and how its answer is read."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from app.errors import InvalidRequest, OutcomeUnknown, UpstreamError
from app.models import Family
from app.providers.base import UpstreamRequest
from app.providers.registry import PROVIDERS
from tests.samples import load, names
from tests.unit.providers.responses import json_response
from tests.unit.values import AZURE_KEY, HeldTokens, deployment, mint_request, offer

DIALECT = PROVIDERS["azure-voice-live"]
PLACE = deployment("azure-voice-live", upstream_model="gpt-realtime-2.1")
SESSION: dict[str, Any] = {
    "instructions": "Be brief.",
    "output_modalities": ["audio"],
    "audio": {
        "input": {"format": {"type": "audio/pcm", "rate": 24000}, "turn_detection": {"type": "server_vad"}},
        "output": {"voice": {"type": "azure-standard", "name": "en-US-AvaNeural"}},
    },
}


def request_for(place: Any = PLACE, **session: Any) -> UpstreamRequest:
    call = DIALECT.kept_call(place, mint_request(session={**SESSION, **session}))
    return DIALECT.standard_call_request(place, call, offer(b"v=0\r\n"))


def test_the_session_is_kept_in_the_form_of_the_mint() -> None:
    call = DIALECT.kept_call(PLACE, mint_request(session=SESSION))
    assert orjson.loads(call.session) == {**SESSION, "model": "gpt-realtime-2.1", "type": "realtime"}
    assert call.model == "gpt-realtime-2.1"


def test_the_offer_is_the_first_message_with_the_session_in_its_flat_form() -> None:
    request = request_for()
    assert request.url == (
        "wss://acme-voice.services.ai.azure.com/voice-live/realtime/calls"
        "?api-version=2026-01-01-preview&model=gpt-realtime-2.1"
    )
    assert dict(request.headers) == {"api-key": AZURE_KEY}
    assert orjson.loads(request.body) == {
        "type": "rtc.call.sdp.create",
        "sdp_offer": "v=0\r\n",
        "session": {
            "instructions": "Be brief.",
            "modalities": ["audio", "text"],
            "input_audio_format": "pcm16",
            "turn_detection": {"type": "server_vad"},
            "voice": {"type": "azure-standard", "name": "en-US-AvaNeural"},
        },
    }
    assert AZURE_KEY.encode() not in request.body


def test_an_access_token_is_a_bearer_token_and_the_version_and_the_name_are_the_operator_s() -> None:
    place = deployment(
        "azure-voice-live",
        api_key=None,
        tokens=HeldTokens(),
        api_version="2026-07-15",
        upstream_model="a/b&c=d",
    )
    request = request_for(place)
    assert dict(request.headers) == {"Authorization": "Bearer eyJ.token.now"}
    assert request.url.endswith("?api-version=2026-07-15&model=a%2Fb%26c%3Dd")


def test_a_session_that_cannot_be_made_flat_is_refused_at_the_mint() -> None:
    session = {"voice": "alloy", "audio": {"output": {"voice": "echo"}}}
    with pytest.raises(InvalidRequest, match="twice"):
        DIALECT.kept_call(PLACE, mint_request(session=session))


def test_it_serves_realtime_sessions_only() -> None:
    assert DIALECT.traits.families == (Family.REALTIME,)


def test_the_answer_is_read_with_its_call_id() -> None:
    sample = load("azure-voice-live/calls-101")
    answer = DIALECT.read_answer(PLACE, PLACE.api_key, sample.response)
    assert answer.sdp == load("azure/calls-201").response.body
    assert answer.call_id == "3f0f8a52-6a1c-4f0e-9d55-0c7d7b0d9f11"


@pytest.mark.parametrize(
    ("name", "status", "code", "says"),
    [
        ("calls-101-missing_sdp", 400, "missing_sdp", "SDP offer is required"),
        ("calls-101-error", 400, "invalid_voice_type", "is not supported"),
        ("calls-101-server_error", 500, "call_setup_failed", "failed with status 500"),
        ("calls-401-wrong_key", 401, "401", "deployments.azure-voice-live-main.api_key"),
        ("calls-404-resource_not_found", 404, "404", "Foundry"),
        ("calls-429-rate_limit", 429, "RateLimitReached", "second deployment"),
    ],
)
def test_every_refusal_among_the_samples_is_read_and_says_what_to_do(
    name: str, status: int, code: str, says: str
) -> None:
    sample = load(f"azure-voice-live/{name}")
    with pytest.raises(UpstreamError) as refused:
        DIALECT.read_answer(PLACE, PLACE.api_key, sample.response)
    assert (refused.value.answer_status, refused.value.answer_code) == (status, code)
    assert says in refused.value.message
    assert refused.value.retry_after == (26 if status == 429 else None)
    assert "internal" not in refused.value.message


def test_every_sample_is_read_by_some_test() -> None:
    assert len(names("azure-voice-live")) == 7


@pytest.mark.parametrize("call_id", [None, "", "a/b", "x" * 129, 7, ["rtc_1"]])
def test_a_call_id_of_another_form_is_none(call_id: Any) -> None:
    event = orjson.loads(load("azure-voice-live/calls-101").response.body) | {"rtc_call_id": call_id}
    assert DIALECT.read_answer(PLACE, PLACE.api_key, json_response(101, event)).call_id is None


@pytest.mark.parametrize("sdp", [None, "", 7, "<html>", "v=0\r\n", f"v=0\r\nm=audio {AZURE_KEY}\r\n"])
def test_an_answer_without_sdp_may_have_made_the_call_that_it_names(sdp: Any) -> None:
    event = {"type": "rtc.call.sdp.created", "rtc_call_id": "rtc_1", "sdp_answer": sdp}
    with pytest.raises(OutcomeUnknown) as unknown:
        DIALECT.read_answer(PLACE, PLACE.api_key, json_response(101, event))
    assert unknown.value.call_id == "rtc_1"


@pytest.mark.parametrize("error", [None, "text", {}, {"message": 7}, {"code": "x"}])
def test_an_error_of_another_form_is_a_refusal_all_the_same(error: Any) -> None:
    with pytest.raises(UpstreamError):
        DIALECT.read_answer(
            PLACE, PLACE.api_key, json_response(101, {"type": "rtc.call.error", "error": error})
        )


def test_a_handshake_s_success_that_is_no_socket_is_no_call() -> None:
    with pytest.raises(UpstreamError):
        DIALECT.read_answer(PLACE, PLACE.api_key, json_response(200, {"hello": "world"}))


@pytest.mark.parametrize(
    "pasted",
    [
        "https://acme.services.ai.azure.com",
        "acme.services.ai.azure.com/",
        "https://acme.services.ai.azure.com/api/projects/voice?api-version=1",
    ],
)
def test_every_form_of_the_endpoint_is_reduced_to_the_origin(pasted: str) -> None:
    assert DIALECT.base_url(pasted) == "https://acme.services.ai.azure.com"


def test_the_endpoint_of_azure_openai_is_refused_with_the_one_to_use() -> None:
    with pytest.raises(ValueError, match=r"https://acme\.services\.ai\.azure\.com"):
        DIALECT.base_url("https://acme.openai.azure.com/openai/v1")


def test_its_calls_have_no_sideband_and_no_request_that_hangs_up() -> None:
    for ask in (DIALECT.sideband_request, DIALECT.hangup_request):
        with pytest.raises(InvalidRequest):
            ask(PLACE, "rtc_1")
