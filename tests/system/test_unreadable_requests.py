"""HTTP that is none is answered in the one shape, without a word of the inside, and nothing is quoted."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.support.clocks import PATIENCE
from tests.support.stack import Stack

HEAD = b"POST /v1/realtime/client_secrets HTTP/1.1\r\nHost: x\r\n"
UNREADABLE = {
    "no HTTP at all": b"hello there, my key is sk-stray-secret-000\r\n\r\n",
    "TLS on a plain port": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64 + b"\r\n\r\n",
    "another version": b"GET / HTTP/9.9\r\n\r\n",
    "a header without a colon": b"GET /livez HTTP/1.1\r\nHost: x\r\nbroken\r\n\r\n",
    "a header that is too long": b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Big: " + b"y" * 20_000 + b"\r\n\r\n",
    "a path that is too long": b"GET /" + b"y" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a length that is none": HEAD + b"Content-Length: many\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "length and chunks": HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "an unknown expectation": HEAD + b"Expect: miracles\r\nContent-Length: 2\r\n\r\n{}",
}


async def send(url: str, request: bytes) -> tuple[bytes, bytes]:
    """Send raw bytes; return the answer's head and body."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(request)
        await writer.drain()
        answer = await asyncio.wait_for(reader.read(), PATIENCE)
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


@pytest.mark.parametrize("what", UNREADABLE)
async def test_what_is_no_http_is_a_400_in_the_one_shape(static_stack: Stack, what: str) -> None:
    head, body = await send(static_stack.a.url, UNREADABLE[what])
    # What has no version that can be read is answered in HTTP/1.0, whose connections close.
    assert head.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 ")), (what, head)
    error = json.loads(body)["error"]
    assert (error["code"], error["type"]) == ("invalid_request", "invalid_request_error")
    lowered = head.lower()
    assert b"x-request-id: req_" in lowered
    assert b"server: cloakroom" in lowered
    for inner in (b"aiohttp", b"Python", b"Traceback", b"sk-stray", b"yyyy"):
        assert inner not in head + body, (what, inner)
    assert "Traceback" not in static_stack.a.output
    assert "sk-stray-secret" not in static_stack.a.output


async def test_a_client_that_waits_to_be_asked_for_its_body_is_asked(static_stack: Stack) -> None:
    """curl does so for bodies over a megabyte, some SDKs always."""
    body = b'{"model": "gpt-realtime-2.1"}'
    host, _, port = static_stack.a.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        HEAD
        + b"Connection: close\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
        + f"Authorization: Bearer {static_stack.planted.client_key}\r\n".encode()
        + b"Content-Length: %d\r\n\r\n" % len(body)
    )
    assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE) == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(body)
    answer = await asyncio.wait_for(reader.read(), PATIENCE)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b'"value":"ek_' in answer
