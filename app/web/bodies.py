"""Reads request bodies under a cap of bytes and of seconds, and takes an offer out of its three forms."""

from __future__ import annotations

import asyncio
import hashlib
import time
from typing import Any, Final

import orjson
from aiohttp import StreamReader, web

from app.errors import InvalidOffer, InvalidRequest, RequestTooLarge, UnsupportedMediaType
from app.models import Offer
from app.web.appkeys import SETTINGS, TIMINGS
from app.web.multipart import read_form

JSON_TYPE: Final = "application/json"
SDP_TYPE: Final = "application/sdp"
MULTIPART_TYPE: Final = "multipart/form-data"


async def read_timed_body(request: web.Request) -> bytes:
    """``read_body`` within the settings' limits; a caller's slow line is not counted as time of ours.

    Raises:
        RequestTooLarge, InvalidRequest
    """
    settings, started = request.app[SETTINGS], time.perf_counter()
    try:
        return await read_body(
            request, max_bytes=settings.max_body_bytes, timeout=settings.body_timeout_seconds
        )
    finally:
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
    except (web.RequestPayloadError, OSError, ValueError):
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


def parse_json_object(request: web.Request, body: bytes) -> dict[str, Any]:
    """Return the body as a JSON object.

    Raises:
        UnsupportedMediaType, InvalidRequest
    """
    if request.content_type != JSON_TYPE:
        raise UnsupportedMediaType(f"Send this request as 'Content-Type: {JSON_TYPE}'.")
    return _json_object(body)


def parse_offer(request: web.Request, body: bytes, *, translation: bool = False) -> Offer:
    """Take the SDP offer out of a raw, multipart or JSON body, byte for byte where the form allows.

    A ``session`` beside the offer must be a JSON object; it is then ignored, since the session was fixed
    when the handle was minted (contracts, section 1).

    Raises:
        UnsupportedMediaType, InvalidRequest, InvalidOffer
    """
    content_type = request.content_type
    if content_type == SDP_TYPE:
        sdp = body
    elif content_type == MULTIPART_TYPE:
        sdp = _sdp_of_multipart(request.headers["Content-Type"], body)
    elif content_type == JSON_TYPE:
        sdp = _sdp_of_json(body)
    else:
        raise UnsupportedMediaType(
            f"Send the offer as '{SDP_TYPE}', as '{MULTIPART_TYPE}' with a part 'sdp', or as JSON {{sdp}}."
        )
    check_offer(sdp)
    return Offer(sdp=sdp, sha256=hashlib.sha256(sdp).hexdigest(), translation=translation)


def check_offer(sdp: bytes) -> None:
    """Refuse what no WebRTC peer would send as an audio offer (RFC 8866, RFC 8829).

    Raises:
        InvalidOffer: says what is missing.
    """
    if not sdp.strip():
        raise InvalidOffer("The offer is empty.", param="sdp")
    if not sdp.startswith(b"v=0") or b"\0" in sdp:
        raise InvalidOffer("This is no SDP: an offer begins with 'v=0'.", param="sdp")
    try:
        text = sdp.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidOffer("This is no SDP: it is not UTF-8 text.", param="sdp") from None
    for wanted, what in (
        ("m=audio ", "audio section"),
        ("a=ice-ufrag:", "ICE username"),
        ("a=fingerprint:", "DTLS fingerprint"),
    ):
        if f"\n{wanted}" not in text:
            raise InvalidOffer(
                f"The offer has no {what} ('{wanted.strip()}'). Send pc.localDescription.sdp.", param="sdp"
            )


def _sdp_of_json(body: bytes) -> bytes:
    value = _json_object(body)
    sdp = value.get("sdp")
    if not isinstance(sdp, str):
        raise InvalidRequest("The JSON body has no string 'sdp'.", param="sdp")
    _check_session(value.get("session"))
    return sdp.encode("utf-8", "replace")


def _sdp_of_multipart(content_type: str, body: bytes) -> bytes:
    parts = read_form(content_type, body)
    if "sdp" not in parts:
        raise InvalidRequest("The form has no part 'sdp'.", param="sdp")
    if "session" in parts:
        _check_session(_json_object(parts["session"], what="part 'session'"))
    return parts["sdp"]


def _check_session(session: Any) -> None:
    if session is not None and not isinstance(session, dict):
        raise InvalidRequest("'session' must be an object.", param="session")


def _json_object(body: bytes, *, what: str = "body") -> dict[str, Any]:
    if not body:
        raise InvalidRequest(f"The {what} is empty; send a JSON object.")
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise InvalidRequest(f"The {what} is no valid JSON.") from None
    if not isinstance(value, dict):
        raise InvalidRequest(f"The {what} must be a JSON object.")
    return value


def _too_large(max_bytes: int) -> RequestTooLarge:
    return RequestTooLarge(f"The body is larger than {max_bytes} bytes.")
