"""A hang-up on the wire: what is asked of each provider, and which answers mean that the call is over."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidRequest, UpstreamError
from app.providers.base import is_call_id
from app.providers.registry import PROVIDERS
from tests.unit.providers.responses import response
from tests.unit.values import deployment


@pytest.mark.parametrize("name", ["openai", "azure"])
def test_a_hang_up_goes_out_empty_with_the_standard_key_in_one_header_only(name: Any) -> None:
    place = deployment(name)
    request = PROVIDERS[name].hangup_request(place, "rtc_1")
    assert place.api_key is not None
    key = place.api_key.reveal()
    assert (request.url, request.body) == (f"{place.base_url}/realtime/calls/rtc_1/hangup", b"")
    holders = {header: value for header, value in request.headers.items() if key in value}
    assert holders == ({"Authorization": f"Bearer {key}"} if name == "openai" else {"api-key": key})
    assert key not in request.url


def test_azures_preview_says_what_to_do_instead() -> None:
    with pytest.raises(InvalidRequest, match=r"cannot hang up\. Close the browser's peer connection"):
        PROVIDERS["azure-preview"].hangup_request(deployment("azure-preview"), "rtc_1")


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_every_2xx_ends_the_call_whatever_its_body(status: int) -> None:
    assert PROVIDERS["openai"].read_hangup(deployment(), response(status, b"<html>")) is True


@pytest.mark.parametrize(
    ("status", "body", "seen"),
    [
        (404, b"", (502, "upstream_error")),
        (404, b"<html>call_id_not_found</html>", (502, "upstream_error")),
        (404, b'{"error": {"code": "call_id_not_found"}}', (502, "upstream_error")),
        (404, b'{"error": {"code": "DeploymentNotFound", "message": "x"}}', (404, "DeploymentNotFound")),
        (400, b'{"error": {"code": "call_id_not_found", "message": "x"}}', (400, "call_id_not_found")),
        (302, b"", (502, "upstream_error")),
        (101, b"", (502, "upstream_error")),
        (500, b'{"error": {"message": "x"}}', (500, "upstream_error")),
    ],
)
def test_only_a_well_formed_404_of_the_calls_id_means_that_it_is_gone(
    status: int, body: bytes, seen: tuple[int, str]
) -> None:
    with pytest.raises(UpstreamError) as refused:
        PROVIDERS["openai"].read_hangup(deployment(), response(status, body))
    assert (refused.value.answer_status, refused.value.answer_code) == seen


@given(text=st.one_of(st.text(max_size=140), st.from_regex(r"[A-Za-z0-9_-]{0,130}", fullmatch=True)))
def test_a_call_id_is_short_and_plain(text: str) -> None:
    plain = all(letter.isascii() and (letter.isalnum() or letter in "_-") for letter in text)
    assert is_call_id(text) is (plain and 1 <= len(text) <= 128)
