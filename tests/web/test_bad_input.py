"""Bad input at every public path: the table's code, never a 500, and nothing is asked of the provider."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import pytest

from app.web.routes import ALIASES
from tests.conftest import ServiceFactory
from tests.support.clocks import PATIENCE
from tests.support.offers import BROWSER_OFFER
from tests.support.service import Service

JSON = "application/json"
SDP = "application/sdp"
MINT_PATHS = [f"{base}/realtime/client_secrets" for base in ALIASES]
RELAY_PATHS = [f"{base}/realtime/calls" for base in ALIASES]

BAD_MINTS: list[tuple[str, str | None, bytes, int, str, str | None]] = [
    ("empty body", JSON, b"", 400, "invalid_request", None),
    ("not JSON", JSON, b"{", 400, "invalid_request", None),
    ("not UTF-8", JSON, b'{"model": "\xff"}', 400, "invalid_request", None),
    ("a list", JSON, b"[]", 400, "invalid_request", None),
    ("a number", JSON, b"1", 400, "invalid_request", None),
    ("null", JSON, b"null", 400, "invalid_request", None),
    ("deeply nested", JSON, b"[" * 5000 + b"]" * 5000, 400, "invalid_request", None),
    ("no content type", None, b'{"model": "gpt-realtime-2.1"}', 415, "unsupported_media_type", None),
    ("a form", "application/x-www-form-urlencoded", b"model=x", 415, "unsupported_media_type", None),
    ("broken content type", ";;;", b"{}", 415, "unsupported_media_type", None),
    ("model is a number", JSON, b'{"model": 1}', 400, "invalid_request", "model"),
    ("model is empty", JSON, b'{"model": ""}', 400, "invalid_request", "model"),
    ("model with a line break", JSON, b'{"model": "a\\r\\nb"}', 400, "invalid_request", "model"),
    ("session is a string", JSON, b'{"session": "x"}', 400, "invalid_request", "session"),
    ("session is a list", JSON, b'{"session": []}', 400, "invalid_request", "session"),
    ("unknown type", JSON, b'{"session": {"type": "chat"}}', 400, "invalid_request", "session.type"),
    ("type is a number", JSON, b'{"session": {"type": 1}}', 400, "invalid_request", "session.type"),
    (
        "session.model is null-ish",
        JSON,
        b'{"session": {"model": {}}}',
        400,
        "invalid_request",
        "session.model",
    ),
    (
        "two models",
        JSON,
        b'{"model": "a", "session": {"model": "b"}}',
        400,
        "invalid_request",
        "model",
    ),
    ("unknown field", JSON, b'{"model": "gpt-realtime-2.1", "voice": "x"}', 400, "invalid_request", "voice"),
    ("expires_after is a number", JSON, b'{"expires_after": 60}', 400, "invalid_request", "expires_after"),
    (
        "seconds too few",
        JSON,
        b'{"expires_after": {"seconds": 9}}',
        400,
        "invalid_request",
        "expires_after.seconds",
    ),
    (
        "seconds too many",
        JSON,
        b'{"expires_after": {"seconds": 7201}}',
        400,
        "invalid_request",
        "expires_after.seconds",
    ),
    (
        "seconds is true",
        JSON,
        b'{"expires_after": {"seconds": true}}',
        400,
        "invalid_request",
        "expires_after.seconds",
    ),
    (
        "seconds is a string",
        JSON,
        b'{"expires_after": {"seconds": "60"}}',
        400,
        "invalid_request",
        "expires_after.seconds",
    ),
    (
        "unknown anchor",
        JSON,
        b'{"expires_after": {"anchor": "now", "seconds": 60}}',
        400,
        "invalid_request",
        "expires_after.anchor",
    ),
    (
        "too large",
        JSON,
        b'{"session": {"instructions": "' + b"x" * 70_000 + b'"}}',
        413,
        "request_too_large",
        None,
    ),
]

NO_AUDIO = BROWSER_OFFER.replace(b"m=audio ", b"m=video ")
NO_ICE = BROWSER_OFFER.replace(b"a=ice-ufrag:", b"a=ice-nothing:")
BAD_OFFERS: list[tuple[str, str | None, bytes, int, str]] = [
    ("empty body", SDP, b"", 400, "invalid_offer"),
    ("white space", SDP, b"\r\n \r\n", 400, "invalid_offer"),
    ("prose", SDP, b"hello", 400, "invalid_offer"),
    ("JSON sent as SDP", SDP, b'{"sdp": "v=0"}', 400, "invalid_offer"),
    ("HTML", SDP, b"<html></html>", 400, "invalid_offer"),
    ("a NUL byte", SDP, BROWSER_OFFER + b"\0", 400, "invalid_offer"),
    ("not UTF-8", SDP, BROWSER_OFFER + b"a=x:\xff\xfe\r\n", 400, "invalid_offer"),
    ("no audio", SDP, NO_AUDIO, 400, "invalid_offer"),
    ("no ICE", SDP, NO_ICE, 400, "invalid_offer"),
    ("only the first line", SDP, b"v=0\r\n", 400, "invalid_offer"),
    ("no content type", None, BROWSER_OFFER, 415, "unsupported_media_type"),
    ("plain text", "text/plain", BROWSER_OFFER, 415, "unsupported_media_type"),
    ("empty JSON", JSON, b"", 400, "invalid_request"),
    ("JSON without sdp", JSON, b"{}", 400, "invalid_request"),
    ("JSON with a numeric sdp", JSON, b'{"sdp": 1}', 400, "invalid_request"),
    ("JSON with an SDP that is none", JSON, b'{"sdp": "x"}', 400, "invalid_offer"),
    ("a form without boundary", "multipart/form-data", b"x", 400, "invalid_request"),
    (
        "a form without the part",
        "multipart/form-data; boundary=b",
        b"--b\r\n\r\nx\r\n--b--",
        400,
        "invalid_request",
    ),
    ("a broken form", "multipart/form-data; boundary=b", b"--b\r\nContent-Disp", 400, "invalid_request"),
    (
        "a form with an SDP that is none",
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="sdp"\r\n\r\nx\r\n--b--\r\n',
        400,
        "invalid_offer",
    ),
    ("too large", SDP, BROWSER_OFFER + b"a=x:" + b"y" * 70_000 + b"\r\n", 413, "request_too_large"),
]


def _headers(key: str, content_type: str | None) -> dict[str, str]:
    headers = {"Authorization": f"Bearer {key}"}
    if content_type is not None:
        headers["Content-Type"] = content_type
    return headers


async def _raw(service: Service, path: str, body: bytes, headers: dict[str, str]) -> Any:
    skip = () if "Content-Type" in headers else ("Content-Type",)
    async with service.http.post(
        service.base + path, data=body, headers=headers, skip_auto_headers=skip
    ) as response:
        assert response.headers["x-request-id"]
        return response.status, await response.json()


@pytest.mark.parametrize("path", MINT_PATHS)
async def test_a_bad_mint_gets_the_tables_code_and_asks_nothing_of_the_provider(
    service: Service, path: str
) -> None:
    for what, content_type, body, status, code, param in BAD_MINTS:
        got, answer = await _raw(service, path, body, _headers(service.planted.client_key, content_type))
        assert (got, answer["error"]["code"]) == (status, code), (what, answer)
        assert answer["error"]["param"] == param, (what, answer)
        assert answer["error"].keys() == {"message", "type", "param", "code"}
    assert service.asked() == 0


@pytest.mark.parametrize("path", RELAY_PATHS)
async def test_a_bad_offer_gets_the_tables_code_and_asks_nothing_of_the_provider(
    service: Service, path: str
) -> None:
    handle = await service.minted()
    for what, content_type, body, status, code in BAD_OFFERS:
        got, answer = await _raw(service, path, body, _headers(handle, content_type))
        assert (got, answer["error"]["code"]) == (status, code), (what, answer)
    assert service.asked("/calls") == 0
    # None of it spent a use or left a mark: the handle still works.
    assert (await service.relay(handle)).status == 201


@pytest.mark.parametrize("path", ["/v1/realtime/client_secrets", "/v1/realtime/calls"])
async def test_a_body_that_trickles_in_is_cut_off(service_factory: ServiceFactory, path: str) -> None:
    service = await service_factory(CLOAKROOM_BODY_TIMEOUT_SECONDS="0.3")
    key = service.planted.client_key if path.endswith("secrets") else await service.minted()
    before = service.asked()
    host, port = service.server.host, service.server.port
    reader, writer = await asyncio.open_connection(host, port)
    content_type = JSON if path.endswith("secrets") else SDP
    writer.write(
        f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: 1000\r\n\r\n{{".encode()
    )
    try:
        answer = await asyncio.wait_for(reader.readuntil(b"}}"), PATIENCE)
    finally:
        writer.close()
        await writer.wait_closed()
    assert b"Connection: close" in answer
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"code":"invalid_request"' in answer
    assert b"0.3 seconds" in answer
    assert service.asked() == before


async def test_a_packed_body_counts_by_its_unpacked_size(service: Service) -> None:
    bomb = gzip.compress(b'{"session": {"instructions": "' + b"x" * 50_000_000 + b'"}}')
    headers = _headers(service.planted.client_key, JSON) | {"Content-Encoding": "gzip"}
    status, answer = await _raw(service, MINT_PATHS[0], bomb[:60_000], headers)
    assert (status, answer["error"]["code"]) in ((413, "request_too_large"), (400, "invalid_request"))
    assert service.asked() == 0


@pytest.mark.parametrize("key", ["", "nobody", "sk-live-guess", "\N{LATIN SMALL LETTER E WITH ACUTE}" * 30])
async def test_a_mint_without_a_clients_key_is_refused(service: Service, key: str) -> None:
    reply = await service.post(MINT_PATHS[0], json={}, headers={"Authorization": f"Bearer {key}"})
    assert (reply.status, reply.code) == (401, "invalid_api_key")
    assert reply.headers["www-authenticate"] == "Bearer"
    reply = await service.post(MINT_PATHS[0], json={})
    assert (reply.status, reply.code) == (401, "invalid_api_key")
    assert service.asked() == 0


async def test_unrouted_paths_and_methods_answer_in_the_one_shape(service: Service) -> None:
    reply = await service.post("/v1/nothing", json={})
    assert (reply.status, reply.code) == (404, "not_found")
    async with service.http.get(service.base + MINT_PATHS[0]) as response:
        assert response.status == 405
        assert response.headers["Allow"] == "POST"
        assert (await response.json())["error"]["code"] == "method_not_allowed"
