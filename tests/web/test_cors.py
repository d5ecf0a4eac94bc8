"""CORS as a browser sees it: preflights, error answers and unrouted paths included."""

from __future__ import annotations

import pytest

from tests.conftest import ServiceFactory
from tests.support.service import Service

PAGE = "https://app.example.com"
SDK_HEADERS = "authorization,content-type,x-openai-agents-sdk,x-stainless-os,openai-safety-identifier"
PATHS = ["/v1/realtime/client_secrets", "/v1/realtime/calls", "/realtime/calls", "/no/such/path"]


@pytest.fixture
async def page_service(service_factory: ServiceFactory) -> Service:
    return await service_factory(CLOAKROOM_CORS_ORIGINS=PAGE)


@pytest.mark.parametrize("path", PATHS)
async def test_a_preflight_allows_what_the_sdks_send(page_service: Service, path: str) -> None:
    async with page_service.http.options(
        page_service.base + path,
        headers={
            "Origin": PAGE,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": SDK_HEADERS + ",cookie",
        },
    ) as response:
        assert response.status == 204
        allowed = {name.strip() for name in response.headers["Access-Control-Allow-Headers"].split(",")}
        assert allowed == set(SDK_HEADERS.split(","))
        assert "POST" in response.headers["Access-Control-Allow-Methods"]
        assert response.headers["Access-Control-Allow-Origin"] == PAGE
        assert "Access-Control-Allow-Credentials" not in response.headers
        assert "Origin" in response.headers["Vary"]


@pytest.mark.parametrize("path", PATHS)
async def test_error_answers_carry_the_cors_headers_too(page_service: Service, path: str) -> None:
    reply = await page_service.post(path, data=b"x", headers={"Origin": PAGE})
    assert 400 <= reply.status < 500
    assert reply.headers["access-control-allow-origin"] == PAGE
    exposed = reply.headers["access-control-expose-headers"].lower()
    assert "location" in exposed
    assert "x-request-id" in exposed
    assert "origin" in reply.headers["vary"].lower()


async def test_a_whole_call_from_another_origin_shows_location(page_service: Service) -> None:
    handle = await page_service.minted()
    reply = await page_service.relay(handle, Origin=PAGE)
    assert reply.status == 201
    assert reply.headers["access-control-allow-origin"] == PAGE
    assert "location" in reply.headers["access-control-expose-headers"].lower()


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example.com", "null", "https://app.example.com.evil.net", "http://app.example.com"],
)
async def test_another_origin_is_refused_before_anything_happens(page_service: Service, origin: str) -> None:
    reply = await page_service.mint(Origin=origin)
    assert (reply.status, reply.code) == (403, "origin_not_allowed")
    assert "access-control-allow-origin" not in reply.headers
    assert "origin" in reply.headers["vary"].lower()
    assert page_service.asked() == 0


async def test_without_an_origin_vary_is_sent_all_the_same(page_service: Service) -> None:
    """A cache that kept the answer to a non-browser must not serve it to a browser."""
    reply = await page_service.mint()
    assert reply.status == 200
    assert "origin" in reply.headers["vary"].lower()


async def test_any_origin_where_the_operator_said_so(service_factory: ServiceFactory) -> None:
    service = await service_factory(CLOAKROOM_CORS_ORIGINS="*")
    reply = await service.mint(Origin="https://anybody.example.net")
    assert reply.status == 200
    assert reply.headers["access-control-allow-origin"] == "*"


async def test_a_page_that_the_service_serves_itself_is_no_stranger(service: Service) -> None:
    reply = await service.mint(Origin=service.base)
    assert reply.status == 200
