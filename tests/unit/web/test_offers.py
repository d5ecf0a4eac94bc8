"""The offer in each of its three forms, its digest, and what is refused as no offer at all."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson
import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st

from app.errors import CloakroomError, InvalidOffer, InvalidRequest, UnsupportedMediaType
from app.models import Offer
from app.web.calls.offers import check_offer, parse_offer
from app.web.incoming import parse_json_object
from tests.support.offers import BROWSER_OFFER

SDP = BROWSER_OFFER
JSON = "application/json"
FORM = "multipart/form-data; boundary=b"


def parse(content_type: str | None, body: bytes) -> Offer:
    return parse_offer(content_type or "", body)


def form(**parts: bytes) -> bytes:
    pieces = [
        b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (name.encode(), payload)
        for name, payload in parts.items()
    ]
    return b"".join(pieces) + b"--b--\r\n"


@pytest.mark.parametrize(
    "content_type", ["application/sdp", "Application/SDP", "application/sdp; charset=utf-8"]
)
@pytest.mark.parametrize("sdp", [SDP, SDP.replace(b"\r\n", b"\n"), SDP + b"\r\n", SDP.rstrip()])
def test_a_raw_offer_is_kept_byte_for_byte_with_its_sha256(content_type: str, sdp: bytes) -> None:
    assert parse(content_type, sdp) == Offer(sdp=sdp, sha256=hashlib.sha256(sdp).hexdigest())


@pytest.mark.parametrize("session", [None, b"{}", b'{"type": "realtime", "model": "anything"}'])
def test_an_offer_in_a_form_is_kept_byte_for_byte_with_or_without_a_session(session: bytes | None) -> None:
    parts = {"sdp": SDP} if session is None else {"sdp": SDP, "session": session}
    assert parse(FORM, form(**parts)) == parse("application/sdp", SDP)


@pytest.mark.parametrize("session", [None, {}, {"type": "realtime"}])
def test_an_offer_in_json_is_the_same_offer(session: Any) -> None:
    body = orjson.dumps({"sdp": SDP.decode(), "session": session, "model": "x"})
    assert parse(JSON, body) == parse("application/sdp", SDP)


def test_letters_beyond_ascii_survive_json() -> None:
    sdp = SDP.replace(b"s=-", "s=Größe 😀".encode())
    assert parse(JSON, orjson.dumps({"sdp": sdp.decode()})).sdp == sdp


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "application/octet-stream",
        "application/x-www-form-urlencoded",
        "sdp",
        "multipart/mixed",
    ],
)
def test_any_other_content_type_is_a_415_that_names_the_three(content_type: str | None) -> None:
    with pytest.raises(UnsupportedMediaType) as refused:
        parse(content_type, SDP)
    assert refused.value.status == 415
    for named in ("application/sdp", "multipart/form-data", "JSON"):
        assert named in refused.value.message


@pytest.mark.parametrize(
    ("content_type", "body", "param"),
    [
        (JSON, b"", None),
        (JSON, b"{", None),
        (JSON, b"[]", None),
        (JSON, b"null", None),
        (JSON, b'"v=0"', None),
        (JSON, b"\xff\xfe", None),
        (JSON, b'{"sdp": "\\ud800"}', None),
        (JSON, b"{}", "sdp"),
        (JSON, b'{"sdp": null}', "sdp"),
        (JSON, b'{"sdp": ["v=0"]}', "sdp"),
        (JSON, b'{"sdp": {"type": "offer", "sdp": "v=0"}}', "sdp"),
        (JSON, b'{"sdp": "v=0", "session": "realtime"}', "session"),
        (JSON, b'{"sdp": "v=0", "session": []}', "session"),
        (FORM, form(session=b"{}"), "sdp"),
        (FORM, form(sdp=SDP, session=b"not json"), None),
        (FORM, form(sdp=SDP, session=b""), None),
        (FORM, form(sdp=SDP, session=b"[]"), None),
        (FORM, SDP, None),
        ("multipart/form-data", form(sdp=SDP), None),
    ],
)
def test_a_body_of_the_wrong_shape_is_a_400_that_names_the_part(
    content_type: str, body: bytes, param: str | None
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse(content_type, body)
    assert (refused.value.code, refused.value.param) == ("invalid_request", param)


NO_OFFERS = {
    "empty": b"",
    "blank": b" \r\n\t\r\n",
    "prose": b"hello",
    "html": b"<html></html>",
    "another version": SDP.replace(b"v=0", b"v=1"),
    "a line before it": b"\r\n" + SDP,
    "a byte order mark": b"\xef\xbb\xbf" + SDP,
    "a nul": SDP + b"\0",
    "not utf-8": SDP + b"a=\xff\r\n",
    "no audio": SDP.replace(b"m=audio", b"m=video"),
    "audio in the middle of a line": SDP.replace(b"\r\nm=audio ", b"\r\na=m=audio "),
    "no ice": SDP.replace(b"a=ice-ufrag:", b"a=nice-ufrag:"),
    "no dtls": SDP.replace(b"a=fingerprint:", b"a=thumbprint:"),
    "json": orjson.dumps({"sdp": SDP.decode()}),
}


@pytest.mark.parametrize("sdp", NO_OFFERS.values(), ids=NO_OFFERS.keys())
def test_what_no_browser_would_send_is_an_invalid_offer(sdp: bytes) -> None:
    with pytest.raises(InvalidOffer) as refused:
        parse("application/sdp", sdp)
    assert (refused.value.status, refused.value.code, refused.value.param) == (400, "invalid_offer", "sdp")


@pytest.mark.parametrize("form_of", ["form", "json"])
def test_an_invalid_offer_is_one_in_every_form(form_of: str) -> None:
    with pytest.raises(InvalidOffer):
        parse(*{"form": (FORM, form(sdp=b"hello")), "json": (JSON, b'{"sdp": "hello"}')}[form_of])


@pytest.mark.parametrize(
    ("gone", "named"),
    [
        (b"m=audio", "audio section"),
        (b"a=ice-ufrag:", "ICE username"),
        (b"a=fingerprint:", "DTLS fingerprint"),
    ],
)
def test_a_refused_offer_says_what_it_lacks(gone: bytes, named: str) -> None:
    with pytest.raises(InvalidOffer, match=named):
        check_offer(SDP.replace(gone, b"x=gone"))


@given(body=st.binary(max_size=150), content_type=st.sampled_from(["application/sdp", JSON, FORM]))
def test_no_bytes_whatever_are_a_failure_of_ours(body: bytes, content_type: str) -> None:
    with pytest.raises(CloakroomError) as refused:
        parse(content_type, body)
    assert 400 <= refused.value.status < 500


# --- the mint's body --------------------------------------------------------------------------------


def parse_json(content_type: str, body: bytes) -> dict[str, Any]:
    return parse_json_object(make_mocked_request("POST", "/", headers={"Content-Type": content_type}), body)


@pytest.mark.parametrize("content_type", [JSON, "APPLICATION/JSON", "application/json; charset=utf-8"])
def test_a_json_object_is_read(content_type: str) -> None:
    assert parse_json(content_type, b'{"a": [1]}') == {"a": [1]}


@pytest.mark.parametrize(
    "content_type", ["", "text/json", "text/plain", "application/sdp", "application/json5"]
)
def test_a_mint_of_another_content_type_is_a_415(content_type: str) -> None:
    with pytest.raises(UnsupportedMediaType, match="application/json"):
        parse_json(content_type, b"{}")


@pytest.mark.parametrize(
    "body", [b"", b" ", b"[]", b"5", b"null", b"{", b"{'a': 1}", b"\xff", b"[" * 5000, b"NaN"]
)
def test_a_mint_that_is_no_json_object_is_a_400(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse_json(JSON, body)
