"""Credentials of no value, by address: which answers count, and that no honest caller is told a wrong one."""

from __future__ import annotations

import time

import pytest

from app.handles.keyring import parse_signing_ring
from app.handles.tokens import HandleIssuer, new_handle_id
from tests.conftest import ServiceFactory
from tests.support import api
from tests.support.issuer import exchange_form, issuers
from tests.support.scrape import scrape
from tests.support.service import Service

# One more in 60 s: so long no test takes.
PER_MINUTE = 1
ADMIN = "/admin/v1/handles"


@pytest.fixture
async def service(service_factory: ServiceFactory) -> Service:
    return await service_factory(
        CLOAKROOM_REFUSED_CREDENTIALS_PER_MINUTE=str(PER_MINUTE),
        CLOAKROOM_ISSUERS=issuers(users=None, exchange=[{"subject": "ci", "client": "backend"}]),
        CLOAKROOM_CLIENTS='{"backend": {}}',
    )


async def use_up(service: Service) -> None:
    """Send bad keys until one more is limited."""
    for _ in range(PER_MINUTE):
        assert (await api.mint(service.http, service.base, "ck_wrong")).status == 401
    assert (await api.mint(service.http, service.base, "ck_wrong")).status == 429


async def test_the_answer_says_what_an_honest_caller_can_do(service: Service) -> None:
    await use_up(service)
    reply = await api.mint(service.http, service.base, "ck_wrong")
    assert (reply.status, reply.code, reply.headers["retry-after"]) == (429, "rate_limited", "60")
    assert "Check the credential" in reply.json["error"]["message"]
    assert "www-authenticate" not in reply.headers
    assert service.asked("/client_secrets") == 0


async def test_what_is_limited_is_no_mint_of_a_client_and_fires_no_alert_about_one(service: Service) -> None:
    await use_up(service)
    seen = await scrape(service.http, service.base)
    assert seen.value("cloakroom_mints_total", code="rate_limited") is None
    assert seen.value("cloakroom_mints_total", code="invalid_api_key") == PER_MINUTE
    assert seen.value("cloakroom_http_refusals_total", code="rate_limited") == 1
    assert seen.value("cloakroom_credentials_refused_total", answer="429") == 1


@pytest.mark.parametrize("path", ["/v1/realtime/ice-servers", "/v1/realtime?call_id=rtc_1", ADMIN])
async def test_every_path_that_wants_a_credential_counts(service: Service, path: str) -> None:
    async def ask() -> int:
        headers = {"Authorization": "Bearer wrong"}
        async with service.http.get(service.base + path, headers=headers) as response:
            return response.status

    assert [await ask() for _ in range(PER_MINUTE + 2)] == [401] * PER_MINUTE + [429] * 2
    assert (await service.relay("ek_wrong")).status == 429


async def test_an_expired_handle_is_told_so_whatever_else_its_address_sent(service: Service) -> None:
    await use_up(service)
    issuer = HandleIssuer(
        parse_signing_ring(service.planted.signing), prefix="ek_", clock=lambda: time.time() - 900
    )
    handle = issuer.issue(new_handle_id(), expires_at=int(time.time()) - 300)
    for _ in range(PER_MINUTE + 2):
        reply = await service.relay(handle)
        assert (reply.status, reply.code) == (401, "handle_expired")


async def test_good_credentials_of_the_same_address_work(service: Service) -> None:
    await use_up(service)
    handle = await service.minted()
    call_id = await service.called(handle)
    assert (await service.hang_up(handle, call_id)).status == 200
    headers = {"Authorization": f"Bearer {service.planted.admin_key}"}
    async with service.http.get(service.base + ADMIN, headers=headers) as response:
        assert response.status == 200


async def test_a_workload_token_that_is_not_exchanged_counts_in_oauths_words(service: Service) -> None:
    form = exchange_form("no.such.token")
    replies = [await service.post("/oauth/token", data=form) for _ in range(PER_MINUTE + 1)]
    assert [reply.status for reply in replies] == [400] * PER_MINUTE + [429]
    assert replies[-1].json["error"] == "temporarily_unavailable"
    assert replies[-1].headers["retry-after"] == "60"
    assert (await api.mint(service.http, service.base, "ck_wrong")).status == 429


async def test_a_caller_behind_a_trusted_proxy_is_not_its_neighbour(service_factory: ServiceFactory) -> None:
    service = await service_factory(
        CLOAKROOM_REFUSED_CREDENTIALS_PER_MINUTE="1",
        CLOAKROOM_TRUSTED_PROXIES="1",
        CLOAKROOM_FORWARDED_HEADER="forwarded",
    )

    async def guess(forwarded: str) -> int:
        headers = {"Forwarded": forwarded, "X-Forwarded-For": "6.6.6.6"}
        return (await api.mint(service.http, service.base, "ck_wrong", **headers)).status

    assert await guess("for=203.0.113.1") == 401
    assert await guess('for="203.0.113.1:99";proto=https') == 429
    assert await guess("for=203.0.113.1, for=203.0.113.2") == 401
    assert await guess("for=203.0.113.3, for=203.0.113.2") == 429
