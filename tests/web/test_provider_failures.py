"""A provider that fails in every way: the table's answer, no inner detail, and no offer sent twice."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from app.sandbox import SandboxConfig
from tests.conftest import ServiceFactory
from tests.support.offers import fresh_offer
from tests.support.planted import Planted
from tests.support.service import Service

# Only what stalls has to wait for the deadline; the other failures are there long before it.
FAST = {"CLOAKROOM_MINT_TIMEOUT_SECONDS": "3", "CLOAKROOM_RELAY_TIMEOUT_SECONDS": "3"}
# Words that would tell a caller how we are built or where the provider is.
INNER_DETAIL = (
    "Traceback",
    "aiohttp",
    "127.0.0.1",
    "localhost",
    "ClientOSError",
    "html",
    "HTML>",
    "/realtime",
)

CREATED = "HTTP/1.1 201 Created\r\nContent-Type: application/sdp\r\n"
SDP = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"
LENGTH = f"Content-Length: {len(SDP)}\r\n"
# Answers to an offer that would be good ones, but for one thing that HTTP forbids.
FORBIDDEN = {
    "a NUL in a header": f"{CREATED}{LENGTH}Location: /v1/realtime/calls/rtc_1\0\r\n\r\n{SDP}",
    "a bare CR in a header": f"{CREATED}{LENGTH}Location: /calls/rtc_1\rSet-Cookie: a=b\r\n\r\n{SDP}",
    "a bare LF in a header": f"{CREATED}{LENGTH}Location: /calls/rtc_1\nSet-Cookie\r\n\r\n{SDP}",
    "a name that turns the writing": f"{CREATED}{LENGTH}X\u202e: a\r\n\r\n{SDP}",
    "a folded header": f"{CREATED}{LENGTH}X: a\r\n b\r\n\r\n{SDP}",
    "an endless header": f"{CREATED}{LENGTH}X: {'x' * 70_000}\r\n\r\n{SDP}",
    "endless headers": f"{CREATED}{LENGTH}" + "X: abcdefgh\r\n" * 7_000 + f"\r\n{SDP}",
    "two lengths that agree": f"{CREATED}{LENGTH}{LENGTH}\r\n{SDP}",
    "two lengths that differ": f"{CREATED}{LENGTH}Content-Length: 3\r\n\r\n{SDP}",
    "a length and chunks": f"{CREATED}{LENGTH}Transfer-Encoding: chunked\r\n\r\n{SDP}",
    "a chunk of no size": f"{CREATED}Transfer-Encoding: chunked\r\n\r\nzz\r\n{SDP}\r\n0\r\n\r\n",
    "a chunk that is longer": f"{CREATED}Transfer-Encoding: chunked\r\n\r\n4\r\n{SDP}\r\n0\r\n\r\n",
    "a flood of interim answers": "HTTP/1.1 103 Hints\r\n\r\n" * 5_000 + f"{CREATED}{LENGTH}\r\n{SDP}",
    "another protocol": f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n{SDP}",
}

MINT_FAULTS: list[tuple[str, dict[str, Any], int, str]] = [
    ("drop_before", {}, 502, "upstream_error"),
    ("drop_after", {}, 502, "upstream_error"),
    ("stall", {}, 504, "upstream_timeout"),
    ("html", {"status": 200}, 502, "upstream_error"),
    ("html", {"status": 502}, 502, "upstream_error"),
    ("redirect", {}, 502, "upstream_error"),
    ("bad_header", {}, 502, "upstream_error"),
    ("bad_json", {}, 502, "upstream_error"),
    ("huge_body", {}, 502, "upstream_error"),
    ("garble", {}, 502, "upstream_error"),
    ("truncate", {}, 502, "upstream_error"),
    ("past_expiry", {}, 502, "upstream_error"),
]
RELAY_FAULTS: list[tuple[str, dict[str, Any], int, str]] = [
    ("drop_before", {}, 502, "outcome_unknown"),
    ("drop_after", {}, 502, "outcome_unknown"),
    ("stall", {}, 504, "upstream_timeout"),
    ("stall_after", {}, 504, "upstream_timeout"),
    ("html", {"status": 200}, 502, "outcome_unknown"),
    ("html", {"status": 502}, 502, "upstream_error"),
    ("redirect", {}, 502, "upstream_error"),
    ("bad_header", {}, 502, "outcome_unknown"),
    ("garble", {}, 502, "outcome_unknown"),
    ("huge_body", {}, 502, "outcome_unknown"),
    ("truncate", {}, 502, "outcome_unknown"),
]


def _no_inner_detail(text: str) -> None:
    for word in INNER_DETAIL:
        assert word not in text, text


@pytest.mark.parametrize(("kind", "options", "status", "code"), MINT_FAULTS)
async def test_a_mint_that_fails_at_the_provider_gets_the_tables_answer(
    service_factory: ServiceFactory, kind: str, options: dict[str, Any], status: int, code: str
) -> None:
    service = await service_factory(**(FAST if kind == "stall" else {}))
    service.fault(kind, "client_secrets", times=0, **options)
    reply = await service.mint()
    assert (reply.status, reply.code) == (status, code), reply
    _no_inner_detail(reply.text)


@pytest.mark.parametrize(("kind", "options", "status", "code"), RELAY_FAULTS)
async def test_a_relay_that_fails_at_the_provider_gets_the_tables_answer_and_is_sent_once(
    service_factory: ServiceFactory, kind: str, options: dict[str, Any], status: int, code: str
) -> None:
    service = await service_factory(**(FAST if status == 504 else {}))
    handle = await service.minted()
    service.fault(kind, "calls", times=0, **options)
    offer = fresh_offer()
    reply = await service.relay(handle, offer)
    assert (reply.status, reply.code) == (status, code), reply
    _no_inner_detail(reply.text)
    assert service.asked("/calls") == 1
    if code in ("outcome_unknown", "upstream_timeout"):
        # The same offer again may hit a call that exists: it is answered from memory, not sent.
        again = await service.relay(handle, offer)
        assert again.code == "outcome_unknown"
        assert service.asked("/calls") == 1


@pytest.mark.parametrize("what", FORBIDDEN)
async def test_an_answer_that_http_forbids_is_no_answer_and_the_offer_is_not_sent_again(
    service: Service, what: str
) -> None:
    handle, offer = await service.minted(), fresh_offer()
    service.fault("raw", "calls", times=0, body=FORBIDDEN[what])
    for _ in range(2):
        reply = await service.relay(handle, offer)
        assert (reply.status, reply.code) == (502, "outcome_unknown"), reply
        assert "set-cookie" not in reply.headers
        assert "location" not in reply.headers
    assert service.asked("/calls") == 1
    service.fault("raw", "client_secrets", times=0, body=FORBIDDEN[what])
    reply = await service.mint()
    assert (reply.status, reply.code) == (502, "upstream_error"), reply
    _no_inner_detail(reply.text)


async def test_a_good_answer_of_raw_bytes_is_one(service: Service) -> None:
    """Or the table above would show nothing."""
    handle = await service.minted()
    service.fault("raw", "calls", body=f"{CREATED}{LENGTH}Location: /v1/realtime/calls/rtc_1\r\n\r\n{SDP}")
    reply = await service.relay(handle)
    assert (reply.status, reply.text) == (201, SDP)
    assert reply.headers["location"] == "/v1/realtime/calls/rtc_1"


async def test_a_redirect_is_not_followed_and_the_error_says_what_to_change(service: Service) -> None:
    service.fault("redirect", "client_secrets", location=f"{service.sandbox.make_url('/elsewhere')}")
    reply = await service.mint()
    assert (reply.status, reply.code) == (502, "upstream_error")
    message = reply.json["error"]["message"]
    assert "a redirect (status 307), which is never followed" in message
    assert "deployments.openai.base_url (OPENAI_BASE_URL)" in message
    assert service.asked("/elsewhere") == 0


@pytest.mark.parametrize("kind", ["drop_before", "stall", "html"])
async def test_one_failure_is_retried_and_the_mint_succeeds(
    service_factory: ServiceFactory, kind: str
) -> None:
    service = await service_factory(**({"CLOAKROOM_MINT_TIMEOUT_SECONDS": "5"} if kind == "stall" else {}))
    service.fault(kind, "client_secrets", times=1, **({"status": 503} if kind == "html" else {}))
    assert (await service.mint()).status == 200
    assert service.asked("/client_secrets") == 2


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_a_passing_status_is_retried_and_the_mint_succeeds(service: Service, status: int) -> None:
    service.fault("status", "client_secrets", status=status, times=2)
    assert (await service.mint()).status == 200
    assert service.asked("/client_secrets") == 3


async def test_a_429_keeps_the_providers_code_retry_after_and_rate_limit_headers(service: Service) -> None:
    body = '{"error": {"message": "Slow down.", "type": "requests", "code": "rate_limit_exceeded"}}'
    headers = {"Retry-After": "1000", "x-ratelimit-remaining-requests": "0", "x-secret": "no"}
    service.fault("status", "client_secrets", status=429, times=0, body=body, headers=headers)
    reply = await service.mint()
    assert (reply.status, reply.code) == (429, "rate_limit_exceeded")
    assert reply.json["error"]["type"] == "upstream_error"
    assert reply.headers["retry-after"] == "1000"
    assert reply.headers["x-ratelimit-remaining-requests"] == "0"
    assert reply.headers["x-upstream-request-id"]
    assert "x-secret" not in reply.headers
    # A thousand seconds are beyond the deadline, so no second try was made.
    assert service.asked("/client_secrets") == 1


async def test_an_exhausted_quota_is_not_retried(service: Service) -> None:
    body = '{"error": {"message": "You exceeded your quota.", "type": "x", "code": "insufficient_quota"}}'
    service.fault("status", "client_secrets", status=429, times=0, body=body)
    assert (await service.mint()).code == "insufficient_quota"
    assert service.asked("/client_secrets") == 1


async def test_a_refused_credential_shows_nothing_of_the_credential(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    config = SandboxConfig(openai_keys=("sk-another-key-entirely",), peer="static")
    service = await service_factory(sandbox=config)
    reply = await service.mint()
    assert (reply.status, reply.code) == (401, "invalid_api_key")
    assert reply.json["error"]["type"] == "upstream_error"
    assert planted.openai_key[:12] not in reply.text
    assert planted.openai_key[-4:] not in reply.text
    assert "deployment 'openai'" in reply.json["error"]["message"]


async def test_a_provider_that_refuses_connections_is_unreachable_and_gives_the_use_back(
    service_factory: ServiceFactory,
) -> None:
    service = await service_factory(CLOAKROOM_HANDLE_MAX_CALLS="1")
    handle = await service.minted()
    port = await service.stop_provider()
    reply = await service.relay(handle)
    assert (reply.status, reply.code) == (502, "upstream_unreachable")
    assert reply.headers["retry-after"] == "1"
    _no_inner_detail(reply.text)
    reply = await service.mint()
    assert (reply.status, reply.code) == (502, "upstream_unreachable")
    # The offer never reached anybody, so the one use is still there when the provider is back.
    answering = await asyncio.start_server(_answer_sdp, "127.0.0.1", port)
    async with answering:
        assert (await service.relay(handle)).status == 201
        assert (await service.relay(handle)).code == "handle_spent"


async def test_a_provider_that_never_accepts_the_connection_is_unreachable(
    service_factory: ServiceFactory,
) -> None:
    with socket.socket() as full:
        # A listening socket whose backlog is full lets further connections hang.
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.1", port))
            service = await service_factory(
                OPENAI_BASE_URL=f"http://127.0.0.1:{port}/v1",
                CLOAKROOM_CONNECT_TIMEOUT_SECONDS="0.2",
            )
            reply = await service.mint()
        finally:
            for filler in fillers:
                filler.close()
    assert (reply.status, reply.code) == (502, "upstream_unreachable")


async def test_an_answer_without_a_call_id_is_passed_on_without_location(service: Service) -> None:
    handle = await service.minted()
    service.fault("no_location", "calls")
    reply = await service.relay(handle)
    assert reply.status == 201
    assert "location" not in reply.headers


async def test_a_providers_refusal_of_the_offer_spends_the_use(service_factory: ServiceFactory) -> None:
    service = await service_factory(CLOAKROOM_HANDLE_MAX_CALLS="1")
    handle = await service.minted()
    body = '{"error": {"message": "The offer has no usable codec.", "type": "x", "code": "invalid_offer"}}'
    service.fault("status", "calls", status=400, body=body)
    offer = fresh_offer()
    reply = await service.relay(handle, offer)
    assert (reply.status, reply.code) == (400, "invalid_offer")
    assert reply.json["error"]["message"] == "The offer has no usable codec."
    assert (await service.relay(handle, offer)).code == "handle_spent"


async def _answer_sdp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Just enough of a provider to answer one offer on a port that must be the old one."""
    await reader.readuntil(b"\r\n\r\n")
    body = b"v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"
    writer.write(
        b"HTTP/1.1 201 Created\r\nContent-Type: application/sdp\r\nLocation: /v1/realtime/calls/rtc_back\r\n"
        b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    await writer.drain()
    writer.close()
