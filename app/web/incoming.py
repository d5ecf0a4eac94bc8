"""Reads what a request carries: its credential, and its body under a cap of bytes and of seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

import orjson
from aiohttp import StreamReader, hdrs, web

from app.errors import InvalidRequest, RequestTooLarge, UnsupportedMediaType
from app.web.appkeys import LIFECYCLE, SETTINGS, TIMINGS

JSON_TYPE: Final = "application/json"
API_KEY_HEADER: Final = "api-key"
_BEARER: Final = "bearer "


def credential(request: web.Request) -> str | None:
    """The bearer token, or the ``api-key`` header that clients made for Azure send. Not verified."""
    headers = request.headers
    return credential_in(headers.get(hdrs.AUTHORIZATION), lambda: headers.get(API_KEY_HEADER))


def credential_in(authorization: str | None, api_key: Callable[[], str | None]) -> str | None:
    """The credential of a request with this ``Authorization`` header."""
    if authorization is None:
        return api_key()
    if authorization[: len(_BEARER)].lower() == _BEARER:
        return authorization[len(_BEARER) :].strip()
    return None


async def read_timed_body(request: web.Request, *, max_bytes: int | None = None) -> bytes:
    """``read_body`` within the settings' limits. The time counts as the caller's, not as ours.

    ``max_bytes`` is a limit of the path, in place of the setting's.
    While the body is still to come, the request takes no place among those in flight: a caller that sends
    slowly costs a connection and nothing else.

    Raises:
        RequestTooLarge, InvalidRequest
    """
    settings, lifecycle, started = request.app[SETTINGS], request.app[LIFECYCLE], time.perf_counter()
    waiting = 0 if request.content.is_eof() else 1
    lifecycle.in_flight -= waiting
    try:
        return await read_body(
            request,
            max_bytes=settings.max_body_bytes if max_bytes is None else max_bytes,
            timeout=settings.body_timeout_seconds,
        )
    finally:
        lifecycle.in_flight += waiting
        request[TIMINGS].idle += time.perf_counter() - started


async def read_body(request: web.Request, *, max_bytes: int, timeout: float) -> bytes:
    """Return the whole body.

    Raises:
        RequestTooLarge: more than ``max_bytes``, unpacked.
        InvalidRequest: it did not arrive within ``timeout`` seconds, or broke off.
    """
    if (request.content_length or 0) > max_bytes:
        raise _too_large(max_bytes)
    content = request.content
    try:
        if content.is_eof():
            # A small body arrives with its headers; then there is nothing to wait for, and no timer to set.
            body = content.read_nowait()
            if len(body) > max_bytes:
                raise _too_large(max_bytes)
            return body
        async with asyncio.timeout(timeout):
            return await _read_capped(content, max_bytes)
    except TimeoutError:
        raise InvalidRequest(f"The body did not arrive within {timeout:g} seconds.") from None
    except (web.RequestPayloadError, OSError, ValueError) as broken:
        # The request's stream keeps this error, and its traceback the request: a cycle.
        broken.with_traceback(None)
        raise InvalidRequest("The body broke off or could not be decoded.") from None


async def _read_capped(content: StreamReader, max_bytes: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while chunk := await content.readany():
        size += len(chunk)
        if size > max_bytes:
            raise _too_large(max_bytes)
        chunks.append(chunk)
    return b"".join(chunks)


def _too_large(max_bytes: int) -> RequestTooLarge:
    return RequestTooLarge(f"The body is larger than {max_bytes} bytes.")


def parse_json_object(request: web.Request, body: bytes) -> dict[str, Any]:
    """Return the body as a JSON object.

    Raises:
        UnsupportedMediaType, InvalidRequest
    """
    if request.content_type != JSON_TYPE:
        raise UnsupportedMediaType(f"Send this request as 'Content-Type: {JSON_TYPE}'.")
    return json_object(body)


def json_object(body: bytes, *, what: str = "body") -> dict[str, Any]:
    """Parse ``body``, which messages call ``what``.

    Raises:
        InvalidRequest
    """
    if not body:
        raise InvalidRequest(f"The {what} is empty; send a JSON object.")
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise InvalidRequest(f"The {what} is not valid JSON.") from None
    if not isinstance(value, dict):
        raise InvalidRequest(f"The {what} must be a JSON object.")
    return value
