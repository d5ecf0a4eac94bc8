"""The sandbox speaks GPT-Live as strictly as the types of OpenAI's SDK: what it takes, refuses and tells."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from openai.types.live import LiveCreateResponse, SessionClosedEvent, SessionStartedEvent

from app.sandbox.conversation.live import allows_channel

if TYPE_CHECKING:
    from tests.unit.sandbox.conftest import Client, MakeSandbox

OPENAI: Final = {"Authorization": "Bearer sk-test-0123456789abcdef"}
AZURE: Final = {"api-key": "azure-test-0123456789abcdef"}
PATH: Final = "/v1/live/sessions"
SESSION: Final = {"model": "gpt-live-1"}


def body(offer: str, session: Any = None, **transport: Any) -> dict[str, Any]:
    return {"session": session or SESSION, "transport": {"type": "webrtc", "sdp": offer, **transport}}


async def created(client: Client, offer: str, session: Any = None) -> str:
    reply = await client.post(PATH, json=body(offer, session), headers=OPENAI)
    assert reply.status == 201, await reply.text()
    return LiveCreateResponse.model_validate(await reply.json(), strict=True).session.id


@pytest.mark.parametrize(
    ("path", "headers", "model"),
    [(PATH, OPENAI, "gpt-live-1"), (f"/openai{PATH}", AZURE, "live-prod")],
)
async def test_a_session_is_created_and_ended_at_either_provider(
    sandbox: MakeSandbox, offer: str, path: str, headers: dict[str, str], model: str
) -> None:
    client = await sandbox()
    reply = await client.post(path, json=body(offer, {"model": model}), headers=headers)
    assert reply.status == 201
    session_id = (await reply.json())["session"]["id"]
    assert (await client.post(f"{path}/{session_id}/hangup", headers=headers)).status == 200
    again = await client.post(f"{path}/{session_id}/hangup", headers=headers)
    assert (again.status, (await again.json())["error"]["code"]) == (404, "session_not_found")


CHANNEL: Final = "session.client.data_channel"


@pytest.mark.parametrize(
    ("changes", "code", "param"),
    [
        ({"session": None}, "missing_required_parameter", "session"),
        ({"session": {}}, "missing_required_parameter", "session.model"),
        ({"session": {**SESSION, "type": "live"}}, "unknown_parameter", "session.type"),
        ({"session": {**SESSION, "audio": {"format": {}}}}, "unknown_parameter", "session.audio.format"),
        ({"session": {**SESSION, "safety_identifier": 1}}, "invalid_type", "session.safety_identifier"),
        ({"session": {**SESSION, "client": {}}}, "missing_required_parameter", CHANNEL),
        (
            {"session": {**SESSION, "client": {"data_channel": {"allowed_server_events": ["error"]}}}},
            "invalid_type",
            f"{CHANNEL}.allowed_server_events",
        ),
        ({"session": {"model": "gpt-realtime-2.1"}}, "model_not_found", None),
        ({"transport": None}, "missing_required_parameter", "transport"),
        ({"transport": {"type": "sip"}}, "invalid_value", "transport.type"),
        ({"transport": {"type": "webrtc"}}, "missing_required_parameter", "transport.sdp"),
        ({"transport": {"type": "webrtc", "sdp": "hello"}}, "invalid_offer", "sdp"),
        ({"safety_identifier": "x"}, "unknown_parameter", "safety_identifier"),
    ],
)
async def test_a_bad_request_is_refused_with_the_field(
    sandbox: MakeSandbox, offer: str, changes: dict[str, Any], code: str, param: str | None
) -> None:
    client = await sandbox()
    reply = await client.post(PATH, json={**body(offer), **changes}, headers=OPENAI)
    error = (await reply.json())["error"]
    assert (error["code"], error["param"]) == (code, param)
    assert reply.status in (400, 404)
    assert (await (await client.get("/_sandbox/calls")).json())["calls"] == []


@pytest.mark.parametrize("key", ["", "Bearer ek_ephemeral", "Bearer sk-other"])
async def test_only_the_standard_key_creates_a_session(sandbox: MakeSandbox, offer: str, key: str) -> None:
    client = await sandbox()
    reply = await client.post(PATH, json=body(offer), headers={"Authorization": key} if key else {})
    assert reply.status == 401


async def test_the_realtime_paths_know_no_live_session(sandbox: MakeSandbox, offer: str) -> None:
    client = await sandbox()
    session_id = await created(client, offer)
    handshake = {**OPENAI, "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    handshake["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ=="
    reply = await client.get(f"/v1/realtime?call_id={session_id}", headers=handshake)
    assert reply.status == 404


async def test_a_sideband_hears_the_start_and_the_end_in_the_sdk_s_shapes(
    sandbox: MakeSandbox, offer: str
) -> None:
    client = await sandbox()
    session_id = await created(client, offer, {**SESSION, "instructions": "Be kind."})
    socket = await client.ws_connect(f"{PATH}/{session_id}/attach?graceful_close=true", headers=OPENAI)
    started = SessionStartedEvent.model_validate(json.loads(await socket.receive_str()))
    assert (started.session.id, started.session.instructions) == (session_id, "Be kind.")
    await client.post(f"{PATH}/{session_id}/hangup", headers=OPENAI)
    ended = SessionClosedEvent.model_validate(json.loads(await socket.receive_str()))
    assert (ended.reason, ended.usage.seconds) == ("close_requested", 15)
    assert (await socket.receive()).data == 1000


def test_the_channel_gets_what_the_session_allows_and_all_where_it_says_nothing() -> None:
    every = allows_channel(SESSION)
    assert every("response.event", {"event": {"type": "response.completed"}})
    named = [{"type": "error"}, {"type": "response.event", "response_event": "response.completed"}]
    some = allows_channel({"client": {"data_channel": {"allowed_server_events": named}}})
    assert some("error", {})
    assert not some("session.started", {})
    assert some("response.event", {"event": {"type": "response.completed"}})
    assert not some("response.event", {"event": {"type": "response.created"}})
    none = allows_channel({"client": {"data_channel": {"allowed_server_events": []}}})
    assert not none("error", {})
