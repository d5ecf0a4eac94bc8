"""LocalAI and speech-to-speech: what is kept, how a call is created, and every answer of their sources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import orjson
import pytest

from app.errors import InvalidRequest, UpstreamError
from app.models import Answer, Family, Secret
from app.providers.registry import PROVIDERS
from tests.samples import load, names
from tests.unit.providers.responses import response
from tests.unit.values import AZURE_KEY, EPHEMERAL_KEY, deployment, mint_request, offer

BOTH: Final = ("localai", "speech-to-speech")
SDP = offer(b"v=0\r\n")


@dataclass(frozen=True)
class Reading:
    """What a refusal reads as. ``says`` are parts of its message."""

    status: int
    code: str
    says: tuple[str, ...]
    retry_after: int | None = None


READINGS: Final = {
    "localai/calls-400-model_required": Reading(400, "upstream_error", ("model is required",)),
    "localai/calls-400-invalid_offer": Reading(400, "upstream_error", ("invalid SDP offer",)),
    "localai/calls-401-no_key": Reading(
        401,
        "upstream_error",
        ("refused the credential", "asks for a key: set deployments.localai-main.api_key"),
    ),
    "localai/calls-401-opaque": Reading(502, "upstream_error", ("status 401 and no readable error",)),
    "localai/calls-404-no_such_path": Reading(
        404, "upstream_error", ("Resource not found", "localai-main.base_url must end where")
    ),
    "localai/calls-500-no_opus": Reading(500, "upstream_error", ("failed with status 500",)),
    "speech-to-speech/calls-400-invalid_offer": Reading(400, "upstream_error", ("Invalid SDP offer",)),
    "speech-to-speech/calls-415-content_type": Reading(415, "upstream_error", ("must be application/sdp",)),
    "speech-to-speech/calls-500-setup_failed": Reading(500, "upstream_error", ("failed with status 500",)),
    "speech-to-speech/calls-501-no_webrtc": Reading(501, "upstream_error", ("failed with status 501",)),
    "speech-to-speech/calls-503-full": Reading(
        503, "session_limit_reached", ("session slots", "when a call is over", "more slots"), retry_after=5
    ),
    "speech-to-speech/hangup-404-no_such_path": Reading(404, "upstream_error", ("Not Found",)),
    "speech-to-speech/calls-404-no_such_path": Reading(
        404, "upstream_error", ("Not Found", "speech-to-speech-main.base_url must end where")
    ),
    "speech-to-speech/hangup-405-older": Reading(405, "upstream_error", ("Method Not Allowed",)),
}
ANSWERS: Final = {"localai/calls-201", "speech-to-speech/calls-201"}
HANGUPS: Final = {"speech-to-speech/hangup-200": True, "speech-to-speech/hangup-404-unknown_call": False}


def keyless(provider: str, **changes: Any) -> Any:
    return deployment(provider, **{"api_key": None, **changes})


def read(name: str) -> Answer | bool:
    """Read a sample at a deployment without a credential."""
    sample = load(name)
    dialect, place = PROVIDERS[sample.provider], keyless(sample.provider)
    if sample.endpoint == "hangup":
        return dialect.read_hangup(place, sample.response)
    return dialect.read_answer(place, None, sample.response)


def test_every_sample_is_read_by_some_test() -> None:
    assert set(names(*BOTH)) == READINGS.keys() | ANSWERS | HANGUPS.keys()


@pytest.mark.parametrize("name", READINGS)
def test_a_refusal_in_any_form_keeps_its_status_and_says_what_to_do(name: str) -> None:
    with pytest.raises(UpstreamError) as refused:
        read(name)
    error, expected = refused.value, READINGS[name]
    assert (error.answer_status, error.answer_code, error.retry_after) == (
        expected.status,
        expected.code,
        expected.retry_after,
    )
    for words in expected.says:
        assert words in error.message


def test_only_speech_to_speech_names_its_calls() -> None:
    answer = read("localai/calls-201")
    assert isinstance(answer, Answer)
    assert answer.call_id is None
    named = read("speech-to-speech/calls-201")
    assert isinstance(named, Answer)
    assert named.call_id == "session_4f1c9e0ab7d24c8e91"
    assert named.sdp == load("speech-to-speech/calls-201").response.body


@pytest.mark.parametrize("name", HANGUPS)
def test_a_call_is_over_where_it_was_ended_and_where_it_is_unknown(name: str) -> None:
    assert read(name) is HANGUPS[name]


def test_a_retry_after_of_the_server_counts_more_than_ours() -> None:
    sample = load("speech-to-speech/calls-503-full").response
    waits = response(503, sample.body, Retry_After="40", Content_Type="application/json")
    with pytest.raises(UpstreamError) as refused:
        PROVIDERS["speech-to-speech"].read_answer(keyless("speech-to-speech"), None, waits)
    assert refused.value.retry_after == 40


@pytest.mark.parametrize(
    ("said", "shown"), [(f"bad key {AZURE_KEY}", "bad key [redacted]"), ("a\r\nb" * 999, "a ba b")]
)
def test_a_plain_refusal_is_masked_and_bounded(said: str, shown: str) -> None:
    place = deployment("speech-to-speech")
    refusal = response(400, said, Content_Type="text/plain")
    with pytest.raises(UpstreamError) as refused:
        PROVIDERS["speech-to-speech"].read_answer(place, place.bearer(), refusal)
    assert shown in refused.value.message
    assert AZURE_KEY not in refused.value.message
    assert "\n" not in refused.value.message
    assert len(refused.value.message) < 1000


# --- what is sent -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "changes", "url"),
    [
        (
            "localai",
            {"upstream_model": "voice/a b"},
            "https://localai.example/v1/realtime/calls?model=voice%2Fa%20b",
        ),
        ("localai", {"upstream_model": None}, "https://localai.example/v1/realtime/calls?model=assistant"),
        ("speech-to-speech", {}, "https://speech-to-speech.example/v1/realtime/calls"),
    ],
)
def test_the_offer_goes_out_raw_and_without_a_credential(provider: str, changes: Any, url: str) -> None:
    place = keyless(provider, **changes)
    call = PROVIDERS[provider].kept_call(place, mint_request())
    request = PROVIDERS[provider].standard_call_request(place, call, SDP)
    assert (request.method, request.url, request.body) == ("POST", url, SDP.sdp)
    assert dict(request.headers) == {"Content-Type": "application/sdp", "Accept": "application/sdp"}


@pytest.mark.parametrize("provider", BOTH)
def test_a_key_goes_along_where_one_is_set(provider: str) -> None:
    place = deployment(provider)
    call = PROVIDERS[provider].kept_call(place, mint_request())
    request = PROVIDERS[provider].standard_call_request(place, call, SDP)
    assert request.headers["Authorization"] == f"Bearer {AZURE_KEY}"
    assert AZURE_KEY not in request.url


def test_speech_to_speech_hangs_up_by_delete() -> None:
    request = PROVIDERS["speech-to-speech"].hangup_request(keyless("speech-to-speech"), "session_1")
    assert (request.method, request.url) == (
        "DELETE",
        "https://speech-to-speech.example/v1/realtime/calls/session_1",
    )
    assert not request.headers


def test_localai_says_what_to_do_instead_of_hanging_up() -> None:
    with pytest.raises(InvalidRequest, match=r"cannot hang up\. Close the browser's peer connection"):
        PROVIDERS["localai"].hangup_request(keyless("localai"), "rtc_1")


@pytest.mark.parametrize("provider", BOTH)
def test_there_is_no_sideband_and_no_ephemeral_key(provider: str) -> None:
    dialect, place = PROVIDERS[provider], keyless(provider)
    with pytest.raises(InvalidRequest, match="has no sideband"):
        dialect.sideband_request(place, "rtc_1")
    with pytest.raises(InvalidRequest, match="Mint a new handle"):
        dialect.relay_request(place, Secret(EPHEMERAL_KEY), SDP)


# --- what is kept -----------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", BOTH)
@pytest.mark.parametrize(
    "session", [{}, {"model": "assistant"}, {"type": "realtime", "audio": {}, "tools": []}]
)
def test_a_model_is_all_that_is_kept(provider: str, session: dict[str, Any]) -> None:
    kept = PROVIDERS[provider].kept_call(
        keyless(provider, upstream_model="gpt-oss"), mint_request(session=session)
    )
    assert kept.model == "gpt-oss"
    assert orjson.loads(kept.session) == {"type": "realtime", "model": "gpt-oss"}


@pytest.mark.parametrize("provider", BOTH)
@pytest.mark.parametrize("name", ["instructions", "tools", "audio", "tracing"])
def test_what_a_call_would_not_get_is_refused_rather_than_lost(provider: str, name: str) -> None:
    with pytest.raises(InvalidRequest, match=f"Leave '{name}' out, and let the page send it") as refused:
        PROVIDERS[provider].kept_call(keyless(provider), mint_request(session={name: {"x": 1}}))
    assert refused.value.param == f"session.{name}"


@pytest.mark.parametrize("provider", BOTH)
@pytest.mark.parametrize("family", [Family.TRANSCRIPTION, Family.TRANSLATION])
def test_other_kinds_of_sessions_are_refused(provider: str, family: Family) -> None:
    with pytest.raises(UpstreamError, match="serves realtime sessions only"):
        PROVIDERS[provider].kept_call(keyless(provider), mint_request(family=family))


@pytest.mark.parametrize("provider", BOTH)
@pytest.mark.parametrize(
    ("pasted", "url"),
    [
        ("http://voice:8080", "http://voice:8080/v1"),
        ("http://voice:8080/", "http://voice:8080/v1"),
        (" http://voice:8080/v1/ ", "http://voice:8080/v1"),
        ("https://gpu.example/speech", "https://gpu.example/speech/v1"),
    ],
)
def test_the_servers_address_will_do(provider: str, pasted: str, url: str) -> None:
    assert PROVIDERS[provider].base_url(pasted) == url


@pytest.mark.parametrize(
    "pasted", [None, "", "voice:8080", "http://me:secret@voice", "http://voice?x=1", "ftp://x"]
)
def test_what_is_no_address_is_refused_with_an_example(pasted: str | None) -> None:
    with pytest.raises(ValueError, match=r"such as http://localai:8080/v1") as refused:
        PROVIDERS["localai"].base_url(pasted)
    assert "secret" not in str(refused.value)
