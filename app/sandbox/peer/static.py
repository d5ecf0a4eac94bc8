"""An SDP answer that is only text: as strict as the real peer's, without a peer, for load tests."""

from __future__ import annotations

import re
import secrets
from typing import Any

from ..calls import CallTerms
from ..conversation.outbox import EventError, Sink, error_fields, event_text, parse_event
from ..conversation.silent import SilentLive

_MID = re.compile(r"^a=mid:(\S+)", re.M)
_OPUS = re.compile(r"^a=rtpmap:(\d+) opus/48000", re.M | re.I)
# One certificate's fingerprint for the life of the process, as a real server has.
_FINGERPRINT = ":".join(f"{byte:02X}" for byte in secrets.token_bytes(32))
# The discard port: nothing listens, and a client that tries to connect fails as with an unreachable provider.
_NOBODY = 9


def answer_text(offer: str, port: int = _NOBODY) -> str:
    """An answer whose m-lines match the offer's in number, kind, order and mid (RFC 9429, section 5.3.1).

    Its one candidate is this UDP port of the loopback address. Browsers do not try the default, which is low.
    """
    sections = re.split(r"^(?=m=)", offer, flags=re.M)[1:]
    mids = [found.group(1) if (found := _MID.search(s)) else str(i) for i, s in enumerate(sections)]
    accepted = [
        mid for mid, s in zip(mids, sections, strict=True) if s.startswith(("m=audio", "m=application"))
    ]
    ice = [
        f"a=ice-ufrag:{secrets.token_hex(4)}",
        f"a=ice-pwd:{secrets.token_hex(12)}",
        f"a=fingerprint:sha-256 {_FINGERPRINT}",
        "a=setup:active",
        f"a=candidate:1 1 udp 2130706431 127.0.0.1 {port} typ host",
        "a=end-of-candidates",
    ]
    lines = [
        "v=0",
        f"o=- {secrets.randbits(62)} 2 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        f"a=group:BUNDLE {' '.join(accepted)}",
        "a=msid-semantic:WMS *",
    ]
    for mid, section in zip(mids, sections, strict=True):
        lines += _media(section, mid, ice)
    return "\r\n".join(lines) + "\r\n"


def _media(section: str, mid: str, ice: list[str]) -> list[str]:
    kind = section[2:].split(" ", 1)[0]
    if kind == "audio" and (opus := _OPUS.search(section)):
        payload = opus.group(1)
        return [
            f"m=audio 9 UDP/TLS/RTP/SAVPF {payload}",
            "c=IN IP4 0.0.0.0",
            f"a=mid:{mid}",
            "a=sendrecv",
            "a=rtcp-mux",
            f"a=rtpmap:{payload} opus/48000/2",
            f"a=fmtp:{payload} minptime=10;useinbandfec=1",
            f"a=ssrc:{secrets.randbits(31) + 1} cname:sandbox",
            *ice,
        ]
    if kind == "application":
        return [
            "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
            "c=IN IP4 0.0.0.0",
            f"a=mid:{mid}",
            "a=sctp-port:5000",
            "a=max-message-size:262144",
            *ice,
        ]
    # A refused m-line keeps its place, with port 0 (RFC 3264, section 6).
    words = section.split("\n", 1)[0].split()
    return [f"{words[0]} 0 {' '.join(words[2:])}", "c=IN IP4 0.0.0.0", f"a=mid:{mid}", "a=inactive"]


# --- The provider's end of a call in `static` mode: an answer without a peer -------------------


class StaticPeer:
    """Answers with text. It never connects, so it only ends when it is hung up.

    A sideband gets the session, and an `error` for each client event: there is no conversation.
    """

    def __init__(self, terms: CallTerms) -> None:
        self.state = "new"
        self._session = terms.session
        self._gpt_live = SilentLive(terms.session) if terms.gpt_live else None

    async def answer(self, offer: str) -> str:
        return answer_text(offer)

    def attach(self, sink: Sink) -> None:
        if self._gpt_live is not None:
            self._gpt_live.attach(sink)
        else:
            sink(event_text("session.created", {"session": dict(self._session)}))

    def detach(self, sink: Sink) -> None:
        """Nothing is sent after `session.created`, but for the end of a Live session."""
        if self._gpt_live is not None:
            self._gpt_live.detach(sink)

    def ending(self, reason: str) -> None:
        """A Live session tells its end."""
        if self._gpt_live is not None:
            self._gpt_live.ending(reason)

    def received(self, message: str, sink: Sink) -> None:
        error = EventError("This call has no conversation.", "invalid_event_for_session_type", "type")
        event: dict[str, Any] = {}
        try:
            event = parse_event(message)
        except EventError as malformed:
            error = malformed
        sink(event_text("error", {"error": error_fields(error, event.get("event_id"))}))

    async def close(self) -> None:
        self.state = "closed"
