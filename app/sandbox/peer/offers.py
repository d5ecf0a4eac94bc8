"""Reading an SDP offer as far as the provider must, before it is acted on. No I/O."""

from __future__ import annotations

import re

from ..refusals import invalid_offer

# What an offer needs to be answerable with ICE, DTLS and one audio stream (RFC 8839, 8842 and 9429).
_REQUIRED = {
    "no audio m-line": re.compile(r"^m=audio ", re.M),
    "no ice-ufrag": re.compile(r"^a=ice-ufrag:\S{4,}", re.M),
    "no ice-pwd": re.compile(r"^a=ice-pwd:\S{22,}", re.M),
    "no DTLS fingerprint": re.compile(r"^a=fingerprint:\S+ [0-9A-Fa-f:]+", re.M),
    "a=setup must be actpass or active": re.compile(r"^a=setup:(?:actpass|active)\s*$", re.M),
    "no Opus in the audio m-line": re.compile(r"^a=rtpmap:\d+ opus/48000", re.M | re.I),
}
_MDNS_CANDIDATE = re.compile(r"^a=candidate:(?:\S+ ){4}\S+\.local .*\r?\n", re.M)
_END_OF_CANDIDATES = re.compile(r"^a=end-of-candidates\s*\r?\n", re.M)


def read_offer(body: bytes) -> str:
    """The body as an SDP offer.

    Raises Refusal (400 `invalid_offer`) when it is none; a chat message, HTML, an answer without its parts,
    and an empty body are all none.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise invalid_offer("not UTF-8 text") from error
    if not text.startswith("v=0"):
        raise invalid_offer("it must start with v=0")
    for why, pattern in _REQUIRED.items():
        if not pattern.search(text):
            raise invalid_offer(why)
    # Browsers omit the final line end never, but people paste offers into curl; parsers need it.
    return text if text.endswith("\n") else text + "\r\n"


def reachable_part(offer: str) -> str:
    """The offer without what this host could only wait for.

    A browser hides its addresses behind `<uuid>.local` names. Resolving one takes a second of multicast and
    fails on another host, while the browser's own checks reveal the address at once (peer-reflexive
    candidates), so such candidates go. The end-of-candidates mark goes with them: it would make ICE give up
    before those checks arrive.
    """
    return _END_OF_CANDIDATES.sub("", _MDNS_CANDIDATE.sub("", offer))
