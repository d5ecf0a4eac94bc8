"""How each armed fault is done on the wire."""

from __future__ import annotations

import asyncio
import json
import secrets

from aiohttp import web

from .faults import Fault

# How often a stalled request looks whether its client has gone: aiohttp gives a handler nothing to await.
STALL_POLL = 0.05
CHUNK = 64 * 1024
HTML = "<!DOCTYPE html><html><body><h1>502 Bad Gateway</h1><p>upstream.internal:8443</p></body></html>"


async def strike_before(request: web.Request, fault: Fault) -> web.StreamResponse | None:
    """Do a fault that comes before the request is acted on. None lets the request go on."""
    match fault.kind:
        case "delay":
            await asyncio.sleep(fault.seconds)
            return None
        case "drop_before":
            return dropped(request)
        case "stall":
            return await stalled(request)
        case "html":
            return web.Response(
                status=fault.status or 502,
                text=fault.body or HTML,
                content_type="text/html",
                headers=fault.headers,
            )
        case "redirect":
            return web.Response(
                status=fault.status or 307, headers={"Location": fault.location, **fault.headers}
            )
    return status_answer(fault)


async def strike_after(
    request: web.Request, fault: Fault, response: web.StreamResponse
) -> web.StreamResponse:
    """Spoil the answer to a request that was acted on."""
    match fault.kind:
        case "drop_after":
            return dropped(request)
        case "stall_after":
            return await stalled(request)
        case "bad_header":
            return illegal_header(request, response)
        case "trickle":
            return await trickled(request, fault, response)
        case "huge_body":
            return await huge(request, fault, response)
        case "truncate":
            return await truncated(request, response)
        case "raw":
            return await raw(request, fault)
    return respelt(fault, response)


def status_answer(fault: Fault) -> web.Response:
    """A plain error of the asked status; its body is OpenAI's shape unless the fault brings its own."""
    status = fault.status or 500
    if fault.body is not None:
        return web.Response(
            status=status, text=fault.body, content_type="application/json", headers=fault.headers
        )
    kind = "server_error" if status >= 500 else "invalid_request_error"
    error = {"message": f"Sandbox fault {status}.", "type": kind, "param": None, "code": None}
    return web.json_response({"error": error}, status=status, headers=fault.headers)


def dropped(request: web.Request) -> web.Response:
    """Close the connection without a byte of an answer."""
    if request.transport is not None:
        request.transport.abort()
    # Never sent: aiohttp sees the closed transport. The journal shows 0.
    return _unsent()


async def stalled(request: web.Request) -> web.Response:
    """Answer nothing for as long as the client stays."""
    while request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110 - a transport tells nobody that it closes
        await asyncio.sleep(STALL_POLL)
    return _unsent()


def illegal_header(request: web.Request, response: web.StreamResponse) -> web.Response:
    """The answer with header bytes that no parser may let through: a NUL, and a CR that fakes a header."""
    body = response.body if isinstance(response, web.Response) else b""
    raw = body if isinstance(body, bytes) else b""
    head = (
        f"HTTP/1.1 {response.status} Injected\r\nContent-Type: {response.content_type}\r\n"
        f"Content-Length: {len(raw)}\r\n"
    ).encode() + b"Location: /v1/realtime/calls/rtc_x\x00\rSet-Cookie: injected=1\r\n\r\n"
    if request.transport is not None:
        request.transport.write(head + raw)
        request.transport.close()
    return _unsent()


async def raw(request: web.Request, fault: Fault) -> web.Response:
    """`body` on the wire as it is, in the answer's place, and again every `seconds` where that is set."""
    text = (fault.body or "").encode()
    while request.transport is not None and not request.transport.is_closing():
        request.transport.write(text)
        if not fault.seconds:
            request.transport.close()
            break
        await asyncio.sleep(fault.seconds)
    return _unsent()


async def trickled(request: web.Request, fault: Fault, response: web.StreamResponse) -> web.StreamResponse:
    """The true answer, one byte every `seconds`."""
    stream = _like(response)
    raw = _body(response)
    stream.content_length = len(raw)
    await stream.prepare(request)
    try:
        for index in range(len(raw)):
            await stream.write(raw[index : index + 1])
            await asyncio.sleep(fault.seconds)
    except ConnectionError:
        return stream
    await stream.write_eof()
    return stream


async def huge(request: web.Request, fault: Fault, response: web.StreamResponse) -> web.StreamResponse:
    """The true status and type, with `size` bytes of body and no Content-Length to warn of it."""
    stream = _like(response)
    await stream.prepare(request)
    try:
        for _ in range(0, fault.size, CHUNK):
            await stream.write(b" " * CHUNK)
    except ConnectionError:
        return stream
    await stream.write_eof()
    return stream


async def truncated(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    """Half of the true body under a Content-Length that promises the whole, and then a closed connection."""
    raw = _body(response)
    stream = _like(response)
    stream.content_length = len(raw)
    await stream.prepare(request)
    await stream.write(raw[: len(raw) // 2])
    if request.transport is not None:
        request.transport.close()
    return stream


def respelt(fault: Fault, response: web.StreamResponse) -> web.StreamResponse:
    """The kinds that keep the answer's form and change what it says."""
    spoilt = _like(response)
    raw = _body(response)
    match fault.kind:
        case "garble":
            raw = secrets.token_bytes(max(len(raw), 64))
        case "bad_json":
            raw = raw[: len(raw) // 2] + b"\xff,"
        case "no_location":
            spoilt.headers.pop("Location", None)
        case "headers":
            spoilt.headers.update(fault.headers)
        case "wrong_type":
            raw, content_type = _mistyped(raw, response.content_type)
            spoilt.content_type = content_type
    return web.Response(
        status=spoilt.status,
        body=raw if fault.body is None else fault.body.encode(),
        headers=spoilt.headers,
    )


def _mistyped(raw: bytes, content_type: str) -> tuple[bytes, str]:
    """JSON with each value of another type; anything else under the wrong content type."""
    if content_type != "application/json":
        return raw, "application/json"
    swapped = {
        name: [value] if isinstance(value, str) else str(value) for name, value in json.loads(raw).items()
    }
    return json.dumps(swapped).encode(), content_type


def _body(response: web.StreamResponse) -> bytes:
    body = response.body if isinstance(response, web.Response) else None
    return body if isinstance(body, bytes) else b""


def _like(response: web.StreamResponse) -> web.StreamResponse:
    headers = response.headers.copy()
    headers.popall("Content-Length", None)
    return web.StreamResponse(status=response.status, headers=headers)


def _unsent() -> web.Response:
    response = web.Response(status=503)
    response.force_close()
    return response
