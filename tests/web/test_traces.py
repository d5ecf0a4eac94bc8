"""A trace: passed on to the provider, joined where spans are kept, found again in log and metrics."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from app.sandbox import SandboxConfig
from app.store.embedded.engine import LocalEngine
from app.telemetry.otel import OtelTracing
from tests.support.offers import fresh_offer
from tests.support.planted import Planted
from tests.support.scrape import OPEN_METRICS, scrape
from tests.support.service import Service, start_sandbox, start_service

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
INCOMING = {"traceparent": TRACEPARENT, "tracestate": "rojo=00f067aa0ba902b7"}


def sent_on(service: Service) -> list[dict[str, str]]:
    """The trace headers of every request that the provider got."""
    names = ("traceparent", "tracestate")
    return [
        {name.lower(): value for name, value in entry.headers if name.lower() in names}
        for entry in service.provider.journal._ring
    ]


def lines(output: str) -> Iterator[dict[str, Any]]:
    for line in output.splitlines():
        if line.startswith('{"event":'):
            yield json.loads(line)


async def everything(service: Service, **headers: str) -> str:
    """A mint, a relay, its replay and a hang-up; returns the handle."""
    minted = await service.mint(None, **headers)
    handle, offer = str(minted.json["value"]), fresh_offer()
    call_id = (await service.relay(handle, offer, **headers)).headers["location"].rpartition("/")[2]
    assert (await service.relay(handle, offer, **headers)).status == 201
    assert (await service.hang_up(service.planted.client_key, call_id, **headers)).status == 200
    return handle


async def test_without_opentelemetry_a_trace_is_passed_on_unchanged_and_named_in_the_log(
    service: Service, capfd: pytest.CaptureFixture[str]
) -> None:
    await everything(service, **INCOMING)
    assert sent_on(service) == [INCOMING] * 3
    assert [line["trace_id"] for line in lines(capfd.readouterr().out)] == [TRACE] * 4


@pytest.mark.parametrize(
    "headers",
    [{}, {"traceparent": "00-nonsense"}, {"traceparent": TRACEPARENT.upper()}, {"tracestate": "a=1"}],
)
async def test_what_is_no_trace_is_neither_passed_on_nor_logged(
    service: Service, headers: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    await everything(service, **headers)
    assert sent_on(service) == [{}] * 3
    assert [line for line in lines(capfd.readouterr().out) if "trace_id" in line] == []


@dataclass(frozen=True)
class Traced:
    """A service whose spans are kept here."""

    service: Service
    spans: InMemorySpanExporter

    def of(self, trace_id: str) -> list[ReadableSpan]:
        return [span for span in self.spans.get_finished_spans() if trace_of(span) == trace_id]


def trace_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.trace_id:032x}"


def id_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.span_id:016x}"


def parent_of(span: ReadableSpan) -> str | None:
    return f"{span.parent.span_id:016x}" if span.parent is not None else None


@contextlib.asynccontextmanager
async def tracing_service(
    http: aiohttp.ClientSession, engine: LocalEngine, planted: Planted, provider: TracerProvider
) -> AsyncIterator[Service]:
    sandbox = await start_sandbox(SandboxConfig(openai_keys=(planted.openai_key,), peer="static"))
    try:
        service = await start_service(http, sandbox, engine.url, planted, OtelTracing(provider))
        try:
            yield service
        finally:
            await service.server.close()
    finally:
        await sandbox.close()
    service.conformance.raise_breaches()


@pytest.fixture
async def traced(http: aiohttp.ClientSession, engine: LocalEngine, planted: Planted) -> AsyncIterator[Traced]:
    spans, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    async with tracing_service(http, engine, planted, provider) as service:
        yield Traced(service, spans)


async def test_each_operation_has_a_span_with_its_steps_below(traced: Traced) -> None:
    await everything(traced.service)
    found = traced.spans.get_finished_spans()
    servers = [span for span in found if span.parent is None]
    steps = {
        id_of(server): sorted(span.name for span in found if parent_of(span) == id_of(server))
        for server in servers
    }
    assert [(server.name, steps[id_of(server)]) for server in servers] == [
        ("mint", ["provider", "save"]),
        ("relay", ["claim", "provider", "settle"]),
        ("relay", ["claim"]),
        ("hangup", ["find", "note", "provider"]),
    ]
    assert len({trace_of(server) for server in servers}) == 4


async def test_a_trace_that_came_in_is_joined_and_the_provider_joins_ours(traced: Traced) -> None:
    await everything(traced.service, **INCOMING)
    spans = traced.of(TRACE)
    assert len(spans) == len(traced.spans.get_finished_spans()) == 13
    servers = [span for span in spans if span.name in ("mint", "relay", "hangup")]
    assert {parent_of(span) for span in servers} == {PARENT}
    asked = [f"00-{TRACE}-{id_of(span)}-01" for span in spans if span.name == "provider"]
    assert sent_on(traced.service) == [
        {"traceparent": parent, "tracestate": INCOMING["tracestate"]} for parent in asked
    ]


async def test_steps_lie_inside_their_request(traced: Traced) -> None:
    await everything(traced.service)
    found = traced.spans.get_finished_spans()
    servers = {id_of(span): span for span in found if span.parent is None}
    for span in found:
        if span.parent is not None:
            server = servers[str(parent_of(span))]
            times = [server.start_time, span.start_time, span.end_time, server.end_time]
            assert times == sorted(times, key=lambda time: time or 0)


async def test_a_retry_is_a_span_of_its_own_and_says_why(traced: Traced) -> None:
    traced.service.fault("status", "client_secrets", status=503, times=1)
    assert (await traced.service.mint()).status == 200
    tries = [span for span in traced.spans.get_finished_spans() if span.name == "provider"]
    assert [(span.attributes or {}).get("error.type") for span in tries] == ["503", None]
    assert [span.status.is_ok for span in tries] == [False, True]


async def test_a_failed_relay_says_whose_it_was(traced: Traced) -> None:
    handle = await traced.service.minted()
    traced.service.fault("drop_after", "calls", times=1)
    assert (await traced.service.relay(handle)).code == "outcome_unknown"
    (relay,) = [span for span in traced.spans.get_finished_spans() if span.name == "relay"]
    assert dict(relay.attributes or {}) | {"cloakroom.handle.id": "..."} == {
        "http.request.method": "POST",
        "http.route": "/v1/realtime/calls",
        "http.response.status_code": 502,
        "error.type": "outcome_unknown",
        "cloakroom.model": "gpt-realtime-2.1",
        "cloakroom.deployment": "openai",
        "cloakroom.handle.id": "...",
    }
    assert not relay.status.is_ok


async def test_nothing_that_a_caller_wrote_stands_in_a_span(traced: Traced) -> None:
    handle = await everything(traced.service)
    state = f"v={handle.replace('.', '/')[:200]}"
    await everything(traced.service, traceparent=TRACEPARENT, tracestate=state)
    for body in ({"model": "sk-a-key-in-the-wrong-place"}, {"model": "gpt-realtime-2.1", "x": "noise"}):
        await traced.service.mint(body, Authorization="Bearer sk-not-a-client", **INCOMING)
        await traced.service.mint(body, Origin="https://noise.example", **INCOMING)
        await traced.service.mint(body, **INCOMING)
    await traced.service.post("/noise/path", headers=INCOMING)
    text = "".join(span.to_json() for span in traced.spans.get_finished_spans())
    hidden = (handle, state, "in-the-wrong-place", "not-a-client", "noise")
    for secret in (*hidden, *traced.service.planted.all_values()):
        assert secret not in text


async def test_what_is_no_operation_has_no_span(traced: Traced) -> None:
    await traced.service.post("/nowhere", headers=INCOMING)
    await traced.service.post("/v1/realtime/calls", headers={**INCOMING, "Origin": "https://x.example"})
    await scrape(traced.service.http, traced.service.base)
    assert traced.spans.get_finished_spans() == ()


async def test_a_sampled_trace_is_an_exemplar(traced: Traced) -> None:
    await traced.service.mint(None, **INCOMING)
    text = (await scrape(traced.service.http, traced.service.base, OPEN_METRICS)).text
    exemplars = [line for line in text.splitlines() if f'# {{trace_id="{TRACE}"}}' in line]
    assert {line.partition("_bucket")[0] for line in exemplars} == {
        "cloakroom_request_duration_seconds",
        "cloakroom_overhead_seconds",
        "cloakroom_provider_duration_seconds",
        "cloakroom_store_duration_seconds",
    }


async def test_what_is_not_sampled_is_passed_on_as_such(
    http: aiohttp.ClientSession, engine: LocalEngine, planted: Planted
) -> None:
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    async with tracing_service(http, engine, planted, provider) as service:
        await service.mint(None, **INCOMING)
        (sent,) = sent_on(service)
        assert sent["traceparent"].startswith(f"00-{TRACE}-")
        assert sent["traceparent"].endswith("-00")
        assert "trace_id" not in (await scrape(service.http, service.base, OPEN_METRICS)).text
