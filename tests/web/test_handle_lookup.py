"""How a handle stands, as its bearer is told: state, uses left, end; and that the question spends nothing."""

from __future__ import annotations

import pytest

from app.store import keys
from app.web.routes import ALIASES
from tests.conftest import ServiceFactory
from tests.support.api import Reply
from tests.support.handles import aged, bad_handles, claims_of
from tests.support.offers import certificate
from tests.support.scrape import scrape
from tests.support.service import Service
from tests.web.operators import id_of, post

PAGE = "https://app.example.com"


@pytest.fixture
async def service(service_factory: ServiceFactory) -> Service:
    return await service_factory(CLOAKROOM_HANDLE_MAX_CALLS="2", CLOAKROOM_CORS_ORIGINS=PAGE)


async def lookup(service: Service, credential: str | None, base: str = "/v1", **headers: str) -> Reply:
    if credential is not None:
        headers["Authorization"] = f"Bearer {credential}"
    return await service.post(f"{base}/realtime/handles/lookup", headers=headers)


async def standing(service: Service, handle: str) -> tuple[str, int | None]:
    reply = await lookup(service, handle)
    assert reply.status == 200, reply
    return reply.json["state"], reply.json["uses_left"]


@pytest.mark.parametrize("base", ALIASES)
async def test_a_live_handle_tells_its_uses_and_its_end(service: Service, base: str) -> None:
    handle = await service.minted()
    reply = await lookup(service, handle, base)
    claims = claims_of(handle)
    told = reply.json
    left = told.pop("seconds_left")
    assert told == {
        "object": "realtime.handle",
        "state": "live",
        "uses_left": 2,
        "expires_at": claims["exp"],
    }
    assert 0 < left <= claims["exp"] - claims["iat"]
    assert reply.headers["cache-control"] == "no-store"


async def test_it_follows_the_uses_and_the_revocation(service: Service) -> None:
    handle = await service.minted()
    for expected in (("live", 2), ("live", 1), ("spent", 0)):
        assert await standing(service, handle) == expected
        await service.relay(handle)
    other = await service.minted()
    await post(service, f"/handles/{id_of(other)}/revoke")
    assert await standing(service, other) == ("revoked", 0)


async def test_without_a_limit_the_uses_are_null(service_factory: ServiceFactory) -> None:
    service = await service_factory(CLOAKROOM_HANDLE_MAX_CALLS="0")
    assert await standing(service, await service.minted()) == ("live", None)


async def test_it_changes_nothing_and_asks_no_provider(service: Service) -> None:
    handle = await service.minted()
    before, asked = await service.store_client.hgetall(keys.handle(id_of(handle))), service.asked()
    for _ in range(5):
        assert await standing(service, handle) == ("live", 2)
    assert await service.store_client.hgetall(keys.handle(id_of(handle))) == before
    assert service.asked() == asked
    seen = await scrape(service.http, service.base)
    assert seen.value("cloakroom_http_responses_total", handler="lookup", status="2xx") == 5


async def test_it_says_nothing_of_what_the_handle_is_bound_to(service: Service) -> None:
    bind = {"origin": PAGE, "fingerprint": certificate(1)}
    handle = await service.minted({"model": "gpt-realtime-2.1", "bind": bind})
    reply = await lookup(service, handle)
    assert reply.json.keys() == {"object", "state", "uses_left", "expires_at", "seconds_left"}
    assert PAGE not in reply.text


async def test_a_page_may_ask_as_it_may_call(service: Service) -> None:
    handle = await service.minted()
    reply = await lookup(service, handle, Origin=PAGE)
    assert (reply.status, reply.headers["access-control-allow-origin"]) == (200, PAGE)
    refused = await lookup(service, handle, Origin="https://evil.example")
    assert (refused.status, refused.code) == (403, "origin_not_allowed")
    asked = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
    async with service.http.options(f"{service.base}/v1/realtime/handles/lookup", headers=asked) as preflight:
        assert preflight.status == 204


async def test_bad_and_expired_handles_are_told_apart_and_get_nothing_else(service: Service) -> None:
    handle, ring = await service.minted(), service.planted.signing
    for name, (text, code) in bad_handles(handle, ring).items():
        reply = await lookup(service, text)
        assert (reply.status, reply.code) == (401, code), name
    for credential in (None, service.planted.client_key):
        assert (await lookup(service, credential)).code == "invalid_handle"
    assert (await lookup(service, aged(handle, ring, seconds=5))).code == "handle_expired"
    # The store lost the record, or the provider's clock ended it.
    await service.store_client.delete(keys.handle(id_of(handle)))
    assert (await lookup(service, handle)).code == "handle_expired"


async def test_a_record_of_a_newer_release_is_for_another_replica(service: Service) -> None:
    handle = await service.minted()
    await service.store_client.hset(keys.handle(id_of(handle)), "v", "99")
    reply = await lookup(service, handle)
    assert (reply.status, reply.code, reply.headers["retry-after"]) == (503, "draining", "1")


async def test_other_methods_have_nothing_here(service: Service) -> None:
    url = f"{service.base}/v1/realtime/handles/lookup"
    async with service.http.get(url, headers={"Authorization": f"Bearer {await service.minted()}"}) as answer:
        assert answer.status == 405
        assert answer.headers["Allow"] == "POST"
