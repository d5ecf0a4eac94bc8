"""Every handle that is not ours, alive and unspoilt gets its 401 and reaches no provider."""

from __future__ import annotations

from app.web.routes import ALIASES
from tests.support.api import post
from tests.support.handles import bad_handles, claims_of, header_of
from tests.support.offers import fresh_offer
from tests.support.service import Service


async def test_bad_handles_are_refused_with_their_code_and_reach_no_provider(service: Service) -> None:
    handle = await service.minted()
    bad = bad_handles(handle, service.planted.signing)
    assert len(bad) > 30
    for base in ALIASES:
        for what, (text, code) in bad.items():
            reply = await post(
                service.http,
                f"{service.base}{base}/realtime/calls",
                data=fresh_offer(),
                headers={"Authorization": f"Bearer {text}", "Content-Type": "application/sdp"},
            )
            assert (reply.status, reply.code) == (401, code), (what, reply)
            assert "mint" in reply.json["error"]["message"].lower(), what
    assert service.asked("/calls") == 0
    assert (await service.relay(handle)).status == 201


async def test_a_handle_is_taken_with_and_without_its_prefix_and_in_either_header(service: Service) -> None:
    handle = await service.minted()
    assert handle.startswith("ek_")
    assert (await service.relay(handle.removeprefix("ek_"))).status == 201
    reply = await service.post(
        "/openai/v1/realtime/calls",
        data=fresh_offer(),
        headers={"api-key": handle, "Content-Type": "application/sdp"},
    )
    assert reply.status == 201


async def test_a_client_key_or_another_scheme_is_no_handle(service: Service) -> None:
    handle = await service.minted()
    for authorization in (
        f"Bearer {service.planted.client_key}",
        f"Basic {handle}",
        handle,
        "Bearer",
        f"Bearer {handle}, Bearer {handle}",
    ):
        reply = await service.post(
            "/v1/realtime/calls",
            data=fresh_offer(),
            headers={"Authorization": authorization, "Content-Type": "application/sdp"},
        )
        assert (reply.status, reply.code) == (401, "invalid_handle"), authorization
    assert service.asked("/calls") == 0


async def test_the_handle_tells_its_bearer_nothing(service: Service) -> None:
    handle = await service.minted()
    assert claims_of(handle).keys() == {"iss", "aud", "iat", "exp", "jti"}
    assert header_of(handle).keys() == {"alg", "typ", "kid"}
    for word in ("gpt", "shop", "openai", "realtime"):
        assert word not in str(claims_of(handle)) + str(header_of(handle))
