"""One connection before aiohttp: what is refused at once, what goes on, and no answer out of turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import orjson
import pytest

from app.web.answers import answer_headers, overloaded
from app.web.appkeys import Lifecycle
from app.web.cors import EXPOSE_HEADERS, CorsPolicy
from app.web.listener.admission import Admission
from app.web.listener.connection import (
    HEAD_END,
    HEAD_SECONDS,
    KEEPALIVE_SECONDS,
    Connection,
    request_size,
)
from app.web.listener.front import Front
from app.web.listener.refusal import Refusal

PAGE = "https://shop.example.com"
BODY = b'{"model": "gpt-realtime"}'


def post(*headers: str, body: bytes = BODY, path: str = "/v1/realtime/client_secrets") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: voice.example.com", *headers, f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Served:
    """Stands for aiohttp's protocol: keeps what it is given."""

    def __init__(self) -> None:
        self.asked = False
        self.data = b""
        self.lost = 0
        self.paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost += 1

    def data_received(self, data: bytes) -> None:
        self.data += data

    def eof_received(self) -> bool | None:
        return None

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False


class Wire:
    """The transport of one connection; ``sheds`` is what admission control says of a request."""

    def __init__(self) -> None:
        self.sheds = False
        self.sent = b""
        self.closed = self.aborted = False
        self.counted = 0
        self.lifecycle = Lifecycle()
        self.served: list[Served] = []
        headers = answer_headers(CorsPolicy([PAGE], own_origin=None), replica="replica-a")
        refusal = Refusal(overloaded(), headers, self._count)
        self.front = Front(cast(Admission, self), refusal, self.lifecycle, self._serve, most=2)
        self.connection = Connection(self.front)
        self.connection.connection_made(cast(asyncio.Transport, self))

    def _count(self) -> None:
        self.counted += 1

    def _serve(self, answered: Callable[[], None]) -> Served:
        self.served.append(Served())
        return self.served[-1]

    def admits(self, loop: Any) -> bool:
        return not self.sheds

    def write(self, data: bytes) -> None:
        self.sent += data

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True

    @property
    def passed(self) -> bytes:
        """What aiohttp got."""
        return self.served[0].data if self.served else b""

    def refusals(self) -> list[tuple[dict[str, str], bytes]]:
        """The answers that were written, as headers and body."""
        found, rest = [], self.sent
        while rest:
            head, _, rest = rest.partition(b"\r\n\r\n")
            status, *lines = head.decode().split("\r\n")
            assert status == "HTTP/1.1 503 Service Unavailable"
            headers = dict(line.lower().split(": ", 1) for line in lines)
            assert len(headers) == len(lines)
            length = int(headers["content-length"])
            found.append((headers, rest[:length]))
            rest = rest[length:]
        return found


@pytest.fixture
async def wire() -> Wire:
    return Wire()


async def test_what_is_admitted_goes_on_as_it_came(wire: Wire) -> None:
    wire.connection.data_received(post())
    assert wire.passed == post()
    assert wire.served[0].asked
    assert wire.served[0].transport is cast(Any, wire)
    assert wire.sent == b""


async def test_a_refusal_is_a_whole_answer_in_the_one_shape_and_is_counted(wire: Wire) -> None:
    wire.sheds = True
    wire.connection.data_received(post("X-Request-Id: browser-0001"))
    ((headers, body),) = wire.refusals()
    assert headers == {
        "content-type": "application/json",
        "retry-after": "1",
        "server": "cloakroom",
        "vary": "origin",
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "x-cloakroom-replica": "replica-a",
        "content-length": str(len(body)),
        "x-request-id": "browser-0001",
    }
    assert orjson.loads(body)["error"]["code"] == "overloaded"
    assert wire.counted == 1
    # aiohttp has no part in it, and the caller may send again.
    assert wire.served == []
    assert not wire.closed


async def test_a_page_can_read_the_refusal_and_a_request_without_an_id_gets_one(wire: Wire) -> None:
    wire.sheds = True
    wire.connection.data_received(post(f"Origin: {PAGE}"))
    ((headers, _),) = wire.refusals()
    assert headers["access-control-allow-origin"] == PAGE
    assert headers["access-control-expose-headers"].startswith(EXPOSE_HEADERS.lower())
    assert headers["x-request-id"].startswith("req_")


async def test_a_kept_connection_is_refused_and_served_by_turns(wire: Wire) -> None:
    for number in range(1, 4):
        wire.connection.data_received(post())
        wire.connection.answered()
        assert wire.passed == post() * number
        wire.sheds = True
        wire.connection.data_received(post())
        wire.connection.data_received(post())
        assert len(wire.refusals()) == number * 2
        wire.sheds = False


async def test_nothing_is_written_before_the_answer_to_an_earlier_request(wire: Wire) -> None:
    wire.connection.data_received(post())
    wire.sheds = True
    wire.connection.data_received(post())
    assert wire.sent == b""
    assert wire.passed == post() * 2
    assert not wire.served[0].asked
    # The first of the two is answered; the second one still is not.
    wire.connection.answered()
    wire.connection.data_received(post())
    assert wire.sent == b""
    assert wire.passed == post() * 3


async def test_two_requests_in_one_piece_go_on_and_so_does_all_that_follows(wire: Wire) -> None:
    wire.connection.data_received(post() * 2)
    wire.connection.answered()
    wire.connection.answered()
    wire.sheds = True
    wire.connection.data_received(post())
    assert wire.sent == b""
    assert wire.passed == post() * 3
    assert not wire.served[0].asked


async def test_the_rest_of_a_refused_body_is_skipped(wire: Wire) -> None:
    wire.sheds = True
    request = post(body=b"v=0" * 2000)
    for part in (request[:300], request[300:1000], request[1000:]):
        wire.connection.data_received(part)
    assert len(wire.refusals()) == 1
    wire.sheds = False
    wire.connection.data_received(post())
    assert wire.passed == post()


async def test_what_comes_with_the_end_of_a_skipped_body_is_a_request(wire: Wire) -> None:
    wire.sheds = True
    request = post(body=b"v=0" * 2000)
    wire.connection.data_received(request[:300])
    wire.sheds = False
    wire.connection.data_received(request[300:] + post())
    assert wire.passed == post()


async def test_a_body_that_follows_its_head_belongs_to_it(wire: Wire) -> None:
    wire.connection.data_received(post()[:-10])
    wire.sheds = True
    wire.connection.data_received(post()[-10:])
    assert wire.sent == b""
    assert wire.served[0].asked
    wire.connection.answered()
    wire.connection.data_received(post())
    assert len(wire.refusals()) == 1


async def test_a_caller_that_wants_the_connection_closed_gets_it_closed(wire: Wire) -> None:
    wire.sheds = True
    request = post("Connection: close", body=b"v=0" * 2000)
    wire.connection.data_received(request[:300])
    assert not wire.closed
    wire.connection.data_received(request[300:])
    ((headers, _),) = wire.refusals()
    assert headers["connection"] == "close"
    assert wire.closed


UNSURE = {
    "no HTTP": b"hello there\r\n",
    "chunks": b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": post("Content-Length: 3"),
    "a length that is none": b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "a length beyond reason": b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
    "a body beyond reason": b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n",
    "an expectation": post("Expect: 100-continue"),
    "an upgrade": post("Upgrade: websocket"),
    "a folded header": post("X-Note: one\r\n two"),
    "a bare line feed": post("X-Note: one\nX-Other: two"),
    "a bare carriage return": post("X-Note: one\rtwo"),
    "HTTP/1.0": post().replace(b"HTTP/1.1", b"HTTP/1.0"),
    "a path that must be decoded": post(path="/%61dmin/v1/handles"),
    "an origin that is refused": post("Origin: https://other.example.com"),
}


@pytest.mark.parametrize("what", UNSURE)
async def test_what_is_not_certain_goes_on_unasked(wire: Wire, what: str) -> None:
    wire.sheds = True
    wire.connection.data_received(UNSURE[what])
    assert wire.sent == b""
    assert wire.passed == UNSURE[what]
    assert not wire.served[0].asked


NEVER_REFUSED = {
    "readiness": b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n",
    "liveness": b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n",
    "metrics": b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
    "an operator": post(path="/admin/v1/handles/revoke"),
    "a preflight": b"OPTIONS /v1/realtime/calls HTTP/1.1\r\nHost: x\r\nOrigin: https://a.example\r\n\r\n",
}


@pytest.mark.parametrize("what", NEVER_REFUSED)
async def test_probes_operators_and_preflights_are_never_refused(wire: Wire, what: str) -> None:
    wire.sheds = True
    wire.connection.data_received(NEVER_REFUSED[what])
    assert wire.sent == b""
    assert wire.passed == NEVER_REFUSED[what]


async def test_while_draining_aiohttp_refuses_so_that_the_connection_closes(wire: Wire) -> None:
    wire.sheds = wire.lifecycle.draining = True
    wire.connection.data_received(post())
    assert wire.passed == post()


async def test_a_caller_that_does_not_read_loses_its_connection(wire: Wire) -> None:
    wire.sheds = True
    wire.connection.pause_writing()
    wire.connection.data_received(post())
    assert wire.aborted
    assert wire.sent == b""


async def test_what_the_transport_tells_reaches_aiohttp(wire: Wire) -> None:
    wire.connection.pause_writing()
    wire.connection.data_received(post())
    assert wire.served[0].paused
    wire.connection.resume_writing()
    assert not wire.served[0].paused
    wire.connection.connection_lost(None)
    assert wire.served[0].lost == 1
    # The request may be answered after its caller left.
    wire.connection.answered()
    assert wire.front.idle == {}


async def test_the_end_closes_what_aiohttp_does_not_know(wire: Wire) -> None:
    wire.front.close()
    assert wire.closed
    wire.connection.connection_lost(None)
    assert wire.front.idle == {}


async def test_a_head_is_held_until_it_is_whole(wire: Wire) -> None:
    request = post()
    for at in range(len(request) - len(BODY) - 1):
        wire.connection.data_received(request[at : at + 1])
    assert wire.served == []
    wire.connection.data_received(request[len(request) - len(BODY) - 1 :])
    assert wire.passed == request
    assert wire.served[0].asked
    wire.connection.answered()
    wire.sheds = True
    wire.connection.data_received(post()[:50])
    wire.connection.data_received(post()[50:])
    assert len(wire.refusals()) == 1


async def test_a_head_beyond_reason_goes_on(wire: Wire) -> None:
    for _ in range(70):
        wire.connection.data_received(b"POST " + b"x" * 1000)
    assert wire.passed.startswith(b"POST xxx")


@pytest.mark.virtual_time
async def test_a_head_that_comes_too_slowly_closes_its_connection(wire: Wire) -> None:
    for byte in post()[: int(HEAD_SECONDS)]:
        assert not wire.closed
        wire.connection.data_received(bytes([byte]))
        await asyncio.sleep(1.1)
    assert wire.closed
    assert wire.served == []


async def test_for_one_connection_too_many_the_longest_idle_one_is_closed(wire: Wire) -> None:
    """Of those in use none is; the port of these tests takes two."""
    second, third, fourth = (Wire() for _ in range(3))
    for other in (second, third, fourth):
        other.connection = Connection(wire.front)
    second.connection.connection_made(cast(asyncio.Transport, second))
    # The first one is in use, the second one is not.
    wire.connection.data_received(post())
    third.connection.connection_made(cast(asyncio.Transport, third))
    assert (wire.closed, second.closed, third.closed) == (False, True, False)
    second.connection.connection_lost(None)
    # Now the first one is idle, but for less time than the third.
    wire.connection.answered()
    fourth.connection.connection_made(cast(asyncio.Transport, fourth))
    assert (wire.closed, third.closed, fourth.closed) == (False, True, False)


@pytest.mark.virtual_time
async def test_a_connection_on_which_nothing_comes_is_closed(wire: Wire) -> None:
    wire.sheds = True
    await asyncio.sleep(KEEPALIVE_SECONDS - 1)
    # A refusal is news of the caller, too.
    wire.connection.data_received(post())
    await asyncio.sleep(KEEPALIVE_SECONDS - 1)
    assert not wire.closed
    await asyncio.sleep(2)
    assert wire.closed


@pytest.mark.virtual_time
async def test_aiohttp_sees_a_request_now_and_then_so_that_it_closes_no_connection_in_use(wire: Wire) -> None:
    wire.connection.data_received(post())
    wire.connection.answered()
    wire.sheds = True
    seen = 0
    for _ in range(10):
        await asyncio.sleep(5)
        wire.connection.data_received(post())
        if wire.passed.count(b"POST") > 1 + seen:
            seen += 1
            wire.connection.answered()
    assert seen >= 3
    assert seen + len(wire.refusals()) == 10


@pytest.mark.parametrize(
    ("head", "size"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 18),
        (b"POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\n", 43),
        (b"POST / HTTP/1.1\r\nCONTENT-LENGTH:5\r\n\r\nhello", 42),
        (b"POST / HTTP/1.1\r\nX: content-length: 7\r\n\r\n", 41),
        (b"POST / HTTP/1.1\r\n", 0),
    ],
)
def test_the_size_of_a_request_is_told_by_its_head(head: bytes, size: int) -> None:
    assert request_size(head, head.find(HEAD_END)) == size
