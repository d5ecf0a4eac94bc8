"""The reference is true: every route is in it, it has no other, and every answer is held to it."""

from __future__ import annotations

import orjson
import pytest
from aiohttp import web

from app.main import create_app
from app.settings import load_settings
from app.web import health
from app.web.reference.document import load_document, operations
from tests.conftest import ServiceFactory
from tests.support.conformance import OUTSIDE
from tests.support.planted import Planted
from tests.support.service import Service
from tests.support.spellings import aliases_of, documented_path

REFERENCE = load_document(None)


def routed(planted: Planted, **settings: str) -> set[tuple[str, str]]:
    """(method, path) of every route; HEAD comes with GET by itself (RFC 9110, section 9.3.2)."""
    environment = planted.environment(
        CLOAKROOM_REDIS_URL="memory://", OPENAI_API_KEY=planted.openai_key, **settings
    )
    application = create_app(load_settings(environment))
    return {
        (route.method, route.resource.canonical)
        for route in application.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }


@pytest.mark.parametrize("demo", ["true", "false"])
def test_every_route_is_documented_and_every_operation_routed_in_all_spellings(
    planted: Planted, demo: str
) -> None:
    found = routed(planted, CLOAKROOM_DEMO=demo)
    outside = {path for _, path in found if OUTSIDE.match(path)}
    assert outside == ({"/", "/demo", "/demo/", "/demo/{name}"} if demo == "true" else set())
    documented = {
        (method.upper(), spelling)
        for path, method, _ in operations(REFERENCE)
        for spelling in aliases_of(path)
    }
    assert {(method, path) for method, path in found if path not in outside} == documented


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/realtime/calls", "/v1/realtime/calls"),
        ("/realtime/calls", "/v1/realtime/calls"),
        ("/openai/v1/realtime/calls", "/v1/realtime/calls"),
        ("/livez", "/livez"),
        ("/v1/livez", None),
        ("/openai/realtime/calls", None),
        ("/v1/v1/realtime/calls", None),
        ("/v1/realtime/calls/", None),
    ],
)
def test_a_spelling_leads_to_its_documented_path(path: str, expected: str | None) -> None:
    assert documented_path(REFERENCE, path) == expected


# --- it is served ----------------------------------------------------------------------------------


async def test_the_document_is_served_with_its_tag_and_the_public_url(
    service_factory: ServiceFactory,
) -> None:
    service = await service_factory(CLOAKROOM_PUBLIC_URL="https://voice.example.com")
    async with service.http.get(service.base + "/openapi.json") as response:
        assert (response.status, response.content_type) == (200, "application/json")
        assert orjson.loads(await response.read()) == load_document("https://voice.example.com")
        tag = response.headers["ETag"]
        assert response.headers["Cache-Control"] == "no-cache"
    async with service.http.get(service.base + "/openapi.json", headers={"If-None-Match": tag}) as again:
        assert (again.status, await again.read()) == (304, b"")
        assert again.headers["ETag"] == tag


async def test_the_page_runs_no_script_and_loads_nothing(service: Service) -> None:
    async with service.http.get(service.base + "/docs") as response:
        assert (response.status, response.content_type) == (200, "text/html")
        text = await response.text()
        policy = response.headers["Content-Security-Policy"]
        tag = response.headers["ETag"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "script-src" not in policy
    assert "unsafe" not in policy
    for word in ("<script", 'src="http', "@import", "url(", " onclick", " style="):
        assert word not in text, word
    for _, _, operation in operations(REFERENCE):
        assert f'id="{operation["operationId"]}"' in text
    async with service.http.get(service.base + "/docs", headers={"If-None-Match": tag}) as again:
        assert again.status == 304


async def test_neither_tells_anything_of_the_deployment(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    place = {"provider": "openai", "api_key": planted.openai_key, "model": "gpt-x"}
    service = await service_factory(
        CLOAKROOM_DEPLOYMENTS=orjson.dumps({"secret-place": place}).decode(),
        CLOAKROOM_MODELS='{"in-house-voice": "secret-place"}',
        CLOAKROOM_DEFAULT_MODEL="in-house-voice",
        CLOAKROOM_CORS_ORIGINS="https://intranet.example.org",
    )
    for path in ("/openapi.json", "/docs"):
        async with service.http.get(service.base + path) as response:
            text = await response.text()
        for word in ("secret-place", "in-house-voice", "gpt-x", "intranet", "shop:", *planted.all_values()):
            assert word not in text, (path, word)


# --- and every answer is held to it ----------------------------------------------------------------


async def test_the_hook_sees_what_a_service_sends(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await service.mint()).status == 200
    assert service.conformance.checked == {("mint", 200): 1}
    service.conformance.raise_breaches()
    monkeypatch.setattr(health, "_ok", lambda status: web.json_response({"status": status, "host": "a"}))
    async with service.http.get(service.base + "/livez") as response:
        assert response.status == 200
    with pytest.raises(AssertionError, match="'host' was unexpected"):
        service.conformance.raise_breaches()
    # Or this test would fail at its end, as it should.
    service.conformance.breaches.clear()
