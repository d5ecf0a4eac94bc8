"""The answer reader of the outbound client, beside h11, which was written by other people in another way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import h11

from app.outbound.http1 import MAX_ANSWER_BYTES, AnswerReader, Malformed
from app.providers.base import UpstreamResponse
from tests.fuzz.target import Target

_OK: Final = b"HTTP/1.1 200 OK\r\n"
_CHUNKED: Final = b"Transfer-Encoding: chunked\r\n\r\n"


@dataclass(frozen=True)
class _Read:
    """What became of some bytes. ``whole`` is None where no answer was complete; ``ended``: by the end."""

    whole: tuple[int, bytes] | None
    ended: bool = False
    malformed: bool = False


def check(data: bytes) -> None:
    """The first byte tells how the network cuts the rest."""
    step, rest = (data[0] if data else 0), data[1:]
    at_once = _ours(rest, len(rest) or 1)
    if step:
        in_pieces = _ours(rest, step % 37 + 1)
        # In pieces, an answer may be whole before what spoils it has come.
        assert in_pieces == at_once or (at_once.malformed and in_pieces.whole is not None), (
            f"how the network cuts an answer changes it: {at_once} {in_pieces}"
        )
    if at_once.whole is None:
        return
    status, body = at_once.whole
    assert 200 <= status <= 999
    assert len(body) <= MAX_ANSWER_BYTES
    theirs = _h11s(rest, ended=at_once.ended)
    assert theirs is None or theirs == at_once.whole, f"h11 reads {theirs}, and we {at_once.whole}"


def _ours(data: bytes, step: int) -> _Read:
    reader = AnswerReader()
    try:
        answer, ended = _fed(reader, data, step), False
        if answer is None:
            answer, ended = reader.end(), True
        for name in answer.headers:
            value = answer.headers[name]
            assert "\r" not in value
            assert "\n" not in value
            assert "\0" not in value
        if ended:
            assert not reader.reusable
        return _Read((answer.status, answer.body), ended)
    except Malformed as error:
        assert not str(error)
        return _Read(None, malformed=True)
    finally:
        reader.close()


def _fed(reader: AnswerReader, data: bytes, step: int) -> UpstreamResponse | None:
    for start in range(0, len(data), step):
        answer = reader.feed(data[start : start + step])
        if answer is not None:
            return answer
    return None


def _h11s(data: bytes, *, ended: bool) -> tuple[int, bytes] | None:
    """The first answer as h11 reads it; None where it refuses what we take."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=100_000)
    connection.send(h11.Request(method="POST", target="/", headers=[("Host", "a"), ("Content-Length", "0")]))
    connection.send(h11.EndOfMessage())
    status, body = 0, b""
    try:
        connection.receive_data(data)
        if ended:
            connection.receive_data(b"")
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return status, body
            elif not isinstance(event, h11.InformationalResponse):
                return None
    except h11.RemoteProtocolError:
        return None


TARGET: Final = Target(
    name="http1",
    check=check,
    share=0.2,
    seeds=tuple(
        step + answer
        for step in (b"\0", b"\1", b"\7")
        for answer in (
            _OK + b"Content-Length: 2\r\n\r\nhi",
            _OK + b"Content-Length: 0\r\n\r\n",
            _OK + _CHUNKED + b"1\r\nh\r\n1\r\ni\r\n0\r\n\r\n",
            _OK + _CHUNKED + b"2;a=b\r\nhi\r\n0\r\nX: y\r\n\r\n",
            _OK + b"Date: now\r\n\r\nuntil the end",
            b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi",
            b"HTTP/1.1 100 Continue\r\n\r\n" + _OK + b"Content-Length: 2\r\n\r\nhi",
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 3 + _OK + b"Content-Length: 2\r\n\r\nhi",
            b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
            b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2\r\nConnection: upgrade\r\n\r\n",
            _OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi",
            _OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            _OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            _OK + b"Content-Length: +2\r\n\r\nhi",
            _OK + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n",
            _OK + b"X:\xe9\r\nContent-Length: 0\r\n\r\n",
            _OK + b"Content-Length: 2\r\n\r\nhi" + _OK + b"Content-Length: 2\r\n\r\nho",
            b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi",
            b"HTTP/2 200 OK\r\n\r\n",
        )
    ),
    words=(
        *(b"HTTP/1.1 ", b"HTTP/1.0 ", b"\r\n\r\n", b"Content-Length: ", b"Transfer-Encoding: ", b"chunked"),
        *(
            b"Connection: ",
            b"close",
            b"keep-alive",
            b"0\r\n\r\n",
            b"100 Continue\r\n\r\n",
            b"204 ",
            b"Upgrade: ",
        ),
    ),
)
