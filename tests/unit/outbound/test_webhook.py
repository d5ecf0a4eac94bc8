"""The webhook's signature, its secrets, its URL, and what a receiver's answer comes to."""

from __future__ import annotations

import base64
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from app.models import Secret
from app.outbound.egress import Egress
from app.outbound.webhook import (
    Webhook,
    WebhookFault,
    check_webhook_url,
    parse_webhook_secrets,
    shown_webhook_url,
    signature,
)
from tests.support.egress import here

# The example of Standard Webhooks' own test suites.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE_ID, TIMESTAMP, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SIGNED = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
NOW = 1_800_000_000.9

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def new_secret(length: int = 32) -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(length)).decode()}"


def test_the_signature_is_that_of_the_standard() -> None:
    assert signature(parse_webhook_secrets(SECRET), MESSAGE_ID, TIMESTAMP, BODY) == SIGNED


def test_each_secret_signs_so_that_it_can_be_changed() -> None:
    other = new_secret()
    found = signature(parse_webhook_secrets(f"{other}, {SECRET}"), MESSAGE_ID, TIMESTAMP, BODY).split(" ")
    assert len(found) == 2
    assert found[1] == SIGNED
    assert found[0] == signature(parse_webhook_secrets(other), MESSAGE_ID, TIMESTAMP, BODY)


@pytest.mark.parametrize("change", ["id", "timestamp", "body"])
def test_the_signature_is_over_all_that_a_receiver_reads(change: str) -> None:
    keys = parse_webhook_secrets(SECRET)
    changed = {
        "id": signature(keys, MESSAGE_ID + "x", TIMESTAMP, BODY),
        "timestamp": signature(keys, MESSAGE_ID, TIMESTAMP + 1, BODY),
        "body": signature(keys, MESSAGE_ID, TIMESTAMP, BODY + b" "),
    }
    assert changed[change] != SIGNED


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        (",", "empty"),
        (SECRET.removeprefix("whsec_"), "whsec_"),
        ("whsec_!!!!", "base64"),
        (new_secret(16), "16 bytes"),
        (new_secret(65), "65 bytes"),
        (f"whsec_{base64.b64encode(b'a' * 32).decode()}", "weak"),
        (f"{SECRET},{SECRET.removeprefix('whsec_')}", "secret 2"),
        (",".join(new_secret() for _ in range(9)), "more than 8"),
    ],
    # By what it says: the secrets are random, and each worker of the suite must find the same names.
    ids=["nothing", "comma", "prefix", "letters", "short", "long", "weak", "second", "many"],
)
def test_a_bad_secret_is_refused_without_quoting_it(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as refused:
        parse_webhook_secrets(text)
    assert all(entry.strip() not in str(refused.value) for entry in text.split(",") if len(entry) > 10)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "soc.example.com",
        "ftp://soc.example.com",
        "https://",
        "https://user:password@soc.example.com/",
        "https://soc.example.com/#part",
        "https://soc.example.com/a b",
        "https://soc.example.com/\r\nHost: other",
    ],
)
def test_what_is_no_url_of_a_receiver_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="must be a URL"):
        check_webhook_url(url)


def test_a_url_is_shown_without_what_may_be_secret_in_it() -> None:
    check_webhook_url("https://soc.example.com:8443/hooks/T0P5ecret?token=abc")
    assert shown_webhook_url("https://soc.example.com:8443/hooks/T0P5ecret?token=abc") == (
        "https://soc.example.com:8443"
    )


@pytest.fixture
async def listen() -> AsyncIterator[Callable[[Handler], Awaitable[str]]]:
    servers: list[TestServer] = []

    async def start(handler: Handler) -> str:
        app = web.Application()
        app.router.add_post("/hooks", handler)
        server = TestServer(app)
        servers.append(server)
        await server.start_server()
        return str(server.make_url("/hooks"))

    yield start
    for server in servers:
        await server.close()


def webhook(url: str) -> Webhook:
    return Webhook(url, (Secret(SECRET),), egress=here(), connect_timeout=5, clock=lambda: NOW)


async def test_a_message_arrives_whole_with_its_headers(
    listen: Callable[[Handler], Awaitable[str]],
) -> None:
    seen: list[tuple[dict[str, str], bytes]] = []

    async def take(request: web.Request) -> web.Response:
        seen.append(({name.lower(): value for name, value in request.headers.items()}, await request.read()))
        return web.Response(status=204)

    sender = webhook(await listen(take))
    await sender.send(MESSAGE_ID, BODY)
    await sender.close()
    ((headers, body),) = seen
    assert body == BODY
    assert headers["content-type"] == "application/json"
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == (MESSAGE_ID, str(int(NOW)))
    assert headers["webhook-signature"] == signature((Secret(SECRET),), MESSAGE_ID, int(NOW), BODY)


@pytest.mark.parametrize(("asked", "pause"), [("", 0.0), ("7", 7.0), ("999999", 600.0), ("Wed, 21", 0.0)])
@pytest.mark.parametrize("status", [302, 400, 410, 429, 503])
async def test_another_status_than_2xx_is_a_refusal(
    listen: Callable[[Handler], Awaitable[str]], status: int, asked: str, pause: float
) -> None:
    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Retry-After": asked, "Location": "/elsewhere"})

    sender = webhook(await listen(refuse))
    with pytest.raises(WebhookFault, match=f"status {status}") as fault:
        await sender.send(MESSAGE_ID, BODY)
    await sender.close()
    assert (fault.value.refused, fault.value.retry_after) == (True, pause)


async def test_a_receiver_that_is_away_or_breaks_off_is_no_refusal(
    listen: Callable[[Handler], Awaitable[str]],
) -> None:
    async def leave(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        away = f"http://127.0.0.1:{probe.getsockname()[1]}/hooks"
    for url, says in ((away, "cannot be reached"), (await listen(leave), "broke off")):
        sender = webhook(url)
        with pytest.raises(WebhookFault, match=says) as fault:
            await sender.send(MESSAGE_ID, BODY)
        await sender.close()
        assert not fault.value.refused


async def test_a_receiver_inside_is_asked_only_where_its_network_is_open(
    listen: Callable[[Handler], Awaitable[str]],
) -> None:
    seen: list[bytes] = []

    async def take(request: web.Request) -> web.Response:
        seen.append(await request.read())
        return web.Response()

    sender = Webhook(
        await listen(take), (Secret(SECRET),), egress=Egress(), connect_timeout=5, clock=lambda: NOW
    )
    with pytest.raises(WebhookFault, match="CLOAKROOM_PRIVATE_NETWORKS"):
        await sender.send(MESSAGE_ID, BODY)
    await sender.close()
    assert seen == []
