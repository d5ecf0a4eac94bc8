"""Calls that no browser holds: their answer was not delivered, or came too late. They are hung up."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, MutableMapping
from typing import Any, Final

import aiohttp
import pytest
import structlog.testing

from app.broker import late
from app.broker.deadlines import overdue
from app.sandbox import SandboxConfig
from app.store import keys
from app.store.embedded.engine import LocalEngine
from tests.conftest import ServiceFactory
from tests.support import api
from tests.support.clocks import eventually
from tests.support.handles import claims_of
from tests.support.offers import fresh_offer
from tests.support.planted import Planted
from tests.support.scrape import scrape
from tests.support.service import Service
from tests.web.hangups import hangups, record

# The shortest that there is; then the delivery of an answer that was just fetched is waited for, a second.
SOON: Final = {"CLOAKROOM_UNDELIVERED_GRACE_SECONDS": "1", "CLOAKROOM_REPLAY_WINDOW_SECONDS": "1"}
LOST: Final = {"CLOAKROOM_HANGUP_LOST_CALLS": "true"}
Lines = list[MutableMapping[str, Any]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """The log's lines about the life of calls."""
    with structlog.testing.capture_logs() as captured:
        yield captured


def told(lines: Lines, event: str) -> Lines:
    return [line for line in lines if line["event"] == event]


async def left_midway(service: Service, handle: str, offer: bytes | None = None) -> None:
    """Send an offer, and go while the provider thinks about it; returns when the provider has answered."""
    service.fault("delay", "calls", seconds=0.3)
    asked = service.asked("calls")
    request = asyncio.create_task(_on_own_connection(service, handle, offer or fresh_offer()))
    await eventually(lambda: service.asked("calls") > asked)
    request.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await request


async def _on_own_connection(service: Service, handle: str, offer: bytes) -> None:
    async with aiohttp.ClientSession() as http:
        await api.relay(http, service.base, handle, offer)


async def undelivered(service: Service) -> str:
    """The id of the call, once the service knows that nobody has its answer."""

    def found() -> list[str]:
        return [str(call["call_id"]) for call in service.provider.calls.reports()]

    call_id = (await eventually(found))[-1]
    await eventually(lambda: _orphaned(service, "undelivered"))
    return call_id


async def _orphaned(service: Service, reason: str) -> float | None:
    return (await scrape(service.http, service.base)).value("cloakroom_calls_orphaned_total", reason=reason)


async def _became(service: Service, **labels: str) -> float | None:
    return (await scrape(service.http, service.base)).value("cloakroom_overdue_hangups_total", **labels)


async def ended(service: Service, call_id: str) -> None:
    await eventually(lambda: service.call(call_id)["ended_at"] is not None)
    assert service.call(call_id)["end_reason"] == "hangup"


async def due(service: Service, call_id: str) -> list[str]:
    """The deadlines of this call."""
    found = await service.store_client.zrange(keys.deadlines(call_id), 0, -1)
    return [entry for entry in found if entry.endswith(f":{call_id}")]


# --- undelivered --------------------------------------------------------------------------------


async def test_a_call_whose_browser_left_is_hung_up_after_the_grace_counted_logged_and_on_record(
    service_factory: ServiceFactory, engine: LocalEngine, lines: Lines
) -> None:
    service = await service_factory(**SOON)
    handle = await service.minted()
    await left_midway(service, handle)
    call_id = await undelivered(service)
    await ended(service, call_id)
    await eventually(lambda: told(lines, "call_hung_up"))
    about = {"handle": claims_of(handle)["jti"], "call_id": call_id}
    assert [about.items() <= line.items() for line in told(lines, "answer_undelivered")] == [True]
    (line,) = told(lines, "call_hung_up")
    assert about.items() <= line.items()
    assert (line["reason"], line["outcome"]) == ("undelivered", "ended")

    async def noted() -> bool:
        return "ended_because" in (await record(service, engine, call_id))[0]

    await eventually(noted)
    on_record, _ = await record(service, engine, call_id)
    assert (on_record["ended_because"], on_record["ended_by"]) == ("undelivered", "replica-a")
    assert int(on_record["undelivered_at"]) <= int(on_record["ended_at"])
    assert await _orphaned(service, "undelivered") == 1
    assert await _became(service, reason="undelivered", outcome="ended") == 1
    assert await due(service, call_id) == []
    assert len(hangups(service)) == 1


async def test_a_delivered_call_has_no_deadline_and_is_left_alone(service: Service) -> None:
    call_id = await service.called(await service.minted())
    assert await due(service, call_id) == []
    assert await _orphaned(service, "undelivered") == 0
    assert service.call(call_id)["ended_at"] is None


@pytest.mark.parametrize("where", ["here", "at another replica"])
async def test_a_browser_that_came_back_for_its_answer_keeps_its_call(
    service_factory: ServiceFactory, engine: LocalEngine, where: str
) -> None:
    # The window in which it can come back must not end on a busy machine.
    settings = {"CLOAKROOM_UNDELIVERED_GRACE_SECONDS": "30", "CLOAKROOM_REPLAY_WINDOW_SECONDS": "30"}
    service = await service_factory(**settings)
    other = service
    if where != "here":
        base = str(service.sandbox.make_url("/v1"))
        other = await service_factory(CLOAKROOM_REPLICA="replica-b", OPENAI_BASE_URL=base, **settings)
    handle, offer = await service.minted(), fresh_offer()
    await left_midway(service, handle, offer)
    call_id = await undelivered(service)
    await eventually(lambda: due(service, call_id))
    again = await other.relay(handle, offer)
    assert (again.status, again.headers["location"].rpartition("/")[2]) == (201, call_id)

    async def gone() -> bool:
        return not await due(service, call_id)

    await eventually(gone)
    on_record, _ = await record(service, engine, call_id)
    assert "delivered_at" in on_record
    # A deadline that is written only now, by a relay that was slow to notice, does no harm.
    await service.store_client.zadd(keys.deadlines(call_id), {f"undelivered:{call_id}": 1})
    await eventually(lambda: _either_became(service, other, outcome="fetched"))
    assert await due(service, call_id) == []
    assert service.call(call_id)["ended_at"] is None
    assert hangups(service) == []


async def _either_became(first: Service, second: Service, **labels: str) -> float:
    return sum([await _became(one, **labels) or 0.0 for one in (first, second)])


async def test_without_a_grace_time_it_is_only_told(
    service_factory: ServiceFactory, engine: LocalEngine
) -> None:
    service = await service_factory(CLOAKROOM_UNDELIVERED_GRACE_SECONDS="0")
    await left_midway(service, await service.minted())
    call_id = await undelivered(service)

    async def noted() -> bool:
        return "undelivered_at" in (await record(service, engine, call_id))[0]

    await eventually(noted)
    assert await due(service, call_id) == []
    assert service.call(call_id)["ended_at"] is None


async def test_a_hang_up_that_fails_is_tried_again_until_the_call_is_over(
    service_factory: ServiceFactory, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overdue, "AGAIN_SECONDS", 0.05)
    service = await service_factory(**SOON)
    # Every try of three rounds: each asks three times.
    service.fault("status", "hangup", status=503, times=9)
    await left_midway(service, await service.minted())
    call_id = await undelivered(service)
    await ended(service, call_id)
    await eventually(lambda: told(lines, "call_hung_up"))
    failed = told(lines, "call_hangup_failed")
    assert len(failed) == 3
    assert {(line["code"], line["call_id"]) for line in failed} == {("upstream_error", call_id)}
    assert await _became(service, reason="undelivered", outcome="failed") == 3
    assert await _became(service, reason="undelivered", outcome="ended") == 1
    assert await due(service, call_id) == []


async def test_a_call_that_the_provider_ended_meanwhile_is_over(
    service_factory: ServiceFactory, lines: Lines
) -> None:
    service = await service_factory(**SOON)
    await left_midway(service, await service.minted())
    call_id = await undelivered(service)
    await service.provider.calls.hang_up(call_id)
    await eventually(lambda: told(lines, "call_hung_up"))
    assert [line["outcome"] for line in told(lines, "call_hung_up")] == ["gone"]
    assert await due(service, call_id) == []


async def test_a_call_that_its_backend_hung_up_meanwhile_is_asked_of_nobody(
    service_factory: ServiceFactory,
) -> None:
    service = await service_factory(**SOON)
    await left_midway(service, await service.minted())
    call_id = await undelivered(service)
    assert (await service.hang_up(service.planted.client_key, call_id)).status == 200
    await eventually(lambda: _became(service, reason="undelivered", outcome="repeated"))
    assert len(hangups(service)) == 1
    assert await due(service, call_id) == []


async def test_a_call_that_no_call_outlives_is_given_up(
    service_factory: ServiceFactory, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overdue, "LONGEST_CALL_SECONDS", -5)
    service = await service_factory(**SOON)
    await left_midway(service, await service.minted())
    call_id = await undelivered(service)
    await eventually(lambda: told(lines, "call_not_hung_up"))
    assert [line["why"] for line in told(lines, "call_not_hung_up")] == ["outlived"]
    await eventually(lambda: _became(service, outcome="outlived"))
    assert await due(service, call_id) == []
    assert hangups(service) == []


PREVIEW: Final = (
    "deployments:\n"
    "  preview: {provider: azure-preview, base_url: '{provider}', webrtc_url: '{provider}/v1/realtimertc', "
    "model: voice-prod, api_key: '${AZURE_KEY}'}\n"
    "models: {gpt-realtime-2.1: preview}\n"
)


@pytest.mark.parametrize("named", [True, False], ids=["a call with an id", "a call without one"])
async def test_a_provider_without_a_hang_up_is_not_asked_for_ever(
    service_factory: ServiceFactory,
    planted: Planted,
    tmp_path: Any,
    lines: Lines,
    monkeypatch: pytest.MonkeyPatch,
    named: bool,
) -> None:
    # The replica that keeps the box does not know the deployment. It may try first, and leaves the call.
    monkeypatch.setattr(overdue, "AGAIN_SECONDS", 0.05)
    box = await service_factory(
        SandboxConfig(azure_keys=(planted.azure_key,), peer="static", azure_preview=True)
    )
    config = tmp_path / "cloakroom.yaml"
    config.write_text(PREVIEW.replace("{provider}", str(box.sandbox.make_url("")).rstrip("/")))
    service = await service_factory(
        CLOAKROOM_CONFIG=str(config), AZURE_KEY=planted.azure_key, OPENAI_API_KEY="", **SOON
    )
    handle = await service.minted()
    if named:
        box.fault("headers", "calls", headers={"Location": "/v1/realtimertc/rtc_preview"})
        assert await service.called(handle) == "rtc_preview"
        await service.store_client.zadd(keys.deadlines("rtc_preview"), {"undelivered:rtc_preview": 1})
    else:
        box.fault("delay", "calls", seconds=0.3)
        request = asyncio.create_task(_on_own_connection(service, handle, fresh_offer()))
        await eventually(lambda: box.asked("realtimertc"))
        request.cancel()
    await eventually(lambda: told(lines, "call_not_hung_up"))
    (line,) = told(lines, "call_not_hung_up")
    assert line["why"] == ("no_hangup" if named else "no_call_id")
    assert line["handle"] == claims_of(handle)["jti"]
    if named:
        await eventually(lambda: _became(service, outcome="impossible"))
        assert await service.store_client.hget(keys.call("rtc_preview"), "not_ended_because") == "no_hangup"
        assert await due(service, "rtc_preview") == []


# --- lost ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["wrong_type", "garble", "truncate"])
async def test_a_call_whose_answer_cannot_be_read_is_hung_up_where_that_is_set(
    service_factory: ServiceFactory, engine: LocalEngine, kind: str
) -> None:
    service = await service_factory(**LOST)
    handle = await service.minted()
    service.fault(kind, "calls", **({"body": "no sdp"} if kind == "wrong_type" else {}))
    assert (await service.relay(handle)).code == "outcome_unknown"
    (call,) = service.provider.calls.reports()
    call_id = str(call["call_id"])
    await ended(service, call_id)
    assert await _orphaned(service, "lost") == 1
    await eventually(lambda: _became(service, reason="lost", outcome="ended"))
    assert (await record(service, engine, call_id))[0]["ended_because"] == "lost"


async def test_without_the_setting_such_a_call_is_on_record_for_an_operator(service: Service) -> None:
    handle = await service.minted()
    service.fault("garble", "calls")
    assert (await service.relay(handle)).code == "outcome_unknown"
    (call,) = service.provider.calls.reports()
    call_id = str(call["call_id"])
    assert await due(service, call_id) == []
    assert call["ended_at"] is None
    assert (await service.hang_up(service.planted.client_key, call_id)).status == 200


async def test_an_answer_that_comes_after_the_deadline_names_the_call_that_is_hung_up(
    service_factory: ServiceFactory, lines: Lines
) -> None:
    service = await service_factory(CLOAKROOM_RELAY_TIMEOUT_SECONDS="0.3", **LOST)
    handle, offer = await service.minted(), fresh_offer()
    service.fault("delay", "calls", seconds=1.0)
    assert (await service.relay(handle, offer)).code == "upstream_timeout"
    assert (await service.relay(handle, offer)).code == "outcome_unknown"
    await eventually(lambda: told(lines, "call_hung_up"))
    (call,) = service.provider.calls.reports()
    await ended(service, str(call["call_id"]))
    (line,) = told(lines, "call_lost")
    assert (line["call_id"], line["handle"]) == (call["call_id"], claims_of(handle)["jti"])
    relays = await service.store_client.hmget(keys.handle(line["handle"]), "relay_1", "relay_2", "relays")
    assert relays[0].endswith(" upstream_timeout")
    assert relays[1].endswith(f" outcome_unknown {call['call_id']}")
    assert relays[2] == "2"
    # The offer stays answered as it was.
    assert (await service.relay(handle, offer)).code == "outcome_unknown"
    assert len(service.provider.calls.reports()) == 1


async def test_a_late_refusal_made_no_call(service_factory: ServiceFactory, lines: Lines) -> None:
    service = await service_factory(CLOAKROOM_RELAY_TIMEOUT_SECONDS="0.3", **LOST)
    handle = await service.minted()
    service.provider.clock.skew = 100_000  # the key is over
    service.fault("delay", "calls", seconds=1.0)
    assert (await service.relay(handle)).code == "upstream_timeout"
    assert late_answers()
    await eventually(lambda: not late_answers())
    assert [entry["status"] for entry in service.provider.journal.reports()][-1] == 401
    assert told(lines, "call_lost") == []
    assert await _orphaned(service, "lost") == 0


def late_answers() -> list[asyncio.Task[Any]]:
    """The answers that are still waited for."""
    return [task for task in asyncio.all_tasks() if task.get_name() == "late-answer"]


async def test_no_more_answers_are_waited_for_than_there_may_be(
    service_factory: ServiceFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(late, "AT_MOST", 1)
    service = await service_factory(
        CLOAKROOM_RELAY_TIMEOUT_SECONDS="0.3", CLOAKROOM_STORE_TIMEOUT_SECONDS="3", **LOST
    )
    service.fault("stall", "calls", times=0)
    handle = await service.minted()
    replies = await asyncio.gather(*(service.relay(handle) for _ in range(3)))
    assert {reply.code for reply in replies} == {"upstream_timeout"}
    # One request is still open at the provider; the others were ended.
    assert len(late_answers()) == 1
