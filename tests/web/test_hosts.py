"""``Host`` pinned by a setting, with requests as a browser or a probe writes them."""

from __future__ import annotations

import asyncio

import orjson
import pytest
from yarl import URL

from tests.conftest import ServiceFactory
from tests.support.scrape import scrape
from tests.support.service import Service

PATHS = [
    "/v1/realtime/client_secrets",
    "/v1/realtime/calls",
    "/admin/v1/handles",
    "/metrics",
    "/docs",
    "/demo",
]


async def ask(service: Service, head: str) -> tuple[int, dict[str, object]]:
    """Send these lines as they are; the status and the JSON of the answer, if it is some."""
    url = URL(service.base)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(head.replace("\n", "\r\n").encode() + b"\r\n\r\n")
    answer = await reader.read()
    writer.close()
    status, _, body = answer.partition(b"\r\n\r\n")
    found = orjson.loads(body) if body.startswith(b"{") else {}
    return int(status.split(b" ")[1]), found


@pytest.fixture
async def pinned(service_factory: ServiceFactory) -> Service:
    return await service_factory(
        CLOAKROOM_ALLOWED_HOSTS="localhost,*.internal.example",
        CLOAKROOM_PUBLIC_URL="https://voice.example.com",
    )


@pytest.mark.parametrize("path", PATHS)
async def test_a_page_under_another_name_gets_nothing(pinned: Service, path: str) -> None:
    """DNS rebinding: for the browser the page is of the same origin, so it sends no Origin with a GET."""
    port = URL(pinned.base).port
    for method in ("GET", "POST", "OPTIONS", "DELETE"):
        head = f"{method} {path} HTTP/1.1\nHost: evil.example:{port}\nConnection: close\nContent-Length: 0"
        status, body = await ask(pinned, head)
        assert (status, body["error"]["code"]) == (421, "host_not_allowed"), (method, path)  # type: ignore[index]
        assert "CLOAKROOM_ALLOWED_HOSTS" in str(body)
        assert "evil" not in str(body)
    assert pinned.asked() == 0


@pytest.mark.parametrize(
    "name",
    ["localhost", "LOCALHOST:8080", "a.internal.example", "voice.example.com", "127.0.0.1", "[::1]:80"],
)
async def test_its_own_names_and_addresses_are_served(pinned: Service, name: str) -> None:
    assert (await ask(pinned, f"GET /docs HTTP/1.1\nHost: {name}\nConnection: close"))[0] == 200


async def test_a_whole_url_in_the_request_line_counts_and_not_the_header(pinned: Service) -> None:
    lying = "GET http://evil.example/docs HTTP/1.1\nHost: localhost\nConnection: close"
    assert (await ask(pinned, lying))[0] == 421
    honest = "GET http://localhost/docs HTTP/1.1\nHost: localhost\nConnection: close"
    assert (await ask(pinned, honest))[0] == 200


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_probes_work_by_any_name_and_without_one(pinned: Service, path: str) -> None:
    assert (await ask(pinned, f"GET {path} HTTP/1.1\nHost: pod-7\nConnection: close"))[0] == 200
    assert (await ask(pinned, f"GET {path} HTTP/1.0"))[0] == 200


async def test_metrics_are_scraped_by_the_pod_s_address_and_count_the_refusals(pinned: Service) -> None:
    await ask(pinned, "GET /docs HTTP/1.1\nHost: evil.example\nConnection: close")
    found = await scrape(pinned.http, pinned.base)
    assert found.value("cloakroom_http_refusals_total", code="host_not_allowed") == 1


async def test_without_the_setting_any_name_is_served(service: Service) -> None:
    assert (await ask(service, "GET /docs HTTP/1.1\nHost: anything.example\nConnection: close"))[0] == 200
