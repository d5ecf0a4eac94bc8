"""Metering through the whole service: what is counted, how a call's end is told, and what is not known."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any, Final

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from app.sandbox import SandboxConfig
from app.store import keys
from app.telemetry.otel import OtelTracing
from app.web.appkeys import METER
from tests.conftest import ServiceFactory
from tests.support.clocks import eventually
from tests.support.metering import Record, done, records
from tests.support.planted import Planted
from tests.support.scrape import scrape
from tests.support.service import Service, start_sandbox, start_service
from tests.web.test_azure import PREVIEW
from tests.web.test_call_key import arrived
from tests.web.test_hangup import other_replica

ON: Final = {"CLOAKROOM_METERING": "on"}
LONG_AGO: Final = 1

Fields = dict[str, Any]


async def watched(service: Service, call_id: str) -> None:
    """Returns once the call has a sideband."""
    await eventually(lambda: service.call(call_id)["sidebands"] == 1)


def tell(service: Service, call_id: str, *events: dict[str, Any]) -> None:
    for event in events:
        assert service.provider.calls.tell(json.dumps(event), {call_id}) == 1


async def one_record(service: Service, call_id: str) -> Record:
    """The call's one usage record, once it is there."""
    await eventually(lambda: records(service.store_client, call_id))
    (found,) = await records(service.store_client, call_id)
    return found


async def noted(service: Service, call_id: str) -> dict[str, str]:
    found: dict[str, str] = await service.store_client.hgetall(keys.call(call_id))
    return found


@pytest.fixture
async def service(service_factory: ServiceFactory) -> Service:
    return await service_factory(**ON)


async def test_a_call_that_is_hung_up_has_one_record_with_what_it_used(service: Service) -> None:
    handle = await service.minted()
    call_id = await service.called(handle)
    await watched(service, call_id)
    tell(service, call_id, done("resp_1"), done("resp_1"), {"type": "response.created"}, done("resp_2"))
    assert (await service.hang_up(handle, call_id)).status == 200
    record = await one_record(service, call_id)
    told = await noted(service, call_id)
    seconds = float(record["seconds"])
    assert 0 < seconds < float(told["ended_at"]) + 2 - float(told["relayed_at"])
    assert record | {"seconds": "", "ended_at": ""} == {
        "v": "1",
        "call": call_id,
        "handle": told["handle"],
        "client": "shop",
        "model": "gpt-realtime-2.1",
        "provider_model": "gpt-realtime-2.1",
        "deployment": "openai",
        "relayed_at": told["relayed_at"],
        "ended_at": "",
        "seconds": "",
        "ended_because": "hangup",
        "metered": "complete",
        "gaps": "0",
        "responses": "2",
        "input_tokens": "80",
        "input_audio_tokens": "80",
        "output_tokens": "120",
        "output_audio_tokens": "120",
        "answer_seconds": "6",
    }
    assert (told["metered"], told["output_tokens"], told["seconds"]) == ("complete", "120", record["seconds"])
    found = await scrape(service.http, service.base)
    model = {"model": "gpt-realtime-2.1"}
    assert found.value("cloakroom_usage_tokens_total", **model, kind="output_audio") == 120
    assert found.value("cloakroom_usage_records_total", **model, metered="complete") == 1
    assert found.value("cloakroom_usage_call_seconds_total", **model) == pytest.approx(seconds)
    assert found.value("cloakroom_metering_watched_calls") == 0


async def test_a_browser_that_left_is_noticed_and_the_call_lasted_until_then(service: Service) -> None:
    call_id = await service.called(await service.minted())
    await watched(service, call_id)
    await service.provider.calls.hang_up(call_id)
    record = await one_record(service, call_id)
    assert (record["ended_because"], record["metered"]) == ("remote", "complete")
    told = await noted(service, call_id)
    assert (told["ended_because"], told["metered"]) == ("remote", "complete")
    at_provider = service.call(call_id)
    lasted = at_provider["ended_at"] - at_provider["created_at"]
    # The note waits for a hang-up's; the time is that of the end.
    assert float(told["ended_at"]) <= at_provider["ended_at"] + 1
    # ``relayed_at`` is a whole second.
    assert lasted - 1 <= float(record["seconds"]) <= lasted + 2


async def plant(service: Service, call_id: str, *, ago: float = 0, **fields: str | int) -> None:
    """Have a call metered that no one has watched for ``ago`` seconds; ``fields`` are of its record."""
    if fields:
        await service.store_client.hset(keys.call(call_id), mapping=fields)
    await service.store_client.zadd(keys.watches(), {call_id: (time.time() - ago) * 1000})


async def test_a_call_that_no_one_watched_from_its_beginning_is_incomplete(
    service_factory: ServiceFactory,
) -> None:
    unmetered = await service_factory()
    call_id = await unmetered.called(await unmetered.minted())
    other = await other_replica(unmetered, service_factory, **ON)
    await plant(other, call_id, ago=60)
    await watched(unmetered, call_id)
    await unmetered.provider.calls.hang_up(call_id)
    record = await one_record(other, call_id)
    assert (record["metered"], record["gaps"]) == ("incomplete", "1")
    assert float(record["gap_seconds"]) >= 60


async def test_a_record_that_a_watcher_noted_and_did_not_write_is_written_as_it_was_noted(
    service: Service,
) -> None:
    now, call_id = int(time.time()), "rtc_metered_noted"
    call: Fields = {"v": 1, "handle": "h", "deployment": "openai", "client": "shop", "relayed_at": now - 90}
    ended: Fields = {"ended_at": now - 60, "ended_by": "replica-b", "ended_because": "remote"}
    used: Fields = {"metered": "complete", "seconds": "29.5", "responses": 3, "output_tokens": 77}
    await plant(service, call_id, ago=60, **call, **ended, **used)
    record = await one_record(service, call_id)
    assert {name: record[name] for name in used} == {name: str(value) for name, value in used.items()}
    assert record["ended_because"] == "remote"
    await service.store_client.delete(keys.call(call_id))


async def test_a_session_whose_time_was_over_says_so(service: Service) -> None:
    call_id = await service.called(await service.minted())
    await watched(service, call_id)
    tell(service, call_id, {"type": "error", "error": {"code": "session_expired"}})
    await service.provider.calls.hang_up(call_id)
    assert (await one_record(service, call_id))["ended_because"] == "session_expired"


async def test_a_broken_sideband_is_opened_again_and_the_gap_is_marked(service: Service) -> None:
    call_id = await service.called(await service.minted())
    await watched(service, call_id)
    tell(service, call_id, done("resp_1"))
    service.provider.calls.leave_sidebands()
    await eventually(lambda: service.call(call_id)["sidebands"] == 0)
    await watched(service, call_id)
    tell(service, call_id, done("resp_2"))
    await service.provider.calls.hang_up(call_id)
    record = await one_record(service, call_id)
    assert (record["metered"], record["gaps"], record["responses"]) == ("incomplete", "1", "2")
    assert float(record["gap_seconds"]) > 0


async def test_a_call_of_an_ephemeral_key_that_cannot_be_attached_to_says_so(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    config = SandboxConfig(openai_keys=(planted.openai_key,), peer="static", ephemeral_sidebands=False)
    service = await service_factory(config, **ON)
    call_id = await service.called(await service.minted())
    record = await one_record(service, call_id)
    assert (record["metered"], record["ended_because"]) == ("not_attachable", "unknown")
    assert not record.keys() & {"seconds", "ended_at", "responses"}
    assert (await noted(service, call_id))["metered"] == "not_attachable"
    # Once more, since a new call may not be known everywhere at the provider.
    assert len(arrived(service, "sideband")) == 2


async def test_a_call_on_azures_preview_has_a_record_without_usage(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    config = SandboxConfig(azure_keys=(planted.azure_key,), peer="static", azure_preview=True)
    deployment = PREVIEW | {"api_key": planted.azure_key}
    service = await service_factory(
        config,
        CLOAKROOM_DEPLOYMENTS=json.dumps({"voice": deployment}),
        CLOAKROOM_MODELS='{"gpt-realtime-2.1": "voice"}',
        **ON,
    )
    # The preview in a box names no call, so this is the record of one.
    fields = {"v": 1, "handle": "h", "deployment": "voice", "relayed_at": int(time.time()), "client": "shop"}
    call_id, client = "rtc_metered_preview", service.store_client
    await client.hset(keys.call(call_id), mapping=fields)
    await client.zadd(keys.watches(), {call_id: LONG_AGO})
    record = await one_record(service, call_id)
    assert (record["metered"], record["ended_because"]) == ("no_sideband", "unknown")
    await client.delete(keys.call(call_id))


async def test_nothing_is_metered_by_default_and_a_model_decides_for_itself(
    service_factory: ServiceFactory,
) -> None:
    models = (
        '{"gpt-realtime-2.1": {"deployments": "openai", "metering": true}, "gpt-realtime-mini": "openai"}'
    )
    service = await service_factory(CLOAKROOM_MODELS=models)
    quiet = await service.called(await service.minted({"model": "gpt-realtime-mini"}))
    loud = await service.called(await service.minted({"model": "gpt-realtime-2.1"}))
    await watched(service, loud)
    assert service.call(quiet)["sidebands"] == 0
    assert await service.store_client.zscore(keys.watches(), quiet) is None


async def test_without_metering_nothing_is_asked_of_the_store(service_factory: ServiceFactory) -> None:
    service = await service_factory()
    await service.called(await service.minted())
    await service.store_client.zadd(keys.watches(), {"rtc_x": LONG_AGO})
    await asyncio.sleep(1)
    assert await service.store_client.zscore(keys.watches(), "rtc_x") == LONG_AGO
    assert service.server.app[METER].watched == 0


async def test_a_replica_watches_no_more_than_it_may_and_another_one_takes_the_rest(
    service_factory: ServiceFactory,
) -> None:
    service = await service_factory(CLOAKROOM_METERING_MAX="1", **ON)
    calls = [await service.called(await service.minted()) for _ in range(2)]
    await eventually(lambda: sum(service.call(call_id)["sidebands"] for call_id in calls) == 1)
    first = next(call_id for call_id in calls if service.call(call_id)["sidebands"])
    await asyncio.sleep(1)
    (left,) = set(calls) - {first}
    assert service.call(left)["sidebands"] == 0
    await service.provider.calls.hang_up(first)
    await watched(service, left)


async def test_a_process_that_ends_hands_its_calls_over_with_what_they_used(
    service: Service, service_factory: ServiceFactory
) -> None:
    call_id = await service.called(await service.minted())
    await watched(service, call_id)
    tell(service, call_id, done("resp_1"))
    meter = service.server.app[METER]
    await eventually(lambda: meter.watched == 1)
    other = await other_replica(service, service_factory, **ON)
    # The event is read before the sums are handed over.
    await asyncio.sleep(0.2)
    await meter.hand_over()
    await eventually(lambda: other.server.app[METER].watched == 1)
    await watched(service, call_id)
    tell(service, call_id, done("resp_2"))
    await service.provider.calls.hang_up(call_id)
    record = await one_record(service, call_id)
    assert (record["responses"], record["gaps"], record["metered"]) == ("2", "1", "incomplete")
    # It did not wait for a hold to run out.
    assert float(record["gap_seconds"]) < 60


async def test_a_metered_call_is_a_span_with_the_names_of_the_conventions(
    service: Service, planted: Planted, engine: Any
) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    sandbox = await start_sandbox(SandboxConfig(openai_keys=(planted.openai_key,), peer="static"))
    await service.server.app[METER].hand_over()
    traced = await start_service(service.http, sandbox, engine.url, planted, OtelTracing(provider), **ON)
    traced.onlooker = service.store_client
    try:
        call_id = await traced.called(await traced.minted())
        await watched(traced, call_id)
        tell(traced, call_id, done("resp_1"))
        await traced.provider.calls.hang_up(call_id)
        record = await one_record(traced, call_id)
        (span,) = [one for one in exporter.get_finished_spans() if one.name.startswith("realtime")]
    finally:
        await traced.server.close()
        await sandbox.close()
    assert span.name == "realtime gpt-realtime-2.1"
    assert span.parent is None
    found = dict(span.attributes or {})
    assert found["gen_ai.operation.name"] == "realtime"
    assert found["gen_ai.provider.name"] == "openai"
    assert found["gen_ai.conversation.id"] == call_id
    assert (found["gen_ai.usage.input_tokens"], found["gen_ai.usage.output_tokens"]) == (40, 60)
    assert found["cloakroom.usage.ended_because"] == "remote"
    assert span.end_time is not None
    assert span.start_time is not None
    lasted = (span.end_time - span.start_time) / 1e9
    assert lasted == pytest.approx(float(record["seconds"]), abs=0.01)
