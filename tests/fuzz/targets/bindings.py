"""What binds a handle to its bearer: the field ``bind`` of a mint, and an offer's certificates."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from app.errors import InvalidRequest
from app.handles.bindings import (
    MOST_FINGERPRINTS,
    canonical_fingerprint,
    canonical_origin,
    fingerprints_of,
    first_fingerprint,
    parse_binding,
    shown_binding,
)
from app.models import Binding
from app.store.records.bearers import packed, unpacked
from tests.fuzz.target import PLANTED, Target, kind_and_rest, without_secrets
from tests.support.offers import BROWSER_CERTIFICATE, BROWSER_OFFER, certificate

_USUAL: Final = "https://app.example.com"
_FIELDS: Final = frozenset({"bind", "bind.origin", "bind.fingerprint"})
_SIZES: Final = {"sha-256": 32, "sha-384": 48, "sha-512": 64}
_FINGERPRINT: Final = re.compile(r"(sha-\d{3}) ((?:[0-9A-F]{2}:)*[0-9A-F]{2})")
# A reader that forgives: any case, white space around the colon, anything before the word.
_LENIENT: Final = re.compile(r"fingerprint\s*:\s*(\S+)\s+([0-9a-f:]+)", re.IGNORECASE | re.ASCII)
# Where the hostile text goes into a browser's offer.
_PLACE_BYTES: Final = 2


def check(data: bytes) -> None:
    """``b``: the field as JSON. ``s``: an offer. ``i``: a place, and what stands there in a browser's offer.

    ``f``: any text for a fingerprint. ``o``: any text for an origin.
    """
    kind, rest = kind_and_rest(data, "bsifo")
    if kind == "b":
        _check_field(rest)
    elif kind == "s":
        _check_offer(rest)
    elif kind == "i":
        place = int.from_bytes(rest[:_PLACE_BYTES]) % (len(BROWSER_OFFER) + 1)
        _check_offer(BROWSER_OFFER[:place] + rest[_PLACE_BYTES:] + BROWSER_OFFER[place:])
    elif kind == "f":
        _check_fingerprint(canonical_fingerprint(rest.decode("utf-8", "surrogateescape")))
    else:
        text = rest.decode("utf-8", "surrogateescape")
        _check_origin(canonical_origin(text), text)


def _check_field(body: bytes) -> None:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return
    try:
        binding = parse_binding(value, usual_origin=_USUAL)
    except InvalidRequest as refused:
        without_secrets(refused.message)
        param = refused.param or ""
        assert param in _FIELDS or param.startswith("bind."), param
        assert len(param) <= len("bind.") + 64
        return
    given = value.get("origin") if isinstance(value, dict) else None
    if isinstance(given, str):
        _check_origin(binding.origin, given)
    else:
        named = isinstance(value, dict) and "origin" in value
        assert binding.origin == ("" if named else _USUAL)
    for one in filter(None, binding.fingerprint.split(", ")):
        _check_fingerprint(one)
    assert unpacked(packed(binding.fingerprint)) == binding.fingerprint
    # What the mint's answer shows binds to the same.
    shown = shown_binding(binding)
    again = parse_binding(shown) if shown else Binding()
    assert again == binding, "a second reading binds to something else"


def _check_fingerprint(found: str) -> None:
    """``found`` is what was read: one form, and nothing weak."""
    if not found:
        return
    matched = _FINGERPRINT.fullmatch(found)
    assert matched, f"no fingerprint in its one form: {found!r}"
    assert len(matched[2].split(":")) == _SIZES[matched[1]]
    assert canonical_fingerprint(found) == canonical_fingerprint(found.swapcase()) == found


def _check_origin(found: str, given: str) -> None:
    if not found:
        return
    assert canonical_origin(found) == found
    assert found.isascii()
    try:
        parts, theirs = urlsplit(found), urlsplit(given)
        ports = parts.port, theirs.port
    except ValueError:
        # No address that a browser could have, so no page comes from there.
        return
    assert (parts.path, parts.query, parts.fragment, parts.username) == ("", "", "", None)
    assert theirs.username is None, "a user's name is no part of an origin"
    assert (parts.scheme, parts.hostname) == (theirs.scheme.lower(), theirs.hostname), "it binds elsewhere"
    usual = {"https": 443, "http": 80}.get(parts.scheme)
    assert (ports[0] or usual) == (ports[1] or usual)


def _check_offer(sdp: bytes) -> None:
    """Where the certificates are clear, a reader that forgives finds no other beside them."""
    carried = fingerprints_of(sdp)
    first = first_fingerprint(sdp)
    _check_fingerprint(first)
    if not carried:
        return
    found = carried.split(", ")
    for one in found:
        _check_fingerprint(one)
    assert found == sorted(set(found))
    assert len(found) <= MOST_FINGERPRINTS
    assert first in found
    lines = sdp.decode("utf-8", "replace").splitlines()
    seen = {
        (name.lower(), digits.replace(":", "").upper())
        for line in lines
        for name, digits in _LENIENT.findall(line)
    }
    ours = {(name, digits.replace(":", "")) for name, _, digits in (one.partition(" ") for one in found)}
    assert seen == ours, "another reader finds other certificates"


_OWN: Final = BROWSER_CERTIFICATE.encode()
_OTHER: Final = certificate(2).encode()
_LINE: Final = b"a=fingerprint:"
_LONG: Final = b"sha-512 " + b":".join([b"EF"] * 64)
# Between the head of a browser's offer and its first section.
_IN_HEAD: Final = BROWSER_OFFER.index(b"m=").to_bytes(_PLACE_BYTES)

_FIELD_SEEDS: Final[tuple[Any, ...]] = (
    None,
    {},
    {"origin": _USUAL, "fingerprint": BROWSER_CERTIFICATE},
    {"origin": "HTTPS://App.Example.com:443"},
    {"origin": "https://[::1]:8443"},
    {"origin": None},
    {"origin": f"https://user:{PLANTED}@a.example"},
    {"fingerprint": [_LONG.decode(), certificate(1).lower()]},
    {"fingerprint": "sha-1 " + ":".join(["AB"] * 20)},
    {"fingerprint": [certificate(number) for number in range(MOST_FINGERPRINTS + 1)]},
    {"fingerprint": {}},
    {PLANTED[:8]: 1},
    [1],
)


TARGET: Final = Target(
    name="bindings",
    check=check,
    share=0.06,
    seeds=(
        *(b"b" + orjson.dumps(value) for value in _FIELD_SEEDS),
        b"s" + BROWSER_OFFER,
        b"sv=0\n" + _LINE + _OWN,
        b"s" + _LINE + _OWN + b"\n" + _LINE + _OTHER,
        b"sv=0\r\n" + b"".join(_LINE + certificate(number).encode() + b"\r\n" for number in range(5)),
        b"sv=0\r\n" + (_LINE + _LONG + b"\r\n") + (_LINE + _OWN + b"\r\n"),
        *(
            b"i" + _IN_HEAD + text
            for text in (
                _LINE + _OTHER + b"\r\n",
                _LINE + _OWN.lower() + b"\r\n",
                b"A=Fingerprint:" + _OTHER + b"\r\n",
                b"a=x\r" + _LINE + _OTHER + b"\r\n",
                b"a=x\xe2\x80\xa8" + _LINE + _OTHER + b"\r\n",
                _LINE + b" " + _OTHER + b"\r\n",
                b"a=fingerprint : " + _OTHER + b"\r\n",
                _LINE + _OTHER.replace(b" ", b"\t") + b"\r\n",
                _LINE + _OTHER + b"\0\r\n",
                b"a=f\xc4\xb1ngerprint:" + _OTHER + b"\r\n",
            )
        ),
        b"f" + _OWN,
        b"f" + _OWN.replace(b":", b" ", 1),
        b"f" + _OWN.replace(b"sha-256", b"SHA-256").lower(),
        b"f" + _LONG,
        b"fsha-256 " + b"\xd9\xa3" * 95,
        b"ohttps://app.example.com",
        b"ocapacitor://localhost",
        b"ohttp://[::1]:80",
        b"ohttps://a..b",
        b"ohttps://" + b"a" * 300,
        b"onull",
    ),
    words=(
        *(
            _LINE,
            b"fingerprint",
            b"FINGERPRINT",
            b"sha-256 ",
            b"SHA-256 ",
            b"sha-384 ",
            b"sha-512 ",
            b"sha-1 ",
        ),
        *(
            b"\r",
            b"\r\n",
            b"\x0b",
            b"\xe2\x80\xa8",
            b"\xc2\x85",
            b"\t",
            b": ",
            _OTHER,
            _LINE + _OTHER + b"\r\n",
        ),
        *(b'"origin"', b'"fingerprint"', b"https://", b":443", b"[::1]"),
    ),
    longest=8192,
)
