"""Reading a body over a real socket: its caps of bytes and seconds, and bodies that break off."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from app.errors import CloakroomError
from app.web.incoming import read_body
from tests.support.clocks import PATIENCE

MAX_BYTES = 1000
SHORT_SECONDS = 0.2

Outcome = bytes | CloakroomError


class Reader:
    """A server that reads one body after another and keeps what came of it."""

    def __init__(self) -> None:
        self.outcomes: asyncio.Queue[Outcome] = asyncio.Queue()
        self.port = 0
        self.seconds = PATIENCE

    async def handle(self, request: web.Request) -> web.Response:
        try:
            outcome: Outcome = await read_body(request, max_bytes=MAX_BYTES, timeout=self.seconds)
        except CloakroomError as error:
            outcome = error
        self.outcomes.put_nowait(outcome)
        return web.Response()

    async def send(self, head: str, *pieces: bytes, pause: float = 0, close: bool = False) -> Outcome:
        """Send one request by hand and return what the server made of its body."""
        _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(f"POST / HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n".encode())
            for piece in pieces:
                await asyncio.sleep(pause)
                writer.write(piece)
            if close:
                writer.close()
            return await asyncio.wait_for(self.outcomes.get(), 2 * PATIENCE)
        finally:
            writer.close()


@pytest.fixture
async def reader() -> AsyncIterator[Reader]:
    reader = Reader()
    app = web.Application()
    app.router.add_post("/", reader.handle)
    # As ``app.server`` runs it: a handler outlives its connection.
    runner = web.AppRunner(app, handler_cancellation=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    reader.port = runner.addresses[0][1]
    yield reader
    await runner.cleanup()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def refusal(outcome: Outcome) -> tuple[str, int]:
    assert isinstance(outcome, CloakroomError), "the body was taken"
    return outcome.code, outcome.status


async def test_a_body_of_exactly_the_cap_is_read_whole(reader: Reader) -> None:
    body = bytes(range(250)) * 4
    assert await reader.send(f"Content-Length: {MAX_BYTES}", body[:7], body[7:]) == body
    assert await reader.send("Transfer-Encoding: chunked", chunk(body), b"0\r\n\r\n") == body


async def test_no_body_is_an_empty_one(reader: Reader) -> None:
    assert await reader.send("Content-Length: 0") == b""


async def test_a_body_that_announces_too_much_is_refused_before_it_is_sent(reader: Reader) -> None:
    assert refusal(await reader.send(f"Content-Length: {MAX_BYTES + 1}")) == ("request_too_large", 413)
    assert refusal(await reader.send("Content-Length: 99999999999")) == ("request_too_large", 413)


async def test_a_chunked_body_is_refused_once_it_has_grown_too_large(reader: Reader) -> None:
    pieces = [chunk(b"x" * 400)] * 3
    assert refusal(await reader.send("Transfer-Encoding: chunked", *pieces)) == ("request_too_large", 413)


async def test_a_small_body_that_unpacks_to_a_large_one_is_refused(reader: Reader) -> None:
    bomb = gzip.compress(b"x" * 1_000_000)
    head = f"Content-Encoding: gzip\r\nContent-Length: {len(bomb)}"
    assert len(bomb) < MAX_BYTES * 2
    assert refusal(await reader.send(head, bomb))[1] == 413


async def test_a_packed_body_within_the_cap_is_unpacked(reader: Reader) -> None:
    packed = gzip.compress(b"v=0" * 100)
    head = f"Content-Encoding: gzip\r\nContent-Length: {len(packed)}"
    assert await reader.send(head, packed) == b"v=0" * 100


async def test_a_body_that_only_claims_to_be_packed_is_the_callers_fault(reader: Reader) -> None:
    head = "Content-Encoding: gzip\r\nContent-Length: 9"
    assert refusal(await reader.send(head, b"v=0 plain")) == ("invalid_request", 400)


@pytest.mark.virtual_time
@pytest.mark.parametrize("pieces", [(), (b"v=0",)], ids=["nothing", "a beginning"])
async def test_a_body_that_does_not_arrive_in_time_is_the_callers_fault(
    reader: Reader, pieces: tuple[bytes, ...]
) -> None:
    reader.seconds = SHORT_SECONDS
    outcome = await reader.send("Content-Length: 100", *pieces)
    assert refusal(outcome) == ("invalid_request", 400)
    assert "0.2 seconds" in str(outcome)


@pytest.mark.virtual_time
async def test_a_byte_now_and_then_does_not_prolong_the_deadline(reader: Reader) -> None:
    reader.seconds = SHORT_SECONDS
    started = asyncio.get_running_loop().time()
    outcome = await reader.send("Content-Length: 100", *[b"x"] * 3, pause=0.06)
    assert refusal(outcome) == ("invalid_request", 400)
    assert asyncio.get_running_loop().time() == pytest.approx(started + SHORT_SECONDS)


async def test_a_body_that_breaks_off_is_the_callers_fault(reader: Reader) -> None:
    outcome = await reader.send("Content-Length: 100", b"v=0", close=True)
    assert refusal(outcome) == ("invalid_request", 400)


@pytest.mark.virtual_time
async def test_a_chunk_that_is_none_is_the_callers_fault(reader: Reader) -> None:
    outcome = await reader.send("Transfer-Encoding: chunked", chunk(b"v=0"), b"zz\r\nbroken\r\n", pause=0.02)
    assert refusal(outcome) == ("invalid_request", 400)
