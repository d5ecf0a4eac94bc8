"""The beta's flat bodies: what cannot be translated is refused under the beta's own name of the field."""

from __future__ import annotations

from typing import Any

import pytest

from app.errors import InvalidRequest
from app.models import MintRequest
from app.web.schemas import MintHeaders, beta_session, parse_beta, parse_mint


def parse(body: dict[str, Any], *, transcription: bool = False) -> MintRequest:
    return parse_beta(
        body, parse_mint, transcription=transcription, default_model="voice", headers=MintHeaders()
    )


@pytest.mark.parametrize(
    ("asked", "sent"),
    [(["audio"], ["audio"]), (["text"], ["text"]), (["text", "audio"], ["audio"]), (None, None)],
)
def test_modalities_become_the_newer_forms_one_output(asked: Any, sent: Any) -> None:
    assert parse({"modalities": asked}).session.get("output_modalities") == sent


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("modalities", "audio"),
        ("modalities", []),
        ("modalities", ["audio", 1]),
        ("modalities", [{}]),
        ("modalities", ["video"]),
        ("modalities", {"audio": True}),
        ("input_audio_format", "mp3"),
        ("output_audio_format", 16),
        ("input_audio_transcription", "whisper-1"),
        ("input_audio_transcription", [None]),
        ("client_secret", "ek_x"),
    ],
)
def test_what_cannot_be_translated_is_refused_by_its_name(field: str, value: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse({field: value})
    assert caught.value.param == field


def test_a_binding_is_read_and_goes_to_no_provider_and_into_no_session() -> None:
    body = {"voice": "marin", "bind": {"origin": "https://app.example.com"}}
    request = parse(body)
    assert request.binding.origin == "https://app.example.com"
    assert "bind" not in request.session
    assert "bind" not in beta_session(body, {}, transcription=False)
    with pytest.raises(InvalidRequest) as error:
        parse({"bind": {"fingerprint": "AB:CD"}})
    assert error.value.param == "bind.fingerprint"
