"""The metrics of a running service: what a scraper reads after which requests."""

from __future__ import annotations

import asyncio
import json
import random
import secrets

import pytest
from yarl import URL

from app.store.embedded.engine import LocalEngine
from tests.conftest import ServiceFactory
from tests.support.clocks import eventually
from tests.support.offers import fresh_offer
from tests.support.scrape import OPEN_METRICS, Scrape, scrape
from tests.support.service import Service

PAGE = "https://app.example"
OPERATIONS = ("mints", "relays", "hangups")


async def test_a_mint_a_relay_and_a_hang_up_are_counted_with_their_times(service: Service) -> None:
    call_id = await service.called(await service.minted())
    assert (await service.hang_up(service.planted.client_key, call_id)).status == 200
    seen = await scrape(service.http, service.base)
    good = {"model": "gpt-realtime-2.1", "deployment": "openai", "outcome": "ok", "code": "none"}
    for operation in OPERATIONS:
        assert seen.value(f"cloakroom_{operation}_total", **good) == 1
        one = operation.removesuffix("s")
        assert seen.value("cloakroom_http_responses_total", handler=one) == 1
        assert seen.value("cloakroom_request_duration_seconds_count", operation=one, outcome="ok") == 1
        assert seen.value("cloakroom_overhead_seconds_count", operation=one) == 1
        assert seen.value("cloakroom_provider_duration_seconds_count", operation=one) == 1
        assert seen.value("cloakroom_provider_tries_total", operation=one, result="ok") == 1
    for step in ("save", "claim", "settle", "find", "note"):
        assert seen.value("cloakroom_store_duration_seconds_count", step=step) == 1


async def test_what_is_asked_now_is_told(service: Service) -> None:
    seen = await scrape(service.http, service.base)
    assert seen.value("cloakroom_store_up") == 1
    assert seen.value("cloakroom_requests_in_flight") == 1
    assert seen.value("cloakroom_requests_in_flight_limit") == 1024
    assert seen.value("cloakroom_draining") == 0
    assert seen.value("cloakroom_settlements_pending") == 0
    assert seen.value("cloakroom_deployment_cooling", deployment="openai") == 0
    assert seen.value("cloakroom_deployment_up") is None
    assert seen.value("cloakroom_build_info") == 1
    assert (seen.value("process_resident_memory_bytes") or 0) > 1_000_000
    assert (seen.value("python_gc_collections_total", generation="0") or 0) > 0


async def _counted(service: Service) -> Scrape:
    """A scrape with the count of what is alive, which the first scrape of a service begins."""

    async def counted() -> Scrape | None:
        seen = await scrape(service.http, service.base)
        return seen if seen.value("cloakroom_handles_alive") is not None else None

    found = await eventually(counted, "nobody counted")
    assert found is not None
    return found


async def test_what_is_alive_is_counted_behind_the_scrape(service_factory: ServiceFactory) -> None:
    with LocalEngine() as own_store:
        service = await service_factory(store_url=own_store.url)
        handles = [await service.minted() for _ in range(3)]
        await service.called(handles[0])
        assert (await scrape(service.http, service.base)).value("cloakroom_handles_alive") is None
        seen = await _counted(service)
        assert seen.value("cloakroom_handles_alive") == 3
        assert seen.value("cloakroom_calls_alive") == 1


async def test_a_deployment_that_fails_is_down_until_it_answers_again(service: Service) -> None:
    service.fault("status", "client_secrets", status=503, times=3)
    assert (await service.mint()).status == 503
    seen = await scrape(service.http, service.base)
    assert seen.value("cloakroom_deployment_up", deployment="openai") == 0
    assert seen.value("cloakroom_provider_tries_total", operation="mint", result="failed") == 3
    assert seen.value("cloakroom_mints_total", deployment="openai", code="upstream_5xx") == 1
    await service.minted()
    seen = await scrape(service.http, service.base)
    assert seen.value("cloakroom_deployment_up", deployment="openai") == 1


async def test_a_refused_claim_is_counted_by_its_reason(service_factory: ServiceFactory) -> None:
    service = await service_factory(CLOAKROOM_HANDLE_MAX_CALLS="1")
    handle, offer = await service.minted(), fresh_offer()
    await service.relay(handle, offer)
    assert (await service.relay(handle)).code == "handle_spent"
    assert (await service.relay(handle, offer)).status == 201
    assert (await service.relay("nonsense")).code == "invalid_handle"
    seen = await scrape(service.http, service.base)
    assert seen.value("cloakroom_claims_refused_total", reason="spent") == 1
    assert seen.value("cloakroom_claims_refused_total", reason="invalid") == 1
    assert seen.value("cloakroom_claims_refused_total", reason="revoked") == 0
    assert seen.value("cloakroom_relays_total", outcome="replayed") == 1
    assert seen.value("cloakroom_relays_total", outcome="refused") == 2


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        (f"{OPEN_METRICS};version=1.0.0,text/plain;q=0.5", f"{OPEN_METRICS}; version=1.0.0; charset=utf-8"),
    ],
)
async def test_the_format_is_the_one_that_the_scraper_asks_for(
    service: Service, accept: str, content_type: str
) -> None:
    await service.minted()
    seen = await scrape(service.http, service.base, accept)
    assert seen.headers["content-type"].startswith(content_type)
    assert seen.value("cloakroom_mints_total", outcome="ok") == 1
    assert seen.text.endswith("# EOF\n") == (OPEN_METRICS in accept)
    assert seen.text.count("# EOF") == int(OPEN_METRICS in accept)


async def test_the_metrics_are_for_no_page(service_factory: ServiceFactory) -> None:
    service = await service_factory(CLOAKROOM_CORS_ORIGINS="*")
    seen = await scrape(service.http, service.base, Origin=PAGE)
    assert seen.status == 403
    assert "cloakroom_" not in seen.text


async def test_two_services_of_one_process_count_for_themselves(service_factory: ServiceFactory) -> None:
    first, second = await service_factory(), await service_factory()
    await first.minted()
    seen = [await scrape(one.http, one.base) for one in (first, second)]
    assert [one.value("cloakroom_mints_total") for one in seen] == [1, None]


async def test_what_the_gate_refuses_is_counted_by_its_code(service: Service) -> None:
    await service.post("/v1/realtime/calls", headers={"Origin": PAGE})
    await service.post("/wp-admin/setup.php")
    await service.post("/livez")
    seen = await scrape(service.http, service.base)
    for code in ("origin_not_allowed", "not_found", "method_not_allowed"):
        assert seen.value("cloakroom_http_refusals_total", code=code) == 1
    assert seen.value("cloakroom_http_responses_total", handler="unmatched", status="4xx") == 2
    assert seen.value("cloakroom_relays_total") is None


def _random_request(key: str) -> bytes:
    """A path, a method, a model, an origin and an id that nobody has seen before."""
    # A letter first: what begins otherwise is refused in another way, now and then.
    noise = "n" + secrets.token_urlsafe(random.randint(3, 30))
    lines = [f"Host: {noise}", f"x-request-id: req-{noise}", f"User-Agent: {noise}"]
    if random.random() < 0.2:
        path, method = "/v1/realtime/client_secrets", "POST"
        lines.append(f"Authorization: Bearer {key}")
    elif random.random() < 0.3:
        path, method = f"/v1/realtime/calls/{noise}/hangup", "POST"
        lines.append(f"Authorization: Bearer {key}")
    else:
        path, method = f"/{noise}/{noise}", random.choice(["GET", "POST", "PUT"])
    if random.random() < 0.1:
        lines.append(f"Origin: https://{noise}.example")
    body = f'{{"model": "{noise}"}}' if method == "POST" else ""
    lines += [f"Content-Length: {len(body)}", "Content-Type: application/json"]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", body]).encode()


async def _random_requests(service: Service, count: int) -> None:
    """So many, one behind the other on one connection: a client library would take half a minute for all."""
    url = URL(service.base)
    assert url.host
    assert url.port
    reader, writer = await asyncio.open_connection(url.host, url.port)
    requests = [_random_request(service.planted.client_key) for _ in range(count)]
    last = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    writer.write(b"".join([*requests, last]))
    answers = await reader.read(-1)
    writer.close()
    await writer.wait_closed()
    assert answers.count(b"HTTP/1.1 ") == count + 1


@pytest.mark.timeout(900)
async def test_ten_thousand_random_paths_and_models_add_no_series(service_factory: ServiceFactory) -> None:
    service = await service_factory()
    await service.called(await service.minted())
    await _random_requests(service, 100)
    before = await _counted(service)
    await asyncio.gather(*(_random_requests(service, 500) for _ in range(20)))
    after = await scrape(service.http, service.base)
    assert after.series() == before.series()
    assert (after.value("cloakroom_http_responses_total") or 0) > 10_000
    assert (after.value("cloakroom_mints_total", model="other") or 0) > 1_000


async def test_a_metric_tells_no_secret_no_id_and_no_origin(service_factory: ServiceFactory) -> None:
    service = await service_factory(CLOAKROOM_CORS_ORIGINS=PAGE)
    handle = await service.minted()
    call_id = await service.called(handle)
    await service.mint(None, Origin=PAGE, **{"x-request-id": "req-that-is-mine"})
    text = (await scrape(service.http, service.base, OPEN_METRICS)).text
    for hidden in (*service.planted.all_values(), handle, call_id, PAGE, "req-that-is-mine"):
        assert hidden not in text


async def test_the_line_of_a_failed_relay_says_where_it_failed_and_the_store_is_not_the_provider(
    service: Service, capfd: pytest.CaptureFixture[str]
) -> None:
    handle = await service.minted()
    service.fault("status", "calls", status=500, times=1)
    assert (await service.relay(handle)).status == 500
    (line,) = [json.loads(line) for line in capfd.readouterr().out.splitlines() if '"relay"' in line]
    assert (line["model"], line["deployment"]) == ("gpt-realtime-2.1", "openai")
    seen = await scrape(service.http, service.base)
    assert seen.value("cloakroom_relays_total", deployment="openai", code="upstream_5xx") == 1
    assert seen.value("cloakroom_store_duration_seconds_count", step="release") == 1
    assert seen.value("cloakroom_store_duration_seconds_count", step="settle") == 0


async def test_the_line_of_a_mint_that_was_tried_again_says_how_often(
    service: Service, capfd: pytest.CaptureFixture[str]
) -> None:
    service.fault("status", "client_secrets", status=503, times=2)
    await service.minted()
    await service.minted()
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines() if '"mint"' in line]
    assert [line.get("tries") for line in lines] == [3, None]
