"""Refused before it is parsed: bad credentials of an address that sent too many, and what has no time."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import web

from app.broker.clients import ClientRegistry
from app.errors import InvalidApiKey
from app.handles.keyring import parse_signing_ring
from app.handles.tokens import HandleIssuer, new_handle_id
from app.models import Client
from app.settings import Settings
from app.telemetry.metrics import Metrics
from app.telemetry.parts.protection import ProtectionMetrics
from app.web.appkeys import CLIENTS, HANDLES, IDENTITIES, SETTINGS
from app.web.callers import UnparsedCallers
from app.web.listener.admission import Admission
from app.web.listener.credentials import RefusedCredentials
from app.web.listener.early import FORGOTTEN_AFTER_SECONDS, EarlyRefusals
from app.web.listener.refusal import Refusal
from app.web.listener.shares import Shares
from tests.unit.values import ring, ring_secret

KEY = "ck_early_0Zt5vLq8nRb2yXw7mKj4hGfDsAePcUi1"
PEER, PROXY = "203.0.113.1", "10.0.0.7"
LIMITED, OVERLOADED = cast(Refusal, "limited"), cast(Refusal, "overloaded")
MINT, OFFER = "/v1/realtime/client_secrets", "/v1/realtime/calls"


def request(path: str = MINT, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: voice.example.com", *headers, "Content-Length: 2"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n{}"


def bearer(credential: str) -> str:
    return f"Authorization: Bearer {credential}"


class Port:
    """Early refusals with real keys and handles; admission control admits nothing while ``sheds``."""

    def __init__(self) -> None:
        self.sheds = False
        self.now = 0.0
        self.in_flight = 0
        self.app = web.Application()
        self.handles = HandleIssuer(parse_signing_ring(ring("k1")), prefix="ek_", clock=time.time)
        self.app[CLIENTS] = ClientRegistry([(Client("shop"), KEY)])
        self.app[HANDLES] = self.handles
        self.behind(0)
        metrics = ProtectionMetrics(Metrics(models=[], deployments=[]))
        self.early = EarlyRefusals(
            admission=cast(Admission, self),
            credentials=RefusedCredentials(1, metrics),
            shares=Shares(self, 100, metrics),
            callers=UnparsedCallers(self.app),
            overloaded=OVERLOADED,
            limited=LIMITED,
            metrics=metrics,
        )

    def behind(self, proxies: int) -> None:
        settings = SimpleNamespace(trusted_proxies=proxies, forwarded_header="x-forwarded-for")
        self.app[SETTINGS] = cast(Settings, settings)

    def admits(self, loop: Any) -> bool:
        return not self.sheds

    def too_many_from(self, address: str) -> None:
        for _ in range(2):
            self.early.credentials.judged(InvalidApiKey("no"), lambda: address)

    def of(self, data: bytes, peer: str = PEER) -> Refusal | None:
        return self.early.of(data, peer, cast(asyncio.AbstractEventLoop, self))

    def time(self) -> float:
        """Of the event loop, in seconds."""
        return self.now


@pytest.fixture
def port() -> Port:
    return Port()


def test_until_an_address_sent_too_many_nothing_of_it_is_looked_at(port: Port) -> None:
    port.early.credentials.judged(InvalidApiKey("no"), lambda: PEER)
    assert port.of(request(MINT, bearer("ck_wrong"))) is None


@pytest.mark.parametrize(
    "path", [MINT, OFFER, "/realtime", "/openai/v1/live/sessions", f"{OFFER}/rtc_1/hangup"]
)
@pytest.mark.parametrize(
    "headers", [(), (bearer("ck_wrong"),), ("api-key: ek_a.b.c",), ("Authorization: Basic x",)]
)
def test_a_worthless_credential_of_such_an_address_is_refused(
    port: Port, path: str, headers: tuple[str, ...]
) -> None:
    port.too_many_from(PEER)
    assert port.of(request(path, *headers)) is LIMITED
    assert port.of(request(path, *headers), "203.0.113.2") is None


def test_a_credential_that_is_good_or_was_goes_on(port: Port) -> None:
    port.too_many_from(PEER)
    now = int(time.time())
    alive = port.handles.issue(new_handle_id(), expires_at=now + 60)
    old = HandleIssuer(parse_signing_ring(ring("k1")), prefix="ek_", clock=lambda: now - 7200.0)
    expired = old.issue(new_handle_id(), expires_at=now - 7000)
    for credential in (KEY, alive, expired):
        assert port.of(request(OFFER, bearer(credential))) is None, credential
        assert port.of(request(OFFER, f"api-key: {credential}")) is None
    forged = HandleIssuer(parse_signing_ring(f"k1:{ring_secret('forger')}"), prefix="ek_", clock=time.time)
    assert port.of(request(OFFER, bearer(forged.issue(new_handle_id(), expires_at=now + 60)))) is LIMITED


def test_a_token_that_names_a_configured_issuer_goes_on_since_it_may_be_good(port: Port) -> None:
    port.too_many_from(PEER)
    port.app[IDENTITIES] = cast(Any, SimpleNamespace(known=lambda text: text if text == "a.b.c" else None))
    assert port.of(request(MINT, bearer("a.b.c"))) is None
    assert port.of(request(MINT, bearer("d.e.f"))) is LIMITED


@pytest.mark.parametrize(
    "data",
    [
        request("/oauth/token"),
        request("/nothing"),
        request("/v1/realtimes"),
        request(MINT, bearer("ck_wrong"), bearer("ck_other")),
    ],
)
def test_what_needs_no_credential_or_is_unusual_goes_on(port: Port, data: bytes) -> None:
    port.too_many_from(PEER)
    assert port.of(data) is None


def test_behind_proxies_the_caller_counts_and_not_the_proxy(port: Port) -> None:
    port.behind(1)
    port.too_many_from(PEER)
    wrong = bearer("ck_wrong")
    assert port.of(request(MINT, wrong, f"X-Forwarded-For: 6.6.6.6, {PEER}"), PROXY) is LIMITED
    assert port.of(request(MINT, wrong, f"X-Forwarded-For: {PEER}, 203.0.113.2"), PROXY) is None
    assert port.of(request(MINT, wrong), PROXY) is None
    twice = (f"X-Forwarded-For: {PEER}", f"X-Forwarded-For: {PEER}")
    assert port.of(request(MINT, wrong, *twice), PROXY) is None


def test_while_load_is_shed_a_client_below_its_share_is_served(port: Port) -> None:
    port.sheds = True
    quiet = request(MINT, bearer(KEY))
    assert port.of(quiet) is OVERLOADED
    for _ in range(10):
        port.early.shares.take("greedy")
        port.in_flight += 1
    # It was not spared a moment ago, so it is not looked at again.
    assert port.of(quiet) is OVERLOADED
    port.now += FORGOTTEN_AFTER_SECONDS
    assert port.of(quiet) is None
    # Of an offer it is not known whose it is.
    assert port.of(request(OFFER, bearer(KEY))) is OVERLOADED
    assert port.of(request(MINT, bearer("ck_wrong"))) is OVERLOADED
    for _ in range(6):
        port.early.shares.take("shop")
        port.in_flight += 1
    assert port.of(quiet) is None
    for _ in range(5):
        port.early.shares.take("shop")
        port.in_flight += 1
    assert port.of(quiet) is OVERLOADED
