"""Azure Voice Live in the box: who may connect, what it refuses and in which words, and how a call ends."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest

from app.sandbox.provider import PROVIDER
from tests.support.clocks import eventually
from tests.support.sideband import UPGRADE, heard
from tests.unit.sandbox.conftest import AZURE_KEY, ENTRA_TOKEN, OPENAI_KEY, Client, MakeSandbox

PATH = "/voice-live/realtime/calls?api-version=2026-01-01-preview&model=gpt-realtime-2.1"
KEY = {"api-key": AZURE_KEY}
SESSION = {"instructions": "Be brief.", "voice": {"type": "azure-standard", "name": "en-US-AvaNeural"}}


async def create(client: Client, **event: Any) -> tuple[aiohttp.ClientWebSocketResponse[bool], Any]:
    """Connect, send one message, and return the socket with the first answer that counts."""
    socket = await client.ws_connect(PATH, headers=KEY)
    assert (await heard(socket, "session.created"))["session"]["model"] == "gpt-realtime-2.1"
    await socket.send_str(json.dumps({"type": "rtc.call.sdp.create", **event}))
    while True:
        answer = json.loads((await socket.receive()).data)
        if answer["type"].startswith("rtc."):
            return socket, answer


async def handshake(client: Client, path: str, **headers: str) -> tuple[int, Any]:
    async with client.get(path, headers={**UPGRADE, **headers}) as answer:
        return answer.status, (await answer.json())["error"]


@pytest.mark.parametrize("headers", [KEY, {"Authorization": f"Bearer {ENTRA_TOKEN}"}])
async def test_the_resource_s_key_or_a_token_of_entra_lets_in(
    sandbox: MakeSandbox, headers: dict[str, str]
) -> None:
    client = await sandbox()
    async with client.ws_connect(PATH, headers=headers) as socket:
        assert await heard(socket, "session.created")


async def test_a_handshake_is_refused_as_azure_refuses(sandbox: MakeSandbox) -> None:
    client = await sandbox()
    assert (await handshake(client, PATH))[0] == 401
    assert (await handshake(client, PATH, **{"api-key": OPENAI_KEY}))[0] == 401
    assert (await handshake(client, PATH, Authorization=f"Bearer {AZURE_KEY}"))[0] == 401
    assert (await handshake(client, PATH.replace("2026-01-01-preview", "2025-01-01"), **KEY))[0] == 404
    assert (await handshake(client, PATH.replace("gpt-realtime-2.1", "voice-prod"), **KEY))[0] == 404
    assert (await handshake(client, PATH.partition("&")[0], **KEY))[0] == 400
    async with client.get(PATH, headers=KEY) as answer:
        assert answer.status == 400


async def test_the_answer_names_the_call_which_ends_with_its_socket(sandbox: MakeSandbox, offer: str) -> None:
    client = await sandbox()
    socket, answer = await create(client, sdp_offer=offer, session=SESSION)
    assert answer["type"] == "rtc.call.sdp.created"
    assert answer["sdp_answer"].startswith("v=0")
    calls = client.app[PROVIDER].calls
    assert calls.live(answer["rtc_call_id"]).terms.session["instructions"] == "Be brief."
    await socket.close()
    await eventually(lambda: calls.counts()["live"] == 0)
    assert calls.reports()[0]["end_reason"] == "hangup"


@pytest.mark.parametrize(
    ("event", "code"),
    [
        ({}, "missing_sdp"),
        ({"sdp_offer": "hello"}, "invalid_offer"),
        ({"sdp_offer": "{offer}", "session": "text"}, "invalid_type"),
        ({"sdp_offer": "{offer}", "session": {"audio": {}}}, "unknown_parameter"),
        ({"sdp_offer": "{offer}", "session": {"type": "realtime"}}, "unknown_parameter"),
        ({"sdp_offer": "{offer}", "colour": "red"}, "unknown_parameter"),
        ({"type": "session.update"}, "invalid_value"),
    ],
)
async def test_a_message_that_makes_no_call_is_told_why_and_may_be_followed_by_a_better_one(
    sandbox: MakeSandbox, offer: str, event: dict[str, Any], code: str
) -> None:
    client = await sandbox()
    event = {name: offer if value == "{offer}" else value for name, value in event.items()}
    socket, answer = await create(client, **event)
    assert (answer["type"], answer["operation"]) == ("rtc.call.error", "rtc.call.sdp.create")
    assert (answer["error"]["type"], answer["error"]["code"]) == ("invalid_request_error", code)
    await socket.send_str(json.dumps({"type": "rtc.call.sdp.create", "sdp_offer": offer}))
    assert await heard(socket, "rtc.call.sdp.created")
    await socket.close()
