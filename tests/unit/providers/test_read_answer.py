"""The relay's reader: an SDP answer with its call id, a refusal, or an outcome that nobody knows."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import OutcomeUnknown, UpstreamError
from app.models import Answer, Secret
from app.providers.answers import call_id_of, read_sdp_answer
from app.providers.base import UpstreamResponse
from tests.samples import load
from tests.unit.providers.responses import json_response, response
from tests.unit.values import EPHEMERAL_KEY, OPENAI_KEY, deployment

SDP = load("openai/calls-201").response.body


def read(answer: UpstreamResponse) -> Answer:
    return read_sdp_answer(deployment(), Secret(EPHEMERAL_KEY), answer)


@pytest.mark.parametrize("status", [200, 201])
def test_an_answer_is_read_as_it_came(status: int) -> None:
    assert read(response(status, SDP, Location="/v1/realtime/calls/rtc_1")) == Answer(
        sdp=SDP, call_id="rtc_1"
    )


def test_an_answer_with_bare_line_feeds_is_one_too() -> None:
    plain = SDP.replace(b"\r\n", b"\n")
    assert read(response(201, plain)).sdp == plain


GARBAGE = {
    "nothing": b"",
    "html": b"<html></html>",
    "json": b'{"sdp": "v=0"}',
    "an offer cut short": b"v=0\r\no=- 1 2 IN IP4 0.0.0.0\r\ns=-\r\n",
    "no audio": SDP.replace(b"m=audio", b"m=video"),
    "audio in the middle of a line only": b"v=0\r\na=m=audio 9\r\n",
    "leading line break": b"\r\n" + SDP,
    "a nul": SDP + b"\0",
    "an escape": SDP.replace(b"s=-", b"s=\x1b[2J"),
    "not utf-8": SDP + b"a=\xff\xfe\r\n",
    "markup after it": SDP + b"<script>alert(1)</script>",
    "our key in it": SDP + b"a=key:" + EPHEMERAL_KEY.encode() + b"\r\n",
}


@pytest.mark.parametrize("body", GARBAGE.values(), ids=GARBAGE.keys())
@pytest.mark.parametrize("status", [200, 201])
def test_a_yes_without_an_sdp_answer_is_an_unknown_outcome(status: int, body: bytes) -> None:
    """A call may exist and be billed, so neither we nor the caller may send the offer again."""
    with pytest.raises(OutcomeUnknown, match="do not resend") as refused:
        read(response(status, body, Location="/v1/realtime/calls/rtc_1"))
    assert (refused.value.answer_status, refused.value.answer_code) == (502, "outcome_unknown")
    assert refused.value.retryable is False


@pytest.mark.parametrize("status", [202, 203, 204, 205, 206, 226, 299])
@pytest.mark.parametrize("body", [SDP, b""], ids=["sdp", "empty"])
def test_any_other_success_is_an_unknown_outcome_and_not_a_refusal(status: int, body: bytes) -> None:
    with pytest.raises(OutcomeUnknown):
        read(response(status, body))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 400, 404, 500, 503])
def test_a_refusal_is_no_answer_though_its_body_is_sdp(status: int) -> None:
    with pytest.raises(UpstreamError) as refused:
        read(response(status, SDP, Location="/v1/realtime/calls/rtc_1"))
    assert refused.value.answer_status == 502


@pytest.mark.parametrize("secret", [EPHEMERAL_KEY, OPENAI_KEY])
@pytest.mark.parametrize("status", [400, 401, 404, 409, 429, 500])
def test_neither_key_comes_back_in_a_refusal(status: int, secret: str) -> None:
    body = {"error": {"message": f"bad {secret}", "code": secret, "param": secret}}
    with pytest.raises(UpstreamError) as refused:
        read(json_response(status, body, x_request_id=secret))
    error = refused.value
    assert secret not in f"{error.message} {error.answer_code} {error.param} {dict(error.headers)}"


@given(body=st.binary(max_size=200), status=st.sampled_from([200, 201, 204]))
def test_no_bytes_whatever_make_the_reader_fail_in_another_way(body: bytes, status: int) -> None:
    with pytest.raises(OutcomeUnknown):
        read(response(status, body))


# --- Location -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "location",
    [
        "/v1/realtime/calls/rtc_1-a",
        "/v1/realtime/calls/rtc_1-a/",
        "/openai/v1/realtime/calls/rtc_1-a?api-version=1",
        "https://api.openai.com/v1/realtime/calls/rtc_1-a",
        "https://api.openai.com/v1/realtime/calls/rtc_1-a/?x=/y",
        "//api.openai.com/v1/realtime/calls/rtc_1-a",
        "rtc_1-a",
        "calls/rtc_1-a",
    ],
)
def test_the_call_id_is_the_last_segment_of_any_form_of_location(location: str) -> None:
    assert call_id_of(location) == "rtc_1-a"


@pytest.mark.parametrize(
    "location",
    [
        "",
        "/",
        "?",
        "/v1/realtime/calls/rtc_1\r\nSet-Cookie: a=b",
        "/v1/realtime/calls/rtc_1\n",
        "/v1/realtime/calls/rtc_1\r",
        "/v1/realtime/calls/rtc 1",
        "/v1/realtime/calls/..",
        "/v1/realtime/calls/../../../etc/passwd.txt",
        "/v1/realtime/calls/%2e%2e",
        "/v1/realtime/calls/rtc_1#fragment",
        "/v1/realtime/calls/rtc_1;x=1",
        "/v1/realtime/calls/rtc\\1",
        "/v1/realtime/calls/{rtc}",
        "/v1/realtime/calls/rtcé",
        "/v1/realtime/calls/\udcff",
        "https://evil.example",
        "javascript:alert(1)",
        "/v1/realtime/calls/" + "x" * 129,
    ],
)
def test_a_location_that_ends_in_no_plain_id_gives_none(location: str) -> None:
    assert call_id_of(location) is None


@given(location=st.text(max_size=60))
def test_whatever_a_location_holds_a_call_id_is_plain(location: str) -> None:
    call_id = call_id_of(location)
    assert call_id is None or re.fullmatch(r"[A-Za-z0-9_-]{1,128}", call_id)


def test_an_answer_without_a_location_is_still_an_answer() -> None:
    assert read(response(201, SDP)).call_id is None
