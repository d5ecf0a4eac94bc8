"""The refusal of a request for which there is no time, made from its bytes and before it is parsed."""

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


class Refusal:
    """The answer to a request for which there is no time, as bytes, made without parsing the request.

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
        end = request.index(b"\r\n\r\n") + 2
        head = request[:end]
        lowered = head.lower()
        line = _PLAIN_LINE.match(head)
        lines = head.count(b"\r\n")
        if line is None or head.count(b"\n") != lines or head.count(b"\r") != lines:
            return None
        if any(unusual in lowered for unusual in _UNUSUAL):
            return None
        origin = _header(head, lowered, b"\norigin:")
        closes = b"\nconnection: close" in lowered
        more = f"\r\n{hdrs.CONNECTION}: close" if closes else ""
        if origin is not None:
            host, path = _header(head, lowered, b"\nhost:") or "", line[1].decode()
            allowed = self._policy.allowed_origin(origin, host=host, path=path)
            if allowed is None:
                return None
            more += (
                f"\r\n{hdrs.ACCESS_CONTROL_ALLOW_ORIGIN}: {allowed}"
                f"\r\n{hdrs.ACCESS_CONTROL_EXPOSE_HEADERS}: {self._exposed}"
            )
        self._refused()
        request_id = request_id_of(_header(head, lowered, b"\nx-request-id:"))
        return self._head + (request_id + more).encode() + self._end, closes


def _header(head: bytes, lowered: bytes, name: bytes) -> str | None:
    """The first header of this name; ``name`` has the line feed before it and the colon."""
    at = lowered.find(name)
    if at < 0:
        return None
    start = at + len(name)
    return head[start : head.index(b"\r\n", start)].strip().decode("latin-1")
