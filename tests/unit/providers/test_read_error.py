"""The readers of a refusal: what of it may reach a caller, and in which form."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import UpstreamError
from app.models import Secret
from app.providers.answers import kept_headers, read_error, retry_seconds
from app.providers.base import UpstreamResponse
from tests.unit.providers.responses import json_response, response
from tests.unit.values import EPHEMERAL_KEY, OPENAI_KEY, deployment

SECRETS = (Secret(OPENAI_KEY), Secret(EPHEMERAL_KEY))


def read(answer: UpstreamResponse) -> UpstreamError:
    return read_error(deployment(), answer, operation="mint", secrets=SECRETS)


def test_a_sentence_of_the_provider_is_one_safe_line_without_credentials() -> None:
    message = f"no\r\nSet-Cookie: a=b \x00 {OPENAI_KEY} {EPHEMERAL_KEY} sk-other-key-123456 \u2028"
    error = read(json_response(400, {"error": {"message": message}}))
    assert error.message == r"no Set-Cookie: a=b \u0000 [redacted] [redacted] [redacted]"


def test_a_key_of_a_form_that_nobody_knows_is_masked_since_it_is_ours() -> None:
    secrets = (Secret("inw.basic:Zm9v"), Secret("ephemeral.abc"))
    answer = json_response(400, {"error": {"message": "bad inw.basic:Zm9v, or ephemeral.abc?"}})
    assert (
        read_error(deployment(), answer, operation="mint", secrets=secrets).message
        == "bad [redacted], or [redacted]?"
    )


def test_an_endless_sentence_is_cut() -> None:
    assert len(read(json_response(400, {"error": {"message": "long " * 10_000}})).message) == 500


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_credential_names_the_deployment_and_repeats_nothing(status: int) -> None:
    error = read(json_response(status, {"error": {"message": "Incorrect API key provided: sk-ab***yz"}}))
    said = "The provider refused the credential that deployment 'openai-main' presented. "
    assert error.message.startswith(said)
    assert "deployments.openai-main.api_key" in error.message.removeprefix(said)
    assert "sk-ab" not in error.message


@pytest.mark.parametrize("status", [500, 502, 503, 504, 529, 599])
def test_a_failure_inside_the_provider_tells_its_status_only(status: int) -> None:
    error = read(json_response(status, {"error": {"message": "stack trace of host 10.2.3.4", "code": "E1"}}))
    assert error.message == f"The provider failed with status {status}."
    assert (error.answer_status, error.answer_code) == (status, "E1")


@pytest.mark.parametrize(
    "code", [None, 5, True, [], {}, "", "a b", "a\nb", "a\r\nX: y", "x" * 65, "é", "<b>", '"', "a/b"]
)
def test_a_code_of_another_form_is_replaced_by_our_own(code: Any) -> None:
    error = read(json_response(400, {"error": {"message": "m", "code": code}}))
    assert (error.upstream_code, error.answer_code, error.answer_status) == (None, "upstream_error", 400)


@pytest.mark.parametrize("param", [None, 5, "a b", "a\nb", "x" * 129, "<b>", "session model"])
def test_a_parameter_of_another_form_is_left_out(param: Any) -> None:
    assert read(json_response(400, {"error": {"message": "m", "param": param}})).param is None


@pytest.mark.parametrize("param", ["session.model", "session.tools[0].name", "expires_after.seconds"])
def test_a_parameter_s_path_is_kept(param: str) -> None:
    assert read(json_response(400, {"error": {"message": "m", "param": param}})).param == param


NO_ERRORS: list[bytes] = [
    b"",
    b"<html><h1>403 Forbidden</h1></html>",
    b"Unauthorized",
    b"\xff\xfe\x00",
    b"[]",
    b"null",
    b"{}",
    b'{"error": null}',
    b'{"error": "text"}',
    b'{"error": []}',
    b'{"error": {}}',
    b'{"error": {"message": null}}',
    b'{"error": {"message": {"a": 1}}}',
    b'{"message": "Unauthorized", "statusCode": 418}',
    b'{"message": "Unauthorized", "statusCode": "401"}',
    b'{"error": {"message": "cut o',
]


@pytest.mark.parametrize("body", NO_ERRORS)
@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
def test_what_is_no_well_formed_error_is_a_502_with_only_the_status_told(status: int, body: bytes) -> None:
    error = read(response(status, body, Retry_After="3", x_request_id="req_1"))
    assert (error.answer_status, error.answer_code) == (502, "upstream_error")
    assert error.message == f"The provider answered with status {status} and no readable error."
    assert (error.retry_after, error.headers) == (3, {"x-upstream-request-id": "req_1"})


@pytest.mark.parametrize("status", [100, 204, 299, 300, 301, 304, 307, 399, 600, 999])
def test_only_a_status_of_400_to_599_is_kept(status: int) -> None:
    error = read(json_response(status, {"error": {"message": "m", "code": "c"}}))
    assert (error.answer_status, error.upstream_status) == (502, None)


@given(
    error=st.fixed_dictionaries(
        {"message": st.text(max_size=80)},
        optional={"code": st.text(max_size=70), "param": st.text(max_size=140), "type": st.text()},
    ),
    status=st.integers(400, 599),
)
def test_no_error_body_puts_a_control_character_anywhere(error: dict[str, str], status: int) -> None:
    read_back = read(json_response(status, {"error": error}))
    shown = f"{read_back.message}{read_back.answer_code}{read_back.param}"
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in shown)
    orjson.dumps(shown)


# --- headers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0),
        ("7", 7),
        ("00012", 12),
        ("99999", 99_999),
        ("100000", None),
        ("-1", None),
        ("1.5", None),
        ("", None),
        (" 7", None),
        ("7\n", None),
        ("\N{ARABIC-INDIC DIGIT SEVEN}", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("7, 8", None),
    ],
)
def test_retry_after_is_whole_believable_seconds_or_nothing(value: str | None, seconds: int | None) -> None:
    assert retry_seconds(value) == seconds


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("Wed, 21 Oct 2026 07:28:00 GMT", 0),
        ("Wed, 21 Oct 2026 07:28:07 GMT", 7),
        ("Thu, 22 Oct 2026 07:28:00 GMT", 86_400),
        ("Wed, 21 Oct 2026 07:27:59 GMT", None),
        ("Thu, 21 Oct 2027 07:28:00 GMT", None),
        ("Wed, 21 Oct 2026 07:28:07 +0200", None),
        ("Wednesday, 21-Oct-26 07:28:07 GMT", None),
        ("Wed Oct 21 07:28:07 2026", None),
        ("Wed, 99 Oct 2026 07:28:07 GMT", None),
        ("Wed, 21 Xyz 2026 07:28:07 GMT", None),
        ("Wed, 21 Oct 2026 07:28:07 GMT\r\nX: y", None),
    ],
)
def test_a_retry_after_that_is_a_date_is_read_on_the_providers_clock(value: str, seconds: int | None) -> None:
    assert retry_seconds(value, "Wed, 21 Oct 2026 07:28:00 GMT") == seconds
    assert retry_seconds(value, "not a date") is None
    assert retry_seconds(value, None) is None
    dated = response(503, "<html>", Retry_After=value, Date="Wed, 21 Oct 2026 07:28:00 GMT")
    assert read(dated).retry_after == seconds


@pytest.mark.parametrize(
    "value",
    ["a\r\nSet-Cookie: x=1", "a\nb", "\0", "é", "x" * 129, "", '"quoted"', "<script>", "\udcff", "a\t"],
)
def test_a_header_value_that_is_not_plain_is_dropped(value: str) -> None:
    assert kept_headers({"x-request-id": value, "x-ratelimit-limit-requests": value}) == {}


@pytest.mark.parametrize(
    "name",
    [
        "Set-Cookie",
        "Location",
        "Server",
        "openai-organization",
        "x-ratelimit",
        "x-ratelimit-a b",
        "x-forwarded-for",
    ],
)
def test_a_header_of_another_name_is_dropped(name: str) -> None:
    assert kept_headers({name: "plain"}) == {}


@pytest.mark.parametrize("name", ["x-request-id", "X-Request-ID", "apim-request-id", "APIM-Request-Id"])
def test_the_providers_request_id_goes_under_a_name_of_its_own(name: str) -> None:
    assert kept_headers({name: "req_1"}) == {"x-upstream-request-id": "req_1"}
