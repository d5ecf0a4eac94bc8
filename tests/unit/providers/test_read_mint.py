"""The mint's reader trusts nothing: whatever is not a usable key is an error, never a record."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import UpstreamError
from app.models import EphemeralKey
from app.providers.answers import read_ephemeral_key
from app.providers.base import UpstreamResponse
from tests.unit.providers.responses import json_response, response
from tests.unit.values import EPHEMERAL_KEY, OPENAI_KEY, deployment

GOOD: dict[str, Any] = {"value": EPHEMERAL_KEY, "expires_at": 1_790_000_600, "session": {"type": "realtime"}}


def read(answer: UpstreamResponse) -> EphemeralKey:
    return read_ephemeral_key(deployment(), answer)


def refused(answer: UpstreamResponse) -> UpstreamError:
    with pytest.raises(UpstreamError) as error:
        read(answer)
    return error.value


@pytest.mark.parametrize("status", [200, 201])
def test_a_good_answer_is_read(status: int) -> None:
    key = read(json_response(status, GOOD))
    assert (key.value.reveal(), key.expires_at, key.session) == (
        EPHEMERAL_KEY,
        1_790_000_600,
        {"type": "realtime"},
    )


@pytest.mark.parametrize(
    "value",
    [
        None,
        5,
        True,
        ["ek_68af296e8e408191"],
        {"value": "ek_68af296e8e408191"},
        "",
        "ek_1234",
        "ek_with a space",
        "ek_line\nbreak1",
        "ek_line\r\nX-Evil: 1",
        "ek_trailing\n",
        "ek_tab\tinside",
        "ek_nul\0inside",
        "ek_del\x7finside",
        "ek_schlüssel",
        "ek_" + "x" * 4094,
    ],
)
def test_a_key_that_could_not_stand_in_a_header_is_refused_and_not_shown(value: Any) -> None:
    error = refused(json_response(200, {**GOOD, "value": value}))
    assert (error.answer_status, error.answer_code) == (502, "upstream_error")
    assert error.message == "The provider's answer to the mint holds no usable key."


@pytest.mark.parametrize(
    "expires_at",
    ["null", "true", "false", '"1790000600"', "1790000600.0", "1e10", "[1790000600]", "{}", "1" + "0" * 30],
)
def test_an_expiry_that_is_no_whole_number_is_refused(expires_at: str) -> None:
    body = f'{{"value": "{EPHEMERAL_KEY}", "expires_at": {expires_at}, "session": {{}}}}'
    assert "no usable expires_at" in refused(response(200, body)).message


@pytest.mark.parametrize("name", ["value", "expires_at"])
def test_a_missing_field_is_refused(name: str) -> None:
    refused(json_response(200, {key: value for key, value in GOOD.items() if key != name}))


@pytest.mark.parametrize("session", [None, [], "realtime", 5])
def test_a_session_that_is_no_object_is_taken_for_an_empty_one(session: Any) -> None:
    assert read(json_response(200, {**GOOD, "session": session})).session == {}


def test_the_session_may_be_left_out() -> None:
    assert read(json_response(200, {"value": EPHEMERAL_KEY, "expires_at": 1})).session == {}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"ek_68af296e8e408191"',
        b"<html></html>",
        b"\xff\xfe",
        b'{"value": "ek_68af29',
        b"NaN",
    ],
)
def test_a_success_that_is_no_json_object_is_an_error(body: bytes) -> None:
    assert refused(response(200, body)).answer_status == 502


@pytest.mark.parametrize("status", [202, 204, 206, 301, 302, 303, 307, 308, 304])
def test_any_other_status_is_an_error_though_the_body_holds_a_key(status: int) -> None:
    """A redirect in particular is not followed, nor believed."""
    error = refused(json_response(status, GOOD, Location="https://evil.example/"))
    assert (error.answer_status, error.upstream_status) == (502, None)
    assert EPHEMERAL_KEY not in error.message
    assert "evil" not in f"{error.message} {dict(error.headers)}"


@pytest.mark.parametrize("status", [302, 200])
@pytest.mark.parametrize("error", [{"message": "no", "code": "x"}, {"error": {"message": "no", "code": "x"}}])
def test_an_error_body_with_a_status_that_is_none_is_a_plain_502(status: int, error: Any) -> None:
    assert refused(json_response(status, error)).answer_code == "upstream_error"


@given(body=st.binary(max_size=200))
def test_no_bytes_whatever_make_the_reader_fail_in_another_way(body: bytes) -> None:
    refused(response(200, body))


@pytest.mark.parametrize("status", [200, 302, 400, 401, 404, 429, 500])
@pytest.mark.parametrize(
    "make",
    [
        lambda key: {"error": {"message": key, "type": key, "param": key, "code": key}},
        lambda key: {"error": {"message": f"key {key} is wrong", "code": None}},
        lambda key: {"error": {"message": "x", "code": f"code.{key}"[:64], "param": f"a[{key}]"}},
        lambda key: {"error": key},
        lambda key: key,
    ],
)
def test_our_key_comes_back_in_no_part_of_an_error(status: int, make: Any) -> None:
    error = refused(
        json_response(status, make(OPENAI_KEY), x_request_id=OPENAI_KEY, x_ratelimit_key=OPENAI_KEY)
    )
    shown = f"{error.message} {error!r} {error.answer_code} {error.param} {dict(error.headers)}"
    assert OPENAI_KEY not in shown
    assert OPENAI_KEY[8:] not in shown
