"""A sideband through the whole service: who may attach, what passes, and what each end means."""

from __future__ import annotations

import asyncio
import socket as socketlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import openai
import orjson
import pytest
from openai.types.websocket_reconnection import ReconnectingEvent

from app.sandbox import SandboxConfig
from app.sandbox.calls import Call
from app.sandbox.http.sideband import SandboxSideband
from app.store import keys
from app.store.embedded.engine import LocalEngine
from app.web.appkeys import LIFECYCLE, OPEN_SIDEBANDS
from app.web.calls import views as call_views
from app.web.routes import ALIASES
from tests.conftest import ServiceFactory
from tests.support.api import Reply
from tests.support.clocks import eventually
from tests.support.planted import Planted
from tests.support.scrape import scrape
from tests.support.service import Service
from tests.support.sideband import UPGRADE, Socket, closed, heard
from tests.web.hangups import hangups, record
from tests.web.test_azure import GA, PREVIEW, azure_service
from tests.web.test_call_key import arrived, headers_of, service_with
from tests.web.test_hangup import KIOSK_KEY, other_replica

AUDIO: Final = '{"type": "response.output_audio.delta", "delta": "AAAA"}'


def path_of(call_id: str, base: str = "/v1") -> str:
    return f"{base}/realtime?call_id={call_id}"


@asynccontextmanager
async def attached(service: Service, call_id: str, base: str = "/v1", **more: Any) -> AsyncIterator[Socket]:
    """A backend's sideband, after the provider's first event."""
    headers = {"Authorization": f"Bearer {service.planted.client_key}"}
    url = service.base + path_of(call_id, base)
    async with service.http.ws_connect(url, headers=headers, **more) as socket:
        await heard(socket, "session.created")
        yield socket


async def refused(service: Service, call_id: str, key: str | None = None, **more: str) -> Reply:
    """The answer to a handshake that is refused."""
    headers = UPGRADE | {"Authorization": f"Bearer {key or service.planted.client_key}"} | more
    async with service.http.get(service.base + path_of(call_id), headers=headers) as response:
        found = {name.lower(): value for name, value in response.headers.items()}
        return Reply(response.status, found, await response.text())


def at_provider(service: Service, call_id: str) -> Call:
    return service.provider.calls.live(call_id)


def tell(service: Service, call_id: str, event: str) -> None:
    """Have the provider send this to every sideband of the call."""
    for sideband in at_provider(service, call_id).sidebands:
        assert isinstance(sideband, SandboxSideband)
        sideband.send(event)


async def value(service: Service, name: str, **labels: str) -> float:
    return (await scrape(service.http, service.base)).value(name, **labels) or 0.0


# --- who may attach -----------------------------------------------------------------------------


@pytest.mark.parametrize("base", ALIASES)
async def test_a_client_attaches_under_every_alias_with_the_standard_key(
    service: Service, base: str, planted: Planted
) -> None:
    call_id = await service.called(await service.minted())
    async with attached(service, call_id, base, protocols=("realtime",)) as socket:
        assert socket.protocol == "realtime"
        (entry,) = arrived(service, "sideband")
        assert headers_of(entry)["authorization"] == f"Bearer {planted.openai_key}"
        assert entry["path"] == "/v1/realtime"
        assert entry["query"] == f"call_id={call_id}"


async def test_azure_is_attached_to_with_the_resource_s_key(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    service = await azure_service(service_factory, planted, GA)
    call_id = await service.called(await service.minted())
    async with attached(service, call_id):
        (entry,) = arrived(service, "sideband")
        assert (entry["path"], entry["query"]) == ("/openai/v1/realtime", f"call_id={call_id}")
        assert headers_of(entry)["api-key"] == planted.azure_key
        assert "authorization" not in headers_of(entry)


async def test_a_call_of_azures_preview_has_no_sideband(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    service = await azure_service(service_factory, planted, PREVIEW, azure_preview=True)
    # The preview in a box names no call, so this is the record of one.
    fields = {"v": 1, "handle": "h", "deployment": "voice", "relayed_at": 1, "client": "shop"}
    await service.store_client.hset(keys.call("rtc_of_the_preview"), mapping=fields)
    reply = await refused(service, "rtc_of_the_preview")
    assert (reply.status, reply.code) == (400, "invalid_request")
    assert "no sideband" in reply.text
    await service.store_client.delete(keys.call("rtc_of_the_preview"))


async def test_any_replica_attaches_and_all_who_are_attached_hear_the_same(
    service: Service, service_factory: ServiceFactory
) -> None:
    other = await other_replica(service, service_factory)
    call_id = await service.called(await service.minted())
    async with attached(service, call_id) as first, attached(other, call_id) as second:
        tell(service, call_id, '{"type": "response.done", "n": 7}')
        assert (await heard(first, "response.done"))["n"] == 7
        assert (await heard(second, "response.done"))["n"] == 7


async def test_an_unknown_a_foreign_and_an_impossible_call_get_the_same_answer(
    service_factory: ServiceFactory,
) -> None:
    service = await service_factory(CLOAKROOM_CLIENTS=f'{{"kiosk": {{"api_key": "{KIOSK_KEY}"}}}}')
    call_id = await service.called(await service.minted())
    foreign = await refused(service, call_id, KIOSK_KEY)
    unknown = await refused(service, "rtc_" + "0" * 32)
    impossible = await refused(service, "../../secrets")
    assert foreign.status == unknown.status == impossible.status == 404
    assert foreign.text == unknown.text == impossible.text
    assert foreign.code == "call_id_not_found"
    assert service.asked("/v1/realtime") == 0


async def test_a_handle_and_a_wrong_key_attach_to_nothing(service: Service) -> None:
    handle = await service.minted()
    call_id = await service.called(handle)
    for key in (handle, "wrong-key-0123456789"):
        reply = await refused(service, call_id, key)
        assert (reply.status, reply.code) == (401, "invalid_api_key")
    assert await value(service, "cloakroom_sidebands_refused_total", code="invalid_api_key") == 2


async def test_a_key_among_the_subprotocols_is_refused_and_not_logged(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    call_id = await service.called(await service.minted())
    key = "openai-insecure-api-key.planted-0123456789"
    reply = await refused(service, call_id, **{"Sec-WebSocket-Protocol": key})
    assert (reply.status, reply.code) == (400, "invalid_request")
    assert "planted" not in caplog.text


async def test_a_request_that_is_no_handshake_is_told_what_to_do(service: Service) -> None:
    call_id = await service.called(await service.minted())
    headers = {"Authorization": f"Bearer {service.planted.client_key}"}
    async with service.http.get(service.base + path_of(call_id), headers=headers) as response:
        assert response.status == 400
        assert "wss://" in await response.text()


# --- what the provider refuses ------------------------------------------------------------------


async def test_a_call_of_an_ephemeral_key_that_has_no_sideband_says_so_and_how_to_get_one(
    service_factory: ServiceFactory, planted: Planted, engine: LocalEngine
) -> None:
    sandbox = SandboxConfig(openai_keys=(planted.openai_key,), peer="static", ephemeral_sidebands=False)
    service = await service_factory(sandbox)
    call_id = await service.called(await service.minted())
    reply = await refused(service, call_id)
    assert (reply.status, reply.code) == (404, "call_not_attachable")
    assert "deployments.openai.call_key: standard" in reply.json["error"]["message"]
    noted, _ = await record(service, engine, call_id)
    assert noted["sideband"] == "not_found"
    assert "ended_at" not in noted
    assert await value(service, "cloakroom_sidebands_refused_total", code="call_not_attachable") == 1


async def test_with_call_key_standard_such_a_provider_is_attached_to(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    service = await service_with(service_factory, planted, "standard")
    object.__setattr__(service.provider.config, "ephemeral_sidebands", False)
    call_id = await service.called(await service.minted({"model": "assistant"}))
    async with attached(service, call_id):
        pass


async def test_the_provider_s_own_refusal_keeps_its_status_and_hides_its_key(service: Service) -> None:
    call_id = await service.called(await service.minted())
    service.fault("status", "sideband", status=429, headers={"Retry-After": "7"})
    reply = await refused(service, call_id)
    assert (reply.status, reply.headers["retry-after"]) == (429, "7")
    service.fault("status", "sideband", status=401)
    reply = await refused(service, call_id)
    assert reply.status == 401
    assert service.planted.openai_key not in reply.text


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("redirect", 502, "upstream_error"),
        ("html", 502, "upstream_error"),
        ("drop_before", 502, "upstream_error"),
        ("stall", 504, "upstream_timeout"),
    ],
)
async def test_a_handshake_that_fails_is_an_error_before_the_upgrade(
    service_factory: ServiceFactory, kind: str, status: int, code: str
) -> None:
    service = await service_factory(CLOAKROOM_MINT_TIMEOUT_SECONDS="1")
    call_id = await service.called(await service.minted())
    # aiohttp's client sends a GET once more where the connection broke.
    service.fault(kind, "sideband", times=2)
    reply = await refused(service, call_id)
    assert (reply.status, reply.code) == (status, code)


async def test_a_provider_that_is_gone_is_unreachable(service: Service) -> None:
    call_id = await service.called(await service.minted())
    await service.stop_provider()
    reply = await refused(service, call_id)
    assert (reply.status, reply.code) == (502, "upstream_unreachable")


# --- what passes --------------------------------------------------------------------------------


async def test_events_pass_both_ways_and_audio_does_not(service: Service) -> None:
    call_id = await service.called(await service.minted())
    async with attached(service, call_id) as socket:
        # The static peer answers each client event with an ``error`` that repeats its id.
        await socket.send_str('{"type": "response.create", "event_id": "one"}')
        assert (await heard(socket, "error"))["error"]["event_id"] == "one"
        await socket.send_str('{"type": "input_audio_buffer.append", "audio": "AA", "event_id": "two"}')
        answer = (await heard(socket, "error"))["error"]
        assert (answer["code"], answer["event_id"]) == ("audio_not_allowed", "two")
        tell(service, call_id, AUDIO)
        tell(service, call_id, '{"type": "response.output_audio_transcript.delta", "delta": "hi"}')
        message = await socket.receive()
        assert orjson.loads(message.data)["type"] == "response.output_audio_transcript.delta"
    counted = "cloakroom_sideband_audio_events_total"
    assert await value(service, counted, source="provider") == 1
    assert await value(service, counted, source="backend") == 1
    assert await value(service, "cloakroom_sideband_events_total", source="backend") == 1
    assert await value(service, "cloakroom_sideband_events_total", source="provider") == 3


async def test_a_backend_that_does_not_read_stops_the_provider_and_nothing_piles_up(
    service: Service,
) -> None:
    call_id = await service.called(await service.minted())
    many, text = 400, "x" * 60_000
    async with attached(service, call_id) as socket:
        for number in range(many):
            # The provider in a box has room for a thousand events that wait.
            tell(
                service, call_id, orjson.dumps({"type": "response.done", "n": number, "text": text}).decode()
            )
        passed = "cloakroom_sideband_events_total"
        seen = 0.0
        for _ in range(20):
            await asyncio.sleep(0.05)
            seen, before = await value(service, passed, source="provider"), seen
            if seen == before:
                break
        assert seen < many, "all 24 MB were taken though nobody read"
        for number in range(many):
            assert (await heard(socket, "response.done"))["n"] == number


async def test_a_backend_that_reads_nothing_at_all_is_given_up_with_its_connection(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_views, "HEARTBEAT_SECONDS", 0.5)
    call_id = await service.called(await service.minted())
    assert service.server.runner is not None
    server = service.server.runner.server
    assert server is not None
    before = len(server.connections)
    reader, writer = await asyncio.open_connection("127.0.0.1", service.server.port, limit=4096)
    lines = [f"GET {path_of(call_id)} HTTP/1.1", f"Host: 127.0.0.1:{service.server.port}"]
    lines += [f"{name}: {text}" for name, text in UPGRADE.items()]
    lines += [f"Authorization: Bearer {service.planted.client_key}", "", ""]
    writer.write("\r\n".join(lines).encode())
    assert b" 101 " in await reader.readline()
    assert len(server.connections) == before + 1
    text = orjson.dumps({"type": "response.done", "text": "x" * 60_000}).decode()
    for _ in range(400):
        tell(service, call_id, text)
    await eventually(lambda: len(server.connections) == before)
    assert await value(service, "cloakroom_sidebands_closed_total", reason="backend") == 1
    assert at_provider(service, call_id).ended_at is None
    writer.transport.abort()


async def test_an_event_that_is_too_large_closes_with_1009_and_one_that_is_no_text_with_1003(
    service_factory: ServiceFactory,
) -> None:
    service = await service_factory(CLOAKROOM_SIDEBAND_MAX_EVENT_BYTES="65536")
    call_id = await service.called(await service.minted())
    async with attached(service, call_id) as socket:
        await socket.send_str(orjson.dumps({"type": "response.create", "x": "x" * 70_000}).decode())
        assert (await closed(socket))[0] == 1009
    async with attached(service, call_id) as socket:
        await socket.send_bytes(b"sound")
        assert (await closed(socket))[0] == 1003
    async with attached(service, call_id) as socket:
        tell(service, call_id, orjson.dumps({"type": "response.done", "x": "x" * 70_000}).decode())
        assert (await closed(socket))[0] == 1009
    assert at_provider(service, call_id).ended_at is None
    assert await value(service, "cloakroom_sidebands_closed_total", reason="invalid") == 2


# --- how it ends --------------------------------------------------------------------------------


async def test_a_backend_that_leaves_ends_no_call(service: Service) -> None:
    call_id = await service.called(await service.minted())
    async with attached(service, call_id):
        assert service.call(call_id)["sidebands"] == 1
    await eventually(lambda: service.call(call_id)["sidebands"] == 0)
    assert at_provider(service, call_id).ended_at is None
    assert hangups(service) == []


async def test_a_call_that_is_over_closes_the_sideband_and_is_noted(
    service: Service, engine: LocalEngine
) -> None:
    call_id = await service.called(await service.minted())
    async with attached(service, call_id) as socket:
        # As when the browser leaves: nobody asked us.
        await service.provider.calls.hang_up(call_id)
        assert await closed(socket) == (1000, "the call is over: hangup")

    async def ended() -> dict[str, str]:
        noted, _ = await record(service, engine, call_id)
        return noted if "ended_at" in noted else {}

    noted = await eventually(ended, "the end was not noted")
    assert (noted["ended_because"], noted["ended_by"]) == ("remote", "replica-a")
    assert noted["attached_at"]
    assert await value(service, "cloakroom_sidebands_closed_total", reason="over") == 1
    again = await refused(service, call_id)
    assert (again.status, again.code) == (404, "call_id_not_found")


async def test_a_call_that_ended_unseen_is_noted_by_the_next_attach(
    service: Service, engine: LocalEngine
) -> None:
    call_id = await service.called(await service.minted())
    async with attached(service, call_id):
        pass
    await service.provider.calls.hang_up(call_id)
    reply = await refused(service, call_id)
    assert (reply.status, reply.code) == (404, "call_id_not_found")
    assert (await record(service, engine, call_id))[0]["ended_because"] == "remote"


async def test_a_hang_up_through_us_stays_the_reason(service: Service, engine: LocalEngine) -> None:
    call_id = await service.called(await service.minted())
    async with attached(service, call_id) as socket:
        assert (await service.hang_up(service.planted.client_key, call_id)).status == 200
        assert (await closed(socket))[0] == 1000
    assert (
        "ended_because" not in (await record(service, engine, call_id))[0]
        or not (await record(service, engine, call_id))[0]["ended_because"]
    )


async def test_a_provider_that_goes_away_leaves_the_call_open_and_asks_to_reconnect(
    service: Service, engine: LocalEngine
) -> None:
    call_id = await service.called(await service.minted())
    async with attached(service, call_id) as socket:
        service.provider.calls.leave_sidebands()
        code, reason = await closed(socket)
    assert code == 1012
    assert reason == "Reconnect: the provider's connection ended (1001: the server restarts)."
    assert "ended_at" not in (await record(service, engine, call_id))[0]
    async with attached(service, call_id):
        assert await value(service, "cloakroom_sidebands_open") == 1


async def test_a_provider_that_closes_on_purpose_is_quoted_and_the_call_stays_open(
    service: Service, engine: LocalEngine
) -> None:
    call_id = await service.called(await service.minted())
    async with attached(service, call_id) as socket:
        at_provider(service, call_id).sidebands[0].end(4003, "policy sk-proj-abcdefghijklmnop1234")
        code, reason = await closed(socket)
    assert code == 4003
    assert reason.startswith("policy ")
    assert "sk-proj" not in reason
    assert "ended_at" not in (await record(service, engine, call_id))[0]


async def test_a_provider_whose_connection_breaks_is_told_as_a_broken_one(service: Service) -> None:
    call_id = await service.called(await service.minted())
    async with attached(service, call_id) as socket:
        (sideband,) = at_provider(service, call_id).sidebands
        assert isinstance(sideband, SandboxSideband)
        sideband.socket.get_extra_info("socket").shutdown(socketlib.SHUT_RDWR)
        code, reason = await closed(socket)
    assert (code, "1006" in reason) == (1012, True)
    assert at_provider(service, call_id).ended_at is None


# --- how many, and the process ------------------------------------------------------------------


async def test_no_more_than_the_setting_allows_are_open_at_once(service_factory: ServiceFactory) -> None:
    service = await service_factory(CLOAKROOM_SIDEBAND_MAX="1")
    call_id = await service.called(await service.minted())
    async with attached(service, call_id):
        reply = await refused(service, call_id)
        assert (reply.status, reply.code, reply.headers["retry-after"]) == (503, "overloaded", "1")
        assert await value(service, "cloakroom_sidebands_open") == 1
    await eventually(lambda: service.call(call_id)["sidebands"] == 0)
    async with attached(service, call_id):
        pass


async def test_an_open_sideband_is_no_request_in_flight(service: Service) -> None:
    call_id = await service.called(await service.minted())
    lifecycle = service.server.app[LIFECYCLE]
    async with attached(service, call_id):
        assert lifecycle.in_flight == 0
    await eventually(lambda: service.call(call_id)["sidebands"] == 0)
    assert lifecycle.in_flight == 0


async def test_a_process_that_ends_asks_to_reconnect_and_takes_no_more(service: Service) -> None:
    call_id = await service.called(await service.minted())
    async with attached(service, call_id) as socket:
        service.server.app[OPEN_SIDEBANDS].end_all()
        code, reason = await closed(socket)
        assert (code, "Reconnect" in reason) == (1012, True)
        reply = await refused(service, call_id)
        assert (reply.status, reply.code) == (503, "draining")
    assert at_provider(service, call_id).ended_at is None


async def test_the_store_s_outage_refuses_a_sideband_and_ends_none(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    with LocalEngine() as engine:
        service = await service_factory(store_url=engine.url)
        call_id = await service.called(await service.minted())
        async with attached(service, call_id) as socket:

            async def noted() -> bool:
                return "attached_at" in (await record(service, engine, call_id))[0]

            await eventually(noted)
            engine.stop()
            reply = await refused(service, call_id)
            assert (reply.status, reply.code) == (503, "store_unavailable")
            tell(service, call_id, '{"type": "response.done"}')
            await heard(socket, "response.done")


async def test_the_official_sdk_connects_again_by_itself(service: Service) -> None:
    call_id = await service.called(await service.minted())
    codes: list[int] = []

    def reconnecting(event: ReconnectingEvent) -> None:
        codes.append(event.close_code)

    async with (
        openai.AsyncOpenAI(base_url=f"{service.base}/v1", api_key=service.planted.client_key) as client,
        client.realtime.connect(call_id=call_id, on_reconnecting=reconnecting) as connection,
    ):
        assert (await connection.recv()).type == "session.created"
        service.provider.calls.leave_sidebands()
        async for event in connection:
            assert event.type == "session.created"
            break
        await service.provider.calls.hang_up(call_id)
        # It stops without an error.
        assert [event.type async for event in connection] == []
    assert codes == [1012]
