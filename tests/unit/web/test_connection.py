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
from app.web.listener.connection import HEAD_END, Connection, request_size
from app.web.listener.early import EarlyRefusals
from app.web.listener.front import ConnectionLimits, Front
from app.web.listener.refusal import Refusal

LIMITS = ConnectionLimits(most=2)
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
    """The transport of one connection; ``sheds`` refuses each request before it is parsed."""

    def __init__(self, limits: ConnectionLimits = LIMITS, peer: str = "192.0.2.1") -> None:
        self.sheds = False
        self.peer = peer
        self.cuts: list[str] = []
        self.sent = b""
        self.closed = self.aborted = False
        self.counted = 0
        self.lifecycle = Lifecycle()
        self.served: list[Served] = []
        headers = answer_headers(CorsPolicy([PAGE], own_origin=None), replica="replica-a")
        self._refusal = Refusal(overloaded(), headers, self._count)
        early = cast(EarlyRefusals, self)
        self.front = Front(early, self.lifecycle, self._serve, limits, self.cuts.append)
        self.connection = Connection(self.front)
        self.connection.connection_made(cast(asyncio.Transport, self))

    def _count(self) -> None:
        self.counted += 1

    def _serve(self, answered: Callable[[], None]) -> Served:
        self.served.append(Served())
        return self.served[-1]

    def of(self, data: bytes, peer: str, loop: Any) -> Refusal | None:
        return self._refusal if self.sheds else None

    def get_extra_info(self, name: str) -> Any:
        return (self.peer, 4711) if name == "peername" else None

    def joins(self, front: Front) -> None:
        """Become one more connection of another one's port."""
        self.connection = Connection(front)
        self.connection.connection_made(cast(asyncio.Transport, self))

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
    for byte in post()[: int(LIMITS.head)]:
        assert not wire.aborted
        wire.connection.data_received(bytes([byte]))
        await asyncio.sleep(1.1)
    assert wire.aborted
    assert wire.cuts == ["head"]
    assert wire.served == []


@pytest.mark.virtual_time
@pytest.mark.parametrize("beginning", [b"D", b"HEAD / HT", b"\r\n", b"\n\nPO", b"M-SEARCH ", b"XXXX", b"GET"])
async def test_whatever_a_head_begins_with_its_time_is_limited(wire: Wire, beginning: bytes) -> None:
    wire.connection.data_received(beginning)
    await asyncio.sleep(LIMITS.head - 0.1)
    assert not wire.aborted
    await asyncio.sleep(0.2)
    assert wire.aborted


@pytest.mark.virtual_time
async def test_a_caller_that_reads_nothing_of_its_answer_is_cut_off(wire: Wire) -> None:
    wire.connection.data_received(post())
    for _ in range(5):
        wire.connection.pause_writing()
        await asyncio.sleep(LIMITS.unread - 1)
        # It reads some.
        wire.connection.resume_writing()
    assert not wire.aborted
    wire.connection.pause_writing()
    await asyncio.sleep(LIMITS.unread + 1)
    assert wire.aborted
    assert wire.cuts == ["unread"]


@pytest.mark.virtual_time
async def test_an_answer_that_is_never_taken_does_not_keep_a_connection_that_aiohttp_closed(
    wire: Wire,
) -> None:
    """Its close waits for what the transport still has to write."""
    wire.connection.data_received(post())
    await asyncio.sleep(LIMITS.idle * 3)
    # A request that takes long is not idle.
    assert not wire.aborted
    wire.connection.answered()
    await asyncio.sleep(LIMITS.idle - 1)
    assert not wire.aborted
    await asyncio.sleep(LIMITS.idle)
    assert wire.aborted
    wire.connection.connection_lost(None)
    assert wire.served[0].lost == 1


async def test_a_peer_has_so_many_connections_and_others_have_theirs() -> None:
    limits = ConnectionLimits(most=100, per_address=2)
    wire = Wire(limits, peer="2001:db8::1")
    second, third, other = (
        Wire(limits, peer=peer) for peer in ("2001:db8::2", "2001:db8::3", "2001:db8:0:1::1")
    )
    for joining in (second, third, other):
        joining.joins(wire.front)
    # One subscriber of IPv6 has all addresses of its network.
    assert (wire.aborted, second.aborted, third.aborted, other.aborted) == (False, False, True, False)
    assert wire.cuts == ["address"]
    for gone in (third, second):
        gone.connection.connection_lost(None)
    again = Wire(limits, peer="2001:db8::9")
    again.joins(wire.front)
    assert not again.aborted


async def test_a_port_whose_connections_are_all_in_use_takes_no_more(wire: Wire) -> None:
    second, third = Wire(peer="192.0.2.2"), Wire(peer="192.0.2.3")
    second.joins(wire.front)
    for busy in (wire, second):
        busy.connection.data_received(post())
    third.joins(wire.front)
    assert (wire.aborted, second.aborted, third.aborted) == (False, False, True)
    assert wire.cuts == ["room"]


async def test_for_one_connection_too_many_the_longest_idle_one_is_closed(wire: Wire) -> None:
    """Of those in use none is; the port of these tests takes two."""
    second, third, fourth = (Wire() for _ in range(3))
    second.joins(wire.front)
    # The first one is in use, the second one is not.
    wire.connection.data_received(post())
    third.joins(wire.front)
    assert (wire.closed, second.closed, third.closed) == (False, True, False)
    second.connection.connection_lost(None)
    # Now the first one is idle, but for less time than the third.
    wire.connection.answered()
    fourth.joins(wire.front)
    assert (wire.closed, third.closed, fourth.closed) == (False, True, False)


@pytest.mark.virtual_time
async def test_a_connection_on_which_nothing_comes_is_closed(wire: Wire) -> None:
    wire.sheds = True
    await asyncio.sleep(LIMITS.idle - 1)
    # A refusal is news of the caller, too.
    wire.connection.data_received(post())
    await asyncio.sleep(LIMITS.idle - 1)
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
