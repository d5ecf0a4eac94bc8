"""The reader of offers: raw, a form, JSON, and GPT-Live's form, with the checks of their SDP."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Final

import orjson

from app.errors import InvalidOffer, InvalidRequest, UnsupportedMediaType
from app.models import Family, Offer
from app.web.calls.offers import MAX_PARTS, parse_live_offer, parse_offer, read_form
from tests.fuzz.target import PLANTED, Target, kind_and_rest, without_secrets

_SDP: Final = (
    b"v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n"
    b"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789\r\n"
    b"a=fingerprint:sha-256 AB:CD:EF\r\na=setup:actpass\r\na=mid:0\r\na=sendrecv\r\n"
)
_SMALL: Final = b"v=0\nm=audio 9\na=ice-ufrag:a\na=fingerprint:sha-256 AB\n"
_REFUSALS: Final = (InvalidOffer, InvalidRequest, UnsupportedMediaType)
_NEEDED: Final = re.compile(rb"\nm=audio ")
_BOUNDARY: Final = re.compile(rb"[0-9A-Za-z'()+_,./:=?-]{1,70}\Z")


def check(data: bytes) -> None:
    """``o``, ``l``: a content type, a line break, a body. ``f``: parts of a form that we put together."""
    kind, rest = kind_and_rest(data, "olf")
    if kind == "f":
        _check_form(rest)
        return
    line, _, body = rest.partition(b"\n")
    content_type = line.decode("utf-8", "surrogateescape")
    try:
        if kind == "l":
            offer = parse_live_offer(content_type, body)
        else:
            offer = parse_offer(content_type, body, Family.REALTIME)
    except _REFUSALS as refused:
        without_secrets(refused.message)
        return
    _check_offer(offer)
    media_type = content_type.partition(";")[0].strip().lower()
    if kind == "l":
        assert _second_opinion(body, "transport", "sdp") in (None, offer.sdp)
        assert offer.path is Family.LIVE
    elif media_type == "application/json":
        assert _second_opinion(body, "sdp") in (None, offer.sdp)
    elif media_type == "application/sdp":
        assert offer.sdp == body
    else:
        assert offer.sdp in body, "the form's part is not what was sent"
    if kind == "o":
        assert offer.sha256 == hashlib.sha256(offer.sdp).hexdigest()


def _check_offer(offer: Offer) -> None:
    sdp = offer.sdp
    assert sdp.startswith(b"v=0")
    assert b"\0" not in sdp
    sdp.decode("utf-8")
    assert _NEEDED.search(sdp)
    assert b"\na=fingerprint:" in sdp
    assert b"\na=ice-ufrag:" in sdp
    assert len(offer.sha256) == 64
    assert offer.session is None or isinstance(offer.session, dict)


def _second_opinion(body: bytes, *path: str) -> bytes | None:
    """The same text by the standard library's reader; None where it cannot read the document."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    for name in path:
        found = found[name]
    return str(found).encode("utf-8", "replace")


def _check_form(data: bytes) -> None:
    """Whatever stands in the parts of a well-formed form comes back byte for byte, and nothing else."""
    boundary, _, rest = data.partition(b"\n")
    if not _BOUNDARY.match(boundary):
        return
    payloads = rest.split(b"\xff\xff")[:MAX_PARTS]
    delimiter = b"\r\n--" + boundary
    if any(delimiter in b"\r\n" + payload for payload in payloads):
        return
    body = b"".join(
        b'--%b\r\nContent-Disposition: form-data; name="p%d"\r\n\r\n%b\r\n' % (boundary, number, payload)
        for number, payload in enumerate(payloads)
    )
    # Where a payload and what follows it make a delimiter, no reader could tell.
    if body.count(delimiter) != len(payloads) - 1:
        return
    content_type = f'multipart/form-data; boundary="{boundary.decode("ascii")}"'
    found = read_form(content_type, body + b"--" + boundary + b"--\r\n")
    assert found == {f"p{number}": payload for number, payload in enumerate(payloads)}


def _form(boundary: bytes, *parts: tuple[bytes, bytes]) -> bytes:
    whole = b"".join(
        b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (boundary, name, payload)
        for name, payload in parts
    )
    return whole + b"--%b--\r\n" % boundary


TARGET: Final = Target(
    name="offers",
    check=check,
    share=0.2,
    seeds=(
        b"oapplication/sdp\n" + _SDP,
        b"oapplication/sdp; charset=utf-8\n" + _SMALL,
        b"oapplication/sdp\n" + _SMALL + b"\xc3",
        b"oapplication/sdp\n" + _SMALL + b"\0",
        b"oapplication/json\n" + orjson.dumps({"sdp": _SMALL.decode(), "session": {}}),
        b"oapplication/json\n" + orjson.dumps({"sdp": _SMALL.decode(), "session": PLANTED}),
        b'oapplication/json\n{"sdp":"v=0\\nm=audio 9\\na=ice-ufrag:a\\na=fingerprint:\\u00e9"}',
        b'oapplication/json\n{"sdp":' + b"[" * 1200,
        b"omultipart/form-data; boundary=b\n" + _form(b"b", (b"sdp", _SDP), (b"session", b"{}")),
        b'omultipart/form-data; boundary="b c"\n' + _form(b"b c", (b"sdp", _SMALL)),
        b"omultipart/form-data; boundary*=utf-8''b\n" + _form(b"b", (b"sdp", _SMALL)),
        b"omultipart/form-data; boundary*0=b; boundary*1=c\n" + _form(b"bc", (b"sdp", _SMALL)),
        b"omultipart/form-data; boundary*x*=y'z\n" + _form(b"b", (b"sdp", _SMALL)),
        b"omultipart/form-data; boundary=b\n--b  \r\nContent-Disposition: form-data; name=sdp\r\n\r\n"
        + _SMALL,
        b"omultipart/form-data; boundary=b\npreamble\r\n" + _form(b"b", (b"sdp", _SMALL)) + b"epilogue",
        b"omultipart/mixed; boundary=b\n" + _form(b"b", (b"sdp", _SMALL)),
        b"lapplication/json\n" + orjson.dumps({"transport": {"type": "webrtc", "sdp": _SMALL.decode()}}),
        b"lapplication/json\n"
        + orjson.dumps({"transport": {"type": "webrtc", "sdp": _SMALL.decode()}, "session": {"a": [1]}}),
        b"lapplication/json\n" + orjson.dumps({PLANTED[:10]: 1}),
        b"fb\none\xff\xfftwo\r\n--\xff\xff",
        b"f--\n--\xff\xff--b",
    ),
    words=(
        *(
            b"a=fingerprint:",
            b"m=audio ",
            b"a=ice-ufrag:",
            b"v=0",
            b"\r\n\r\n",
            b"--b",
            b'name="sdp"',
            b"boundary=",
        ),
        *(b"Content-Disposition: form-data; ", b"Content-Transfer-Encoding: ", b'"sdp"', b'"transport"'),
        *(b'"session"', b"application/sdp\n", b"application/json\n", b"multipart/form-data; boundary="),
    ),
)
