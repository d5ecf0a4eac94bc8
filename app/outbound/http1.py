"""HTTP/1.1 (RFC 9112) as bytes: writes requests and reads answers. No socket, no clock.

llhttp reads the tokens in its strict mode, so nothing is guessed about a malformed answer. What llhttp leaves
open is decided here: where an answer without a length ends, that interim answers are skipped, how large an
answer may be, and whether the connection may be used again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from yarl import URL

from app import __version__
from app.providers.base import UpstreamResponse

# To compress 2 kB costs more than it saves, and without an encoding there is less to attack.
_ALWAYS: Final = f"User-Agent: cloakroom/{__version__}\r\nAccept-Encoding: identity\r\n"
_ANYTHING: Final = "Accept: */*\r\n"
# Field lines: a token, and a value without control characters, so that no value can start another line.
_FIELD_LINES: Final = re.compile(r"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+: [^\x00-\x08\x0a-\x1f\x7f]*\r\n)*\Z")
# Most URLs are those of deployments; the URL of a hang-up is used once.
_TARGETS: Final = 256


# An SDP answer is 2 to 3 kB and a minted session under 10 kB; this is the cap for either, in bytes.
MAX_ANSWER_BYTES: Final = 262_144
# Status lines and header fields, those of interim answers included; a provider sends 1 to 3 kB.
MAX_HEAD_BYTES: Final = 65_536
# A provider sends one or none. Their number must not depend on how the network cuts them, as the size may.
MAX_INTERIM_ANSWERS: Final = 32
# RFC 9110: these have no content, whatever their fields say.
_BODILESS: Final = frozenset({204, 304})
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})


class Unsendable(ValueError):
    """This cannot be written as a request, so nothing was sent. The message quotes nothing of it."""


class Origin(NamedTuple):
    """The server at the end of a connection; the pool keeps connections for each."""

    secure: bool
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Target:
    """A URL, ready to be used. ``head`` has the lines of every request to it, less the method."""

    origin: Origin
    head: str = field(repr=False)


@lru_cache(maxsize=_TARGETS)
def target_of(text: str) -> Target:
    """Split a URL; names in other scripts and unusual paths get their ASCII form.

    Raises:
        Unsendable: it is no http or https URL with a host.
    """
    try:
        url = URL(text)
        host, port, authority = url.raw_host, url.port, url.host_port_subcomponent
    except (ValueError, IndexError):
        # The second is yarl's way with some URLs that have no host.
        raise Unsendable("no usable URL") from None
    if url.scheme not in ("http", "https") or not host or port is None or authority is None:
        raise Unsendable("no usable URL")
    head = f" {url.raw_path_qs} HTTP/1.1\r\nHost: {authority}\r\n{_ALWAYS}"
    if not head.isascii() or head.count(" ") != _ALWAYS.count(" ") + 3 or head.count("\n") != 4:
        raise Unsendable("no usable URL")
    return Target(Origin(url.scheme == "https", host.rstrip("."), port), head)


def written(method: str, target: Target, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """The whole request, so that one write sends it. With ``body`` None it has no body and no length.

    Raises:
        Unsendable: a field's name or value cannot be sent.
    """
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    # The count: a value that holds whole lines would pass for more fields.
    if not _FIELD_LINES.match(lines) or lines.count("\n") != len(headers):
        raise Unsendable("a header field has a name or a value that HTTP forbids")
    accept = "" if "Accept" in headers else _ANYTHING
    length = f"Content-Length: {len(body)}\r\n\r\n" if body is not None else "\r\n"
    head = f"{method}{target.head}{accept}{lines}{length}".encode()
    return head + body if body else head


class Fields(Mapping[str, str]):
    """Names are compared without case; of several fields of one name the first counts.

    A value is decoded only when it is read: the service reads one or two of two dozen fields. Bytes that are
    not ASCII become characters of Latin-1 (RFC 9110, section 5.5).
    """

    __slots__ = ("_raw",)

    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        self._raw = raw

    def __getitem__(self, name: str) -> str:
        try:
            wanted = name.encode("ascii").lower()
        except UnicodeEncodeError:
            raise KeyError(name) from None
        for key, value in self._raw:
            if len(key) == len(wanted) and key.lower() == wanted:
                return value.decode("latin-1")
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        """Each name once, in lower case."""
        return iter(dict.fromkeys(key.lower().decode("latin-1") for key, _ in self._raw))

    def __len__(self) -> int:
        return len({key.lower() for key, _ in self._raw})


class Malformed(Exception):
    """The bytes are no answer of HTTP/1.1, or too many. The message quotes none of them."""


class AnswerReader:
    """Reads one answer after another: ``feed`` until it returns one, then ``reset`` for the next.

    The parser calls the methods ``on_...``. It and this object refer to each other until ``close``.
    """

    __slots__ = (
        "_body_size",
        "_complete",
        "_fields",
        "_final",
        "_head_fields",
        "_head_size",
        "_interim",
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
        self._head_size = self._body_size = self._status = self._interim = 0
        # ``final``: the head of the answer itself, and not of an interim one, is read.
        self._final = self._complete = self._surplus = self._keep = False

    @property
    def reusable(self) -> bool:
        """Whether, after a whole answer, the connection may carry another request."""
        return self._complete and self._keep and not self._surplus

    @property
    def head(self) -> UpstreamResponse | None:
        """Of an answer that is not whole, the status and the headers without a body, once they are read."""
        return UpstreamResponse(self._status, Fields(self._head_fields), b"") if self._final else None

    def close(self) -> None:
        """Drop the parser; nothing is read after this."""
        self._parser = None

    def feed(self, data: bytes) -> UpstreamResponse | None:
        """Take the next bytes; returns the answer once it is whole.

        Raises:
            Malformed: this can never become a usable answer.
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
        """The connection has ended in good order, which may complete the answer.

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
        # Trailers arrive here too; they go to a list that is never read.
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        parser = self._parser
        if self._complete or parser is None:
            return
        self._status = status = parser.get_status_code()
        fields, self._fields = self._fields, []
        if status < 200:
            # No request of ours asks to switch protocols.
            self._interim += 1
            if status < 100 or status == 101 or self._interim > MAX_INTERIM_ANSWERS:
                raise Malformed
            return
        self._final, self._head_fields = True, fields
        self._keep = parser.should_keep_alive()
        if status in _BODILESS:
            self._complete = True
            # A length without a body would leave the parser waiting for one.
            self._keep = self._keep and not self._names() & _FRAMING

    def on_body(self, piece: bytes) -> None:
        if not self._complete:
            self._body_size += len(piece)
            # Bytes beyond the cap are counted and dropped.
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
        """Whether the head alone is within its cap, where head and body came together."""
        return self._final and sum(len(n) + len(v) + 4 for n, v in self._head_fields) <= MAX_HEAD_BYTES
