"""A sideband on the wire: its handshake at each provider, and which events carry audio."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidRequest
from app.providers.events import appends_audio, audio_refused, carries_audio
from app.providers.registry import PROVIDERS
from tests.unit.providers.responses import response
from tests.unit.values import deployment

APPEND = "input_audio_buffer.append"


@pytest.mark.parametrize("name", ["openai", "azure"])
def test_a_handshake_goes_to_the_provider_of_the_call_with_the_standard_key_in_one_header_only(
    name: Any,
) -> None:
    place = deployment(name)
    request = PROVIDERS[name].sideband_request(place, "rtc_1")
    assert place.api_key is not None
    key = place.api_key.reveal()
    host = place.base_url.removeprefix("https://")
    assert request.url == f"wss://{host}/realtime?call_id=rtc_1"
    assert request.headers == ({"Authorization": f"Bearer {key}"} if name == "openai" else {"api-key": key})
    assert request.body == b""


def test_a_provider_without_tls_is_attached_to_without_tls() -> None:
    place = deployment(base_url="http://127.0.0.1:9/v1")
    assert (
        PROVIDERS["openai"].sideband_request(place, "rtc_1").url.startswith("ws://127.0.0.1:9/v1/realtime?")
    )


def test_azures_preview_says_what_to_do_instead() -> None:
    with pytest.raises(InvalidRequest, match=r"no sideband\. Use the browser's data channel"):
        PROVIDERS["azure-preview"].sideband_request(deployment("azure-preview"), "rtc_1")


@pytest.mark.parametrize("name", ["openai", "azure"])
def test_only_a_404_with_its_code_means_that_the_provider_knows_no_such_call(name: Any) -> None:
    provider, place = PROVIDERS[name], deployment(name)
    gone = b'{"error": {"code": "call_id_not_found", "message": "x"}}'
    assert provider.read_no_sideband(place, response(404, gone)) is None
    for status, body in ((404, b""), (404, b'{"error": {"code": "404", "message": "x"}}'), (400, gone)):
        assert provider.read_no_sideband(place, response(status, body)) is not None


@pytest.mark.parametrize(
    ("event", "audio"),
    [
        ('{"type": "response.output_audio.delta", "delta": "AA"}', True),
        ('{"delta":"AA","type":"response.audio.delta"}', True),
        ('{"type":"session.output_audio.delta"}', True),
        ('{"type":"response.output_\\u0061udio.delta"}', True),
        ('{"type":"response.output_audio_transcript.delta","delta":"audio.delta"}', False),
        ('{"type":"response.output_audio.done"}', False),
        ('{"type":"conversation.item.added","item":{"type":"response.output_audio.delta"}}', False),
        ('["response.output_audio.delta"]', False),
        ("audio.delta", False),
    ],
)
def test_a_server_event_carries_audio_by_its_type_alone(event: str, audio: bool) -> None:
    assert carries_audio(event) is audio


@pytest.mark.parametrize(
    ("event", "audio"),
    [
        ('{"type": "input_audio_buffer.append", "audio": "AA"}', True),
        ('{"audio":"AA","type":"input_audio_buffer.append"}', True),
        ('{"type":"input_audio_buffer.\\u0061ppend"}', True),
        ('{"type":"input_audio_buffer.append","type":"response.create"}', True),
        ('{"type":"response.create","type":"input_audio_buffer.append"}', True),
        ('{"type":"input_audio_buffer.append"', True),
        ("[" * 100_000 + '"input_audio_buffer.append"', True),
        ('{"type":"input_audio_buffer.commit"}', False),
        ('{"type":"conversation.item.create","item":{"type":"input_audio_buffer.append"}}', False),
        ('{"type":"response.create","instructions":"say \\u00e9"}', False),
        ('["type", "input_audio_buffer.append"]', False),
        ("no json", False),
    ],
)
def test_a_client_event_brings_audio_by_any_reading_of_its_type(event: str, audio: bool) -> None:
    assert appends_audio(event) is audio


@given(st.dictionaries(st.text(), st.text() | st.just(APPEND)), st.booleans())
def test_the_quick_look_and_the_whole_one_agree(fields: dict[str, str], ascii_only: bool) -> None:
    text = json.dumps(fields, ensure_ascii=ascii_only)
    assert appends_audio(text) is (fields.get("type") == APPEND)


def test_the_refusal_repeats_the_event_s_id() -> None:
    answer = json.loads(audio_refused('{"type": "input_audio_buffer.append", "event_id": "mine"}'))
    assert (answer["type"], answer["error"]["event_id"]) == ("error", "mine")
    assert json.loads(audio_refused("{"))["error"]["event_id"] is None
