"""Spans of real replicas at a collector: one trace over mint, relay and provider, and no secret in it."""

from __future__ import annotations

import asyncio
import socket

import aiohttp

from tests.support.api import called, hang_up, mint, minted, post, relay
from tests.support.collector import Collector, Received
from tests.support.offers import fresh_offer
from tests.support.planted import Planted
from tests.support.processes import Replica
from tests.support.sinks import assert_nothing_planted_in
from tests.support.stack import Stack

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
INCOMING = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "tracestate": "rojo=00f067aa0ba902b7"}
# A mint and its 2 steps, a relay and its 3, a hang-up and its 3.
ONE_CALL = 3 + 4 + 4


def _named(spans: list[Received], name: str) -> list[Received]:
    return [received for received in spans if received.span.name == name]


async def test_one_trace_leads_through_both_replicas_to_the_provider(http: aiohttp.ClientSession) -> None:
    async with Collector() as collector:
        with Stack(
            peer="static",
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
            OTEL_BSP_SCHEDULE_DELAY="50",
            OTEL_SERVICE_NAME="voice",
        ) as stack:
            key = stack.planted.client_key
            handle = (await mint(http, stack.a.url, key, None, **INCOMING)).json["value"]
            call_id = await called(http, stack.b.url, handle, fresh_offer(), **INCOMING)
            assert (await hang_up(http, stack.b.url, key, call_id, **INCOMING)).status == 200
            spans = await collector.wait_for(ONE_CALL)
            journal = stack.sandbox.control("GET", "requests")["requests"]
            (line,) = stack.b.events("relay")
    assert collector.breaches == []
    assert {received.trace_id for received in spans} == {TRACE}
    assert len(spans) == ONE_CALL
    operations = {
        name: found.resource["service.instance.id"]
        for name in ("mint", "relay", "hangup")
        for found in _named(spans, name)
    }
    assert operations == {"mint": "replica-a", "relay": "replica-b", "hangup": "replica-b"}
    assert {received.resource["service.name"] for received in spans} == {"voice"}
    sent = {dict(entry["headers"])["traceparent"] for entry in journal}
    assert sent == {f"00-{TRACE}-{one.span.span_id.hex()}-01" for one in _named(spans, "provider")}
    assert line["trace_id"] == TRACE
    (found,) = _named(spans, "relay")
    assert found.attributes["cloakroom.call.id"] == line["call_id"] == call_id


async def test_no_secret_reaches_the_collector(http: aiohttp.ClientSession) -> None:
    async with Collector() as collector:
        with Stack(
            peer="static",
            CLOAKROOM_LOG_LEVEL="debug",
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
            OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
        ) as stack:
            handles = await _traffic(stack, http)
            # The collector is in this loop, and both send what they have as they end.
            await asyncio.gather(asyncio.to_thread(stack.a.stop), asyncio.to_thread(stack.b.stop))
            texts = [body.decode("latin-1") for body in collector.bodies]
            assert_nothing_planted_in(stack, "the spans", *texts)
            for text in texts:
                assert not any(handle in text for handle in handles)
    assert collector.breaches == []
    codes = {received.attributes.get("error.type") for received in collector.spans}
    assert {"upstream_error", "outcome_unknown", "invalid_handle", "invalid_api_key", "cut_off"} <= codes


async def _traffic(stack: Stack, http: aiohttp.ClientSession) -> list[str]:
    """Good requests and bad ones, with secrets wherever a caller could put them; returns the handles."""
    handles = []
    for fault in (None, "html", "garble", "drop_after", "bad_json"):
        handle = await minted(http, stack.a.url, stack.planted.client_key)
        handles.append(handle)
        if fault is not None:
            for path in ("client_secrets", "calls"):
                stack.sandbox.control("POST", "faults", {"kind": fault, "path": path, "times": 1})
        await mint(http, stack.a.url, stack.planted.client_key)
        offer = fresh_offer()
        for _ in range(2):
            await relay(http, stack.b.url, handle, offer)
        await relay(http, stack.b.url, f"{handle}x")
    for secret in (*stack.planted.all_values(), *handles):
        loud = {**INCOMING, "tracestate": f"secret={secret[:200].replace('=', '-')}", "x-request-id": secret}
        await mint(http, stack.a.url, secret, **loud)
        await mint(http, stack.a.url, stack.planted.client_key, {"model": secret[:60]}, **loud)
        await post(http, f"{stack.a.url}/v1/{secret}?key={secret}", headers=INCOMING)
    return handles


async def test_a_replica_that_ends_sends_what_it_has_and_one_without_a_collector_serves(
    http: aiohttp.ClientSession,
) -> None:
    async with Collector() as collector:
        with Stack(peer="static", OTEL_EXPORTER_OTLP_ENDPOINT=collector.url) as stack:
            await minted(http, stack.a.url, stack.planted.client_key)
            await asyncio.to_thread(stack.a.stop)
            assert len(_named(collector.spans, "mint")) == 1
            nowhere = stack.replica("replica-c", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
            await minted(http, nowhere.url, stack.planted.client_key)


def test_what_cannot_be_traced_is_said_at_start_and_the_replica_serves() -> None:
    environment = Planted().environment(
        CLOAKROOM_REDIS_URL="memory://",
        OPENAI_API_KEY=Planted().openai_key,
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
        OTEL_EXPORTER_OTLP_PROTOCOL="grpc",
    )
    with Replica("replica-a", environment) as replica:
        (said,) = replica.events("tracing_off")
        assert "OTEL_EXPORTER_OTLP_PROTOCOL" in said["reason"]


async def test_a_collector_that_hangs_does_not_keep_a_replica_from_ending(
    http: aiohttp.ClientSession,
) -> None:
    with socket.socket() as hanging:
        # Connections are made by the kernel, and nobody ever answers.
        hanging.bind(("127.0.0.1", 0))
        hanging.listen()
        with Stack(
            peer="static",
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{hanging.getsockname()[1]}",
            OTEL_EXPORTER_OTLP_TIMEOUT="600",
        ) as stack:
            await minted(http, stack.a.url, stack.planted.client_key)
            await asyncio.to_thread(stack.a.stop)
            # Not killed, as it is after those seconds.
            assert stack.a.wait() == 0
