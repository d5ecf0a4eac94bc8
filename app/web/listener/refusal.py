"""The refusal of a request that is not served, made from its bytes and before it is parsed."""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, cast

from aiohttp import hdrs

from app.errors import CloakroomError
from app.web.answers import REQUEST_ID_HEADER, AnswerHeaders, error_response, request_id_of

# A request line that needs no decoding, and heads that aiohttp must judge.
_PLAIN_LINE: Final = re.compile(rb"POST (/[A-Za-z0-9/._-]*)(?:\?[!-~]*)? HTTP/1\.1\r\n")
_UNUSUAL: Final = (b"\n ", b"\n\t", b"\nexpect", b"\nupgrade")


class Head:
    """The head of a request as it came. ``data`` begins with it, and has its end."""

    __slots__ = ("_lowered", "_text")

    def __init__(self, data: bytes) -> None:
        self._text = data[: data.index(b"\r\n\r\n") + 2]
        self._lowered = self._text.lower()

    @property
    def is_plain(self) -> bool:
        """Whether it is written as all usual clients write it, so that it can be answered unparsed."""
        lines = self._text.count(b"\r\n")
        if self._text.count(b"\n") != lines or self._text.count(b"\r") != lines:
            return False
        return not any(unusual in self._lowered for unusual in _UNUSUAL)

    @property
    def path(self) -> str | None:
        """The path of a POST; None where it needs decoding."""
        line = _PLAIN_LINE.match(self._text)
        return line[1].decode() if line is not None else None

    @property
    def closes(self) -> bool:
        """Whether the connection ends after the answer."""
        return b"\nconnection: close" in self._lowered

    def get(self, name: str) -> str | None:
        """The first header of this name, in small letters; one character for each byte."""
        at = self._lowered.find(f"\n{name}:".encode())
        if at < 0:
            return None
        start = at + len(name) + 2
        return self._text[start : self._text.index(b"\r\n", start)].strip().decode("latin-1")

    def repeats(self, name: str) -> bool:
        """Whether this header comes more than once."""
        return self._lowered.count(f"\n{name}:".encode()) > 1


class Refusal:
    """An answer to requests that are not served, as bytes, made without parsing them.

    Args:
        error: what the answer says.
        refused: is called for each answer.
    """

    def __init__(self, error: CloakroomError, headers: AnswerHeaders, refused: Callable[[], None]) -> None:
        response = error_response(error)
        response.headers.update(headers.every)
        body = cast(bytes, response.body)
        lines = [f"HTTP/1.1 {error.answer_status} {HTTPStatus(error.answer_status).phrase}"]
        lines += [f"{name}: {value}" for name, value in response.headers.items()]
        lines += [f"{hdrs.CONTENT_LENGTH}: {len(body)}", f"{REQUEST_ID_HEADER}: "]
        self._head = "\r\n".join(lines).encode()
        self._end = b"\r\n\r\n" + body
        self._exposed = headers.exposed
        self._policy = headers.policy
        self._refused = refused

    def answer(self, request: bytes) -> tuple[bytes, bool] | None:
        """Return the answer to a request whose whole head is there; None where the head is unusual.

        Also returns whether the connection closes after it.
        """
        head = Head(request)
        path = head.path
        if path is None or not head.is_plain:
            return None
        origin = head.get("origin")
        more = f"\r\n{hdrs.CONNECTION}: close" if head.closes else ""
        if origin is not None:
            allowed = self._policy.allowed_origin(origin, host=head.get("host") or "", path=path)
            if allowed is None:
                return None
            more += (
                f"\r\n{hdrs.ACCESS_CONTROL_ALLOW_ORIGIN}: {allowed}"
                f"\r\n{hdrs.ACCESS_CONTROL_EXPOSE_HEADERS}: {self._exposed}"
            )
        self._refused()
        request_id = request_id_of(head.get(REQUEST_ID_HEADER))
        return self._head + (request_id + more).encode() + self._end, head.closes
