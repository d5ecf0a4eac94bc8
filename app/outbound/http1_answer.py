"""Reads answers of HTTP/1.1 (RFC 9112) from bytes: no sockets, no clock. The tokens are llhttp's work.

What llhttp does not decide is decided here: where an answer ends that only the connection's end delimits,
that interim answers are passed over, how large an answer may be, and whether the connection may be used
again. It runs in its strict mode, so that nothing is guessed about malformed answers.
"""

from __future__ import annotations

from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from app.outbound.http1_fields import Fields
from app.providers.base import UpstreamResponse

# An SDP answer is 2 to 3 kB and a minted session under 10 kB; this is the cap for either, in bytes.
MAX_ANSWER_BYTES: Final = 262_144
# Status lines and header fields, those of interim answers included; a provider sends 1 to 3 kB.
MAX_HEAD_BYTES: Final = 65_536
# RFC 9110: these have no content, whatever their fields say.
_BODILESS: Final = frozenset({204, 304})
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})


class Malformed(Exception):
    """What came is no answer of HTTP/1.1, or too large to be one. Quotes nothing of it."""


class AnswerReader:
    """Reads one answer after another: ``feed`` until it returns one, then ``reset`` for the next.

    The parser calls the methods ``on_...``; it and this object refer to each other until ``close``.
    """

    __slots__ = (
        "_body_size",
        "_complete",
        "_fields",
        "_final",
        "_head_fields",
        "_head_size",
        "_keep",
        "_parser",
        "_pieces",
        "_status",
        "_surplus",
    )

    def __init__(self) -> None:
        self.reset()
        self._parser: HttpResponseParser | None = HttpResponseParser(self)

    def reset(self) -> None:
        """Be ready for the answer to the next request."""
        self._fields: list[tuple[bytes, bytes]] = []
        self._head_fields: list[tuple[bytes, bytes]] = []
        self._pieces: list[bytes] = []
        self._head_size = self._body_size = self._status = 0
        # ``final``: the head of the answer itself, and not of an interim one, is read.
        self._final = self._complete = self._surplus = self._keep = False

    @property
    def reusable(self) -> bool:
        """Whether, after a whole answer, the connection may carry another request."""
        return self._complete and self._keep and not self._surplus

    def close(self) -> None:
        """Let go of the parser; nothing is read any more."""
        self._parser = None

    def feed(self, data: bytes) -> UpstreamResponse | None:
        """Take the next bytes; returns the answer once it is whole.

        Raises:
            Malformed: this can never become an answer that is of use.
        """
        if self._parser is None:
            raise Malformed
        if not self._final:
            self._head_size += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            # What follows a whole answer spoils the connection, not the answer.
            if not self._complete:
                raise Malformed from error
            self._surplus = True
        if self._body_size > MAX_ANSWER_BYTES or (self._head_size > MAX_HEAD_BYTES and not self._fits()):
            raise Malformed
        return self._answer() if self._complete else None

    def end(self) -> UpstreamResponse:
        """The connection has ended in good order: an answer may be whole by that.

        Raises:
            Malformed: it is not.
        """
        if not self._final or self._complete or self._names() & _FRAMING:
            raise Malformed
        return self._answer()

    def on_message_begin(self) -> None:
        if self._complete:
            self._surplus = True

    def on_header(self, name: bytes, value: bytes) -> None:
        # Trailers come by here too: they end up in a list that nobody reads.
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        parser = self._parser
        if self._complete or parser is None:
            return
        self._status = status = parser.get_status_code()
        fields, self._fields = self._fields, []
        if status < 200:
            # Nobody asked to switch protocols.
            if status < 100 or status == 101:
                raise Malformed
            return
        self._final, self._head_fields = True, fields
        self._keep = parser.should_keep_alive()
        if status in _BODILESS:
            self._complete = True
            # A length that announces nothing would leave the parser waiting for it.
            self._keep = self._keep and not self._names() & _FRAMING

    def on_body(self, piece: bytes) -> None:
        if not self._complete:
            self._body_size += len(piece)
            # What is beyond the cap is counted and not kept.
            if self._body_size <= MAX_ANSWER_BYTES:
                self._pieces.append(piece)

    def on_message_complete(self) -> None:
        if self._final:
            self._complete = True

    def _answer(self) -> UpstreamResponse:
        pieces = self._pieces
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return UpstreamResponse(self._status, Fields(self._head_fields), body)

    def _names(self) -> set[bytes]:
        return {name.lower() for name, _ in self._head_fields}

    def _fits(self) -> bool:
        """Whether the head is within its cap though more bytes than that came, most of them a body."""
        return self._final and sum(len(n) + len(v) + 4 for n, v in self._head_fields) <= MAX_HEAD_BYTES
