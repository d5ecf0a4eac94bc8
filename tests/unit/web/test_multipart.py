"""Forms: parts byte for byte, from every builder there is, and no body that exhausts us."""

from __future__ import annotations

import aiohttp
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidRequest
from app.web.calls.offers import MAX_PARTS, read_form
from tests.support.clocks import kept_deadline
from tests.support.offers import BROWSER_OFFER

TYPE = 'multipart/form-data; boundary="b"'


def form(*parts: bytes, end: bytes = b"--b--\r\n") -> bytes:
    return b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + end


def part(name: str, payload: bytes, *headers: str) -> bytes:
    lines = [f'Content-Disposition: form-data; name="{name}"', *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + payload


def refused(content_type: str, body: bytes) -> str:
    with pytest.raises(InvalidRequest) as error:
        read_form(content_type, body)
    return error.value.message


def by_httpx(sdp: bytes, session: bytes) -> tuple[str, bytes]:
    files = {"sdp": (None, sdp, "application/sdp"), "session": (None, session, "application/json")}
    request = httpx2.Request("POST", "http://test", files=files)
    return request.headers["content-type"], request.read()


async def by_aiohttp(sdp: bytes, session: bytes) -> tuple[str, bytes]:
    form_data = aiohttp.FormData(default_to_multipart=True)
    form_data.add_field("sdp", sdp, content_type="application/sdp", filename="offer.sdp")
    form_data.add_field("session", session.decode(), content_type="application/json")
    payload = form_data()
    return payload.headers["Content-Type"], await payload.as_bytes()


OFFERS = {
    "a browser's": BROWSER_OFFER,
    "without a line break at its end": BROWSER_OFFER.rstrip(),
    "with two": BROWSER_OFFER + b"\r\n",
    "with bare line feeds": BROWSER_OFFER.replace(b"\r\n", b"\n"),
    "with mixed line ends": BROWSER_OFFER.replace(b"\r\na=", b"\na="),
    "with umlauts": BROWSER_OFFER.replace(b"s=-", "s=Garderobe für Ü".encode()),
    "with dashes": BROWSER_OFFER + b"a=--\r\n--\r\n",
    "empty": b"",
}
SESSION = b'{"type": "realtime"}'


@pytest.mark.parametrize("sdp", OFFERS.values(), ids=OFFERS.keys())
async def test_httpx_and_aiohttp_forms_give_the_offer_back_byte_for_byte(sdp: bytes) -> None:
    for content_type, body in (by_httpx(sdp, SESSION), await by_aiohttp(sdp, SESSION)):
        assert read_form(content_type, body) == {"sdp": sdp, "session": SESSION}


def test_a_browsers_form_is_read() -> None:
    boundary = "----WebKitFormBoundary7MA4YWxkTrZu0gW"
    body = form(part("sdp", BROWSER_OFFER), part("session", SESSION), end=b"--b--\r\n")
    body = body.replace(b"--b", b"--" + boundary.encode())
    content_type = f"multipart/form-data; boundary={boundary}"
    assert read_form(content_type, body) == {"sdp": BROWSER_OFFER, "session": SESSION}


@given(payload=st.binary(max_size=200).filter(lambda payload: b"\r\n--b" not in b"\r\n" + payload))
def test_any_bytes_without_the_boundary_come_back_as_they_were(payload: bytes) -> None:
    assert read_form(TYPE, form(part("sdp", payload))) == {"sdp": payload}


@pytest.mark.parametrize(
    "header",
    [
        'content-disposition: form-data; name="sdp"',
        'CONTENT-DISPOSITION:form-data;name="sdp"',
        "Content-Disposition: form-data; name=sdp",
        'Content-Disposition: form-data; filename="offer.sdp"; name="sdp"',
        'Content-Disposition: form-data; name="sdp"; filename="session"',
        'Content-Type: application/sdp\r\nContent-Disposition: form-data; name="sdp"\r\nX-More: 1',
    ],
)
def test_every_way_to_write_a_parts_name_is_read(header: str) -> None:
    assert read_form(TYPE, form(header.encode() + b"\r\n\r\nv=0")) == {"sdp": b"v=0"}


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Content-Type: text/plain",
        'Content-Disposition: attachment; name="sdp"',
        "Content-Disposition: form-data",
    ],
)
def test_a_part_without_a_name_is_passed_over(header: str) -> None:
    assert read_form(TYPE, form(header.encode() + b"\r\n\r\nv=0", part("x", b"1"))) == {"x": b"1"}


def test_of_two_parts_with_one_name_the_first_counts() -> None:
    assert read_form(TYPE, form(part("sdp", b"1"), part("sdp", b"2"))) == {"sdp": b"1"}


@pytest.mark.parametrize("lead", [b"", b"\r\n", b"a preamble for old mail programs\r\n"])
@pytest.mark.parametrize("tail", [b"", b"\r\n", b"\r\nan epilogue\r\n--b\r\n"])
def test_what_stands_before_the_first_and_after_the_last_boundary_is_nothing(
    lead: bytes, tail: bytes
) -> None:
    assert read_form(TYPE, lead + form(part("sdp", b"v=0"), end=b"--b--") + tail) == {"sdp": b"v=0"}


@pytest.mark.parametrize("padding", [b" ", b"\t  "])
def test_spaces_after_a_boundary_are_allowed(padding: bytes) -> None:
    body = b"--b" + padding + b"\r\n" + part("sdp", b"v=0") + b"\r\n--b--"
    assert read_form(TYPE, body) == {"sdp": b"v=0"}


@pytest.mark.parametrize("encoding", ["7bit", "8bit", "binary", "BINARY"])
def test_an_encoding_that_encodes_nothing_is_allowed(encoding: str) -> None:
    header = f"Content-Transfer-Encoding: {encoding}"
    assert read_form(TYPE, form(part("sdp", b"v=0=", header)))["sdp"] == b"v=0="


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "x-gzip", "7bits"])
def test_any_other_encoding_is_refused_and_not_half_understood(encoding: str) -> None:
    """RFC 7578, section 4.7: nobody sends one any more."""
    header = f"Content-Transfer-Encoding: {encoding}"
    assert "Content-Transfer-Encoding" in refused(TYPE, form(part("sdp", b"dj0w", header)))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"v=0",
        b"--b",
        b"--b\r\n",
        b"--b\r\n\r\n",
        b"--b\r\nContent-Disposition: form-data; name=sdp",
        form(part("sdp", b"v=0"), end=b""),
        form(part("sdp", b"v=0"), end=b"--b"),
        form(b'Content-Disposition: form-data; name="sdp"\r\nv=0'),
        form(part("sdp", b"v=0")).replace(b"--b", b"--other"),
        form(part("sdp", b"v=0")).replace(b"--b\r\n", b"--bad\r\n"),
        form(part("sdp", b"v=0")).replace(b"\r\n", b"\n"),
    ],
)
def test_a_form_that_breaks_off_or_is_none_is_refused(body: bytes) -> None:
    assert "cannot be read" in refused(TYPE, body)


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        "multipart/form-data; boundary=" + "x" * 71,
        "multipart/form-data; boundary*=utf-8''%ff",
        "multipart/form-data; boundary*=undefined''b",
        "multipart/form-data; boundary*=\0''b",
        "multipart/form-data; boundary=\xff",
        "multipart/form-data; boundary=\udcff",
        "multipart/form-data; charset=utf-8",
    ],
)
def test_without_a_usable_boundary_nothing_is_read(content_type: str) -> None:
    assert refused(content_type, form(part("sdp", b"v=0")))


def test_a_form_has_a_handful_of_parts() -> None:
    parts = [part(str(number), b"") for number in range(MAX_PARTS + 1)]
    assert len(read_form(TYPE, form(*parts[:-1]))) == MAX_PARTS
    refused(TYPE, form(*parts))


def nested(levels: int) -> bytes:
    """Multiparts within multiparts, as a parser for mail descends into them."""
    lines = [b"--b"]
    for level in range(levels):
        lines += [b"Content-Type: multipart/mixed; boundary=%x" % level, b"", b"--%x" % level]
    return b"\r\n".join(lines)


BOMBS = {
    "nested messages": b"--b\r\n" + b"Content-Type: message/rfc822\r\n\r\n" * 2000,
    "nested multiparts": nested(1200),
    "boundaries only": b"--b\r\n" * 13_000,
    "one endless header": b"--b\r\nContent-Disposition: form-data" + b"; x=1" * 13_000,
    "spaces": b"--b\r\nContent-Disposition: form-data;" + b" " * 65_000,
    "dashes": b"\r\n--" * 16_000,
}


@pytest.mark.parametrize("body", BOMBS.values(), ids=BOMBS.keys())
def test_a_body_that_is_made_to_exhaust_a_parser_is_refused_at_once(body: bytes) -> None:
    with kept_deadline(0.3):
        refused(TYPE, body)


@given(body=st.text('\r\n-b:; "=ContentDisposition: form-data;name', max_size=120).map(str.encode))
def test_no_body_makes_the_reader_fail_in_another_way(body: bytes) -> None:
    try:
        parts = read_form(TYPE, body)
    except InvalidRequest:
        return
    assert isinstance(parts, dict)
