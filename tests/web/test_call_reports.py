"""What a page reports of its call: by whom, how often, in what form, and who sees it."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

import pytest

from app.handles.tokens import AFTERLIFE_SECONDS
from app.store.embedded.engine import LocalEngine
from app.store.records.calls import MAX_REPORTS
from app.web.calls.reports import MAX_REPORT_BYTES
from app.web.routes import ALIASES
from tests.conftest import ServiceFactory
from tests.support.api import Reply, post
from tests.support.handles import aged, bad_handles
from tests.support.scrape import scrape
from tests.support.service import Service
from tests.web.operators import ask, get
from tests.web.test_hangup import other_replica

PAGE: Final = "https://app.example.com"
GOOD: Final = {"outcome": "connected", "after_ms": 812}
FULL: Final = {
    "outcome": "dtls_timeout",
    "after_ms": 20_000,
    "ice_state": "connected",
    "dtls_state": "failed",
    "protocol": "udp",
    "candidate_type": "srflx",
    "microphone": "live",
    "candidates": {"local": {"host": 2, "srflx": 1}, "remote": {"host": 1, "relay": 0}},
}


async def send(
    service: Service,
    credential: str,
    call_id: str,
    body: Any = GOOD,
    content_type: str = "application/json",
    **headers: str,
) -> Reply:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await post(
        service.http,
        f"{service.base}/v1/realtime/calls/{call_id}/report",
        data=data,
        headers={"Authorization": f"Bearer {credential}", "Content-Type": content_type, **headers},
    )


async def shown(service: Service, call_id: str) -> Any:
    """The report as operators see it."""
    return (await get(service, f"/calls/{call_id}"))["report"]


# --- what is taken ---------------------------------------------------------------------------------


@pytest.mark.parametrize("base", ALIASES)
async def test_a_report_is_taken_under_every_alias_and_operators_see_it(service: Service, base: str) -> None:
    handle = await service.minted()
    call_id = await service.called(handle)
    assert await shown(service, call_id) is None
    path = f"{base}/realtime/calls/{call_id}/report"
    reply = await service.post(path, json=FULL, headers={"Authorization": f"Bearer {handle}"})
    assert (reply.status, reply.text) == (204, "")
    seen = await shown(service, call_id)
    assert seen.pop("at") > 0
    candidates = {
        "local": {"host": 2, "srflx": 1, "prflx": 0, "relay": 0},
        "remote": {"host": 1, "srflx": 0, "prflx": 0, "relay": 0},
    }
    assert seen == {**FULL, "candidates": candidates}


async def test_what_a_browser_does_not_know_is_left_out_and_shown_as_null(service: Service) -> None:
    handle = await service.minted()
    call_id = await service.called(handle)
    # JSON has one kind of number.
    assert (await send(service, handle, call_id, {**GOOD, "after_ms": 812.0})).status == 204
    seen = await shown(service, call_id)
    assert seen["after_ms"] == 812
    assert {name for name, value in seen.items() if value is not None} == {"at", "outcome", "after_ms"}


async def test_the_first_failure_stays_and_the_fifth_report_is_refused_at_any_replica(
    service_factory: ServiceFactory,
) -> None:
    service = await service_factory()
    elsewhere = await other_replica(service, service_factory)
    handle = await service.minted()
    call_id = await service.called(handle)
    for number in range(MAX_REPORTS):
        replica = (service, elsewhere)[number % 2]
        report = {
            "outcome": ("connected", "no_audio", "ice_timeout", "connected")[number],
            "after_ms": number,
        }
        assert (await send(replica, handle, call_id, report)).status == 204
    for replica in (service, elsewhere):
        reply = await send(replica, handle, call_id)
        assert (reply.status, reply.code) == (429, "rate_limited")
        # Waiting does not help, so none is asked for.
        assert "retry-after" not in reply.headers
    assert ((seen := await shown(service, call_id))["outcome"], seen["after_ms"]) == ("no_audio", 1)


async def test_twenty_reports_at_once_at_two_replicas_are_counted_exactly(
    service_factory: ServiceFactory,
) -> None:
    service = await service_factory()
    elsewhere = await other_replica(service, service_factory)
    handle = await service.minted()
    call_id = await service.called(handle)
    replies = await asyncio.gather(
        *(send((service, elsewhere)[number % 2], handle, call_id, FULL) for number in range(20))
    )
    assert sorted(reply.status for reply in replies) == [204] * MAX_REPORTS + [429] * (20 - MAX_REPORTS)
    # Both replicas together have counted the call once.
    counted = [
        (await scrape(one.http, one.base)).value("cloakroom_call_reports_total", outcome="dtls_timeout") or 0
        for one in (service, elsewhere)
    ]
    assert sum(counted) == 1


async def test_the_metric_counts_calls_and_not_reports(service: Service) -> None:
    for outcomes in (["connected"], ["connected", "connected"], ["ice_timeout", "connected"]):
        handle = await service.minted()
        call_id = await service.called(handle)
        for outcome in outcomes:
            await send(service, handle, call_id, {"outcome": outcome, "after_ms": 1})
    seen = await scrape(service.http, service.base)
    where = {"model": "gpt-realtime-2.1", "deployment": "openai"}
    assert seen.value("cloakroom_call_reports_total", outcome="connected", **where) == 2
    assert seen.value("cloakroom_call_reports_total", outcome="ice_timeout", **where) == 1
    assert seen.value("cloakroom_http_responses_total", handler="report", status="2xx") == 5


async def test_calls_are_listed_by_their_report(service: Service) -> None:
    ids = {}
    for outcome in ("connected", "ice_timeout", "no_audio", None):
        handle = await service.minted({"model": "gpt-realtime-2.1"})
        ids[outcome] = await service.called(handle)
        if outcome is not None:
            await send(service, handle, ids[outcome], {"outcome": outcome, "after_ms": 1})

    async def listed(choice: str) -> set[str]:
        page = await get(service, f"/calls?report={choice}&limit=1000")
        return {call["id"] for call in page["data"]} & set(ids.values())

    assert await listed("connected") == {ids["connected"]}
    assert await listed("ice_timeout") == {ids["ice_timeout"]}
    assert await listed("failed") == {ids["ice_timeout"], ids["no_audio"]}
    refused = await ask(service, "GET", "/calls?report=lost")
    assert (refused.status, refused.json["error"]["param"]) == (400, "report")
    assert (await ask(service, "GET", "/handles?report=failed")).status == 400


# --- by whom ---------------------------------------------------------------------------------------


async def test_a_foreign_call_an_unknown_one_and_no_call_id_at_all_cannot_be_told_apart(
    service: Service,
) -> None:
    call_id = await service.called(await service.minted())
    stranger = await service.minted()
    replies = [await send(service, stranger, one) for one in (call_id, "rtc_nobody", "rtc_1.2")]
    assert {(reply.status, reply.code) for reply in replies} == {(404, "call_id_not_found")}
    assert len({reply.text for reply in replies}) == 1
    assert await shown(service, call_id) is None


async def test_the_handle_may_have_expired_for_an_hour(service: Service) -> None:
    handle, ring = await service.minted(), service.planted.signing
    call_id = await service.called(handle)
    assert (await send(service, aged(handle, ring, seconds=60), call_id)).status == 204
    reply = await send(service, aged(handle, ring, seconds=AFTERLIFE_SECONDS), call_id)
    assert (reply.status, reply.code) == (401, "handle_expired")


async def test_without_the_handle_nothing_is_told_of_any_call(service: Service) -> None:
    handle = await service.minted()
    call_id = await service.called(handle)
    bad = {what: text for what, (text, _) in bad_handles(handle, service.planted.signing).items()}
    for ours in ("expired", "never stored"):
        bad.pop(ours)
    bad |= {"a client key": service.planted.client_key, "an operator's": service.planted.admin_key}
    for what, text in bad.items():
        answers = {(await send(service, text, one)).text for one in (call_id, "rtc_nobody", "no.id")}
        assert len(answers) == 1, what
        assert "invalid_handle" in answers.pop(), what
    assert await shown(service, call_id) is None


async def test_pages_of_allowed_origins_may_report_and_no_others(service_factory: ServiceFactory) -> None:
    service = await service_factory(CLOAKROOM_CORS_ORIGINS=PAGE)
    handle = await service.minted()
    call_id = await service.called(handle)
    reply = await send(service, handle, call_id, Origin=PAGE)
    assert (reply.status, reply.headers["access-control-allow-origin"]) == (204, PAGE)
    refused = await send(service, handle, call_id, Origin="https://elsewhere.example")
    assert (refused.status, refused.code) == (403, "origin_not_allowed")
    url = f"{service.base}/v1/realtime/calls/{call_id}/report"
    asked = {
        "Origin": PAGE,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    async with service.http.options(url, headers=asked) as preflight:
        assert preflight.status == 204
        assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
        assert preflight.headers["Access-Control-Allow-Headers"] == "authorization, content-type"


# --- in what form ----------------------------------------------------------------------------------

BAD: Final[dict[str, tuple[Any, str | None]]] = {
    "no outcome": ({"after_ms": 1}, "outcome"),
    "no time": ({"outcome": "connected"}, "after_ms"),
    "an unknown outcome": ({**GOOD, "outcome": "fine"}, "outcome"),
    "an outcome that is a list": ({**GOOD, "outcome": ["connected"]}, "outcome"),
    "an outcome of another case": ({**GOOD, "outcome": "Connected"}, "outcome"),
    "a time before the answer": ({**GOOD, "after_ms": -1}, "after_ms"),
    "a time too long": ({**GOOD, "after_ms": 600_001}, "after_ms"),
    "half a millisecond": ({**GOOD, "after_ms": 0.5}, "after_ms"),
    "true for a time": ({**GOOD, "after_ms": True}, "after_ms"),
    "a time as text": ({**GOOD, "after_ms": "812"}, "after_ms"),
    "a state of the other machine": ({**GOOD, "dtls_state": "checking"}, "dtls_state"),
    "null": ({**GOOD, "ice_state": None}, "ice_state"),
    "another protocol": ({**GOOD, "protocol": "quic"}, "protocol"),
    "free text": ({**GOOD, "microphone": "mine"}, "microphone"),
    "an address": ({**GOOD, "candidate_type": "192.0.2.1"}, "candidate_type"),
    "a field of the page's own": ({**GOOD, "user_agent": "x"}, "user_agent"),
    "candidates as a list": ({**GOOD, "candidates": []}, "candidates"),
    "one side": ({**GOOD, "candidates": {"local": {}}}, "candidates.remote"),
    "a third side": ({**GOOD, "candidates": {"local": {}, "remote": {}, "x": {}}}, "candidates.x"),
    "a type that ICE has not": (
        {**GOOD, "candidates": {"local": {"ip": 1}, "remote": {}}},
        "candidates.local.ip",
    ),
    "a hundred candidates": (
        {**GOOD, "candidates": {"local": {}, "remote": {"host": 100}}},
        "candidates.remote.host",
    ),
    "a list": ([GOOD], None),
    "no JSON": (b"{broken", None),
    "nothing": (b"", None),
}


@pytest.mark.parametrize("what", BAD)
async def test_a_bad_report_is_a_400_that_names_its_field(service: Service, what: str) -> None:
    body, param = BAD[what]
    handle = await service.minted()
    call_id = await service.called(handle)
    reply = await send(service, handle, call_id, body)
    assert (reply.status, reply.code) == (400, "invalid_request")
    assert reply.json["error"]["param"] == param
    assert await shown(service, call_id) is None


async def test_a_large_report_and_one_of_another_type_are_refused(service: Service) -> None:
    handle = await service.minted()
    call_id = await service.called(handle)
    padded = json.dumps(GOOD).encode()
    padded += b" " * (MAX_REPORT_BYTES - len(padded))
    assert (await send(service, handle, call_id, padded)).status == 204
    large = await send(service, handle, call_id, padded + b" ")
    assert (large.status, large.code) == (413, "request_too_large")
    other = await send(service, handle, call_id, content_type="text/plain")
    assert (other.status, other.code) == (415, "unsupported_media_type")


async def test_the_store_is_not_asked_about_what_is_no_report(service_factory: ServiceFactory) -> None:
    with LocalEngine() as own:
        service = await service_factory(store_url=own.url)
        handle = await service.minted()
        call_id = await service.called(handle)
        own.stop()
        assert (await send(service, handle, call_id, {**GOOD, "after_ms": -1})).code == "invalid_request"
        assert (await send(service, handle, "rtc_1.2")).code == "call_id_not_found"
        reply = await send(service, handle, call_id)
        assert (reply.status, reply.code) == (503, "store_unavailable")


async def test_another_method_is_a_405(service: Service) -> None:
    handle = await service.minted()
    call_id = await service.called(handle)
    url = f"{service.base}/v1/realtime/calls/{call_id}/report"
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        async with service.http.request(method, url, headers={"Authorization": f"Bearer {handle}"}) as reply:
            assert (reply.status, reply.headers["Allow"]) == (405, "POST")
