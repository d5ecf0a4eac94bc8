"""Azure's preview: minted at the resource, relayed at the region, and a key that lives a minute."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidRequest, OutcomeUnknown, UpstreamError
from app.handles.lifetimes import life_of
from app.models import EphemeralKey, Family, Secret
from app.providers.azure import REGIONS, AzurePreview, flat_session, webrtc_url
from tests.samples import load
from tests.unit.providers.responses import json_response, response
from tests.unit.values import AZURE_KEY, EPHEMERAL_KEY, NOW, deployment, mint_request, offer

PREVIEW = AzurePreview()
PLACE = deployment("azure-preview")
EASTUS2 = "https://eastus2.realtimeapi-preview.ai.azure.com/v1/realtimertc"


def test_a_mint_goes_to_the_resource_with_the_api_version_and_a_flat_session() -> None:
    request = PREVIEW.mint_request(PLACE, mint_request(session={"voice": "verse", "type": "realtime"}))
    assert request.url == (
        "https://acme-voice.openai.azure.com/openai/realtimeapi/sessions?api-version=2025-04-01-preview"
    )
    assert request.headers == {
        "api-key": AZURE_KEY,
        "Content-Type": "application/json",
        "Accept": "application/json",
    }
    assert orjson.loads(request.body) == {"voice": "verse", "model": "voice-prod"}


def test_another_api_version_is_the_deployments_choice() -> None:
    place = deployment("azure-preview", api_version="2025-08-01-preview")
    request = PREVIEW.mint_request(place, mint_request())
    assert parse_qs(urlsplit(request.url).query) == {"api-version": ["2025-08-01-preview"]}


def test_a_wanted_life_is_not_sent_since_the_preview_takes_none() -> None:
    assert orjson.loads(PREVIEW.mint_request(PLACE, mint_request(seconds=600)).body) == {
        "model": "voice-prod"
    }


def test_an_offer_goes_to_the_region_with_the_deployment_and_the_ephemeral_key() -> None:
    request = PREVIEW.relay_request(PLACE, Secret(EPHEMERAL_KEY), offer(b"v=0\r\n"))
    assert request.url == f"{EASTUS2}?model=voice-prod"
    assert request.body == b"v=0\r\n"
    assert request.headers["Authorization"] == f"Bearer {EPHEMERAL_KEY}"
    assert request.headers["Content-Type"] == "application/sdp"
    assert AZURE_KEY not in str(dict(request.headers))


@given(name=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=40))
def test_no_deployment_name_changes_the_url_beyond_its_own_value(name: str) -> None:
    place = deployment("azure-preview", upstream_model=name)
    url = urlsplit(PREVIEW.relay_request(place, Secret(EPHEMERAL_KEY), offer(b"v=0")).url)
    assert f"{url.scheme}://{url.netloc}{url.path}" == EASTUS2
    assert parse_qs(url.query, strict_parsing=True) == {"model": [name]}
    assert not url.fragment


@pytest.mark.parametrize("pasted", [EASTUS2, f"{EASTUS2}/", EASTUS2.removesuffix("/v1/realtimertc")])
def test_the_front_end_is_taken_whole_or_by_its_origin(pasted: str) -> None:
    assert webrtc_url(pasted) == EASTUS2 == REGIONS["eastus2"]


@pytest.mark.parametrize(
    "pasted",
    [
        "",
        "eastus2",
        "ftp://x",
        f"{EASTUS2}?model=a",
        f"{EASTUS2}#a",
        "https://u:opensesame@x",
        "https://x/v2",
    ],
)
def test_what_is_no_front_end_is_refused_without_being_quoted(pasted: str) -> None:
    with pytest.raises(ValueError, match="webrtc_url must look like https://eastus2") as refused:
        webrtc_url(pasted)
    assert "opensesame" not in str(refused.value)


def test_a_minted_key_is_read_with_its_expiry() -> None:
    key = PREVIEW.read_mint(PLACE, load("azure-preview/sessions-200").response)
    assert key.expires_at == 1_762_961_883
    assert key.session["voice"] == "verse"


def test_a_key_that_names_no_end_lives_a_minute_on_whatever_clock() -> None:
    sample = load("azure-preview/sessions-200-no_expiry").response
    key = PREVIEW.read_mint(PLACE, sample)
    assert key.expires_at is None
    # The sample's Date lies a year back: it does not matter to a life without an end.
    life = life_of(key, sample.headers["Date"], now=NOW, under_way=0)
    assert life.seconds == pytest.approx(59.9)
    assert life.expires_at == int(NOW) + 60
    # It began after the request was sent.
    late = life_of(key, sample.headers["Date"], now=NOW + 2.5, under_way=2.5)
    assert late.seconds == pytest.approx(57.4)
    assert late.expires_at == int(NOW) + 60


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"client_secret": None},
        {"client_secret": "ek_x1234567"},
        {"client_secret": {}},
        {"client_secret": {"value": 7}},
        {"client_secret": {"value": "short"}},
        {"client_secret": {"value": "ek_with a space"}},
        {"client_secret": {"value": "ek_12345678", "expires_at": "soon"}},
        {"client_secret": {"value": "ek_12345678", "expires_at": True}},
    ],
)
def test_an_answer_without_a_usable_key_is_an_error(body: Any) -> None:
    with pytest.raises(UpstreamError) as refused:
        PREVIEW.read_mint(PLACE, json_response(200, body))
    assert refused.value.answer_status == 502


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff"])
def test_a_body_that_is_no_json_is_an_error(body: bytes) -> None:
    with pytest.raises(UpstreamError):
        PREVIEW.read_mint(PLACE, response(200, body))


@pytest.mark.parametrize(
    ("sample", "call_id"), [("realtimertc-200", None), ("realtimertc-201", "rtc_az_5d0e7b1c9f")]
)
def test_an_answer_is_taken_with_either_status_and_with_or_without_location(
    sample: str, call_id: str | None
) -> None:
    loaded = load(f"azure-preview/{sample}").response
    answer = PREVIEW.read_answer(PLACE, Secret(EPHEMERAL_KEY), loaded)
    assert (answer.sdp, answer.call_id) == (loaded.body, call_id)


def test_a_success_that_is_no_answer_may_have_created_a_call() -> None:
    with pytest.raises(OutcomeUnknown):
        PREVIEW.read_answer(PLACE, Secret(EPHEMERAL_KEY), response(200, b"<html>"))


def test_a_session_nested_deeper_than_json_is_written_is_the_callers_fault() -> None:
    deep: Any = 1
    for _ in range(300):
        deep = {"a": deep}
    with pytest.raises(InvalidRequest, match="nested too deeply"):
        PREVIEW.mint_request(PLACE, mint_request(session={"deep": deep}))


# --- GA's session, flat -----------------------------------------------------------------------------


def test_every_ga_field_with_another_name_in_the_beta_is_renamed() -> None:
    ga = {
        "type": "realtime",
        "model": "gpt-realtime-2.1",
        "instructions": "Be brief.",
        "output_modalities": ["audio"],
        "max_output_tokens": 100,
        "tools": [{"type": "function", "name": "open"}],
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24000},
                "transcription": {"model": "scribe"},
                "noise_reduction": {"type": "near_field"},
                "turn_detection": {"type": "server_vad"},
            },
            "output": {"format": {"type": "audio/pcmu"}, "voice": "verse", "speed": 1.1},
        },
    }
    assert flat_session(ga) == {
        "model": "gpt-realtime-2.1",
        "instructions": "Be brief.",
        "modalities": ["audio", "text"],
        "max_response_output_tokens": 100,
        "tools": [{"type": "function", "name": "open"}],
        "input_audio_format": "pcm16",
        "input_audio_transcription": {"model": "scribe"},
        "input_audio_noise_reduction": {"type": "near_field"},
        "turn_detection": {"type": "server_vad"},
        "output_audio_format": "g711_ulaw",
        "voice": "verse",
        "speed": 1.1,
    }


def test_a_flat_session_stays_as_it_is() -> None:
    flat = {"voice": "verse", "modalities": ["text"], "turn_detection": None, "temperature": 0.7, "x": [1]}
    assert flat_session(flat) == flat


@pytest.mark.parametrize("order", [("voice", "audio"), ("audio", "voice")])
def test_a_locked_field_is_not_overridden_by_its_twin_in_the_other_form(order: tuple[str, str]) -> None:
    """The operator locked one form; a caller who sends the other must not win."""
    fields = {"voice": "verse", "audio": {"output": {"voice": "alloy"}}}
    with pytest.raises(InvalidRequest, match="twice") as refused:
        flat_session({name: fields[name] for name in order})
    assert refused.value.param == "session.voice"
    fields["voice"] = "alloy"
    assert flat_session({name: fields[name] for name in order}) == {"voice": "alloy"}


def test_a_renamed_field_is_not_overridden_by_its_old_name() -> None:
    with pytest.raises(InvalidRequest, match="twice"):
        flat_session({"max_output_tokens": 10, "max_response_output_tokens": 1000})


@pytest.mark.parametrize("family", [Family.TRANSCRIPTION, Family.TRANSLATION])
def test_the_preview_mints_no_other_family(family: Family) -> None:
    with pytest.raises(UpstreamError, match="realtime sessions only") as refused:
        PREVIEW.mint_request(PLACE, mint_request(family=family))
    assert refused.value.answer_status == 400


def test_a_field_that_nobody_knows_is_not_lost() -> None:
    flat = flat_session({"audio": {"input": {"echo": 1}, "output": "odd"}, "new": 2})
    assert flat == {"input_audio_echo": 1, "new": 2}
    assert flat_session({"audio": "odd"}) == {"audio": "odd"}
    odd = {"type": "audio/new"}
    assert flat_session({"audio": {"input": {"format": odd}}}) == {"input_audio_format": odd}


def test_a_key_whose_end_nobody_names_is_never_stored() -> None:
    with pytest.raises(UpstreamError, match="no end of its life"):
        life_of(EphemeralKey(Secret(EPHEMERAL_KEY), None, {}), None, now=NOW, under_way=0)
