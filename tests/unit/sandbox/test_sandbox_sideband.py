"""The sideband of the provider in a box: who may attach, what is heard there, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from app.sandbox.provider import PROVIDER
from tests.support.sideband import UPGRADE, closed, heard
from tests.unit.sandbox.conftest import (
    AZURE_KEY,
    ENTRA_TOKEN,
    OPENAI_KEY,
    Client,
    MakeBrowser,
    MakeSandbox,
)

Mint = Callable[..., Awaitable[str]]
STANDARD = {"Authorization": f"Bearer {OPENAI_KEY}"}
TOOL = {"type": "function", "name": "open_door", "parameters": {"type": "object"}}


async def call(client: Client, key: str, offer: str, base: str = "/v1") -> str:
    """Relay the offer and return the call id."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/sdp"}
    async with client.post(f"{base}/realtime/calls", data=offer, headers=headers) as answer:
        assert answer.status == 201, await answer.text()
        return answer.headers["Location"].rpartition("/")[2]


async def refused(client: Client, path: str, headers: dict[str, str]) -> tuple[int, Any]:
    """The status and the error of an attach that is refused."""
    async with client.get(path, headers={**UPGRADE, **headers}) as answer:
        return answer.status, (await answer.json())["error"]


async def test_openai_wants_its_standard_key_and_a_call_that_lives(
    sandbox: MakeSandbox, minted: Mint, offer: str
) -> None:
    client = await sandbox()
    key = await minted(client)
    path = f"/v1/realtime?call_id={await call(client, key, offer)}"
    assert (await refused(client, path, {}))[0] == 401
    assert (await refused(client, path, {"Authorization": f"Bearer {key}"}))[0] == 401
    status, error = await refused(client, "/v1/realtime?call_id=rtc_none", STANDARD)
    assert (status, error["code"]) == (404, "call_id_not_found")
    assert (await refused(client, "/v1/realtime", STANDARD))[0] == 400
    async with client.get(path, headers=STANDARD) as answer:
        assert answer.status == 400
    async with client.ws_connect(path, headers=STANDARD) as socket:
        assert (await heard(socket, "session.created"))["session"]["model"] == "gpt-realtime-2.1"


async def test_a_test_has_an_event_sent_to_the_sidebands_of_some_calls_or_of_all(
    sandbox: MakeSandbox, minted: Mint, offer: str
) -> None:
    client = await sandbox()
    first, second = [await call(client, await minted(client), offer) for _ in range(2)]

    async def tell(body: Any) -> tuple[int, Any]:
        async with client.post("/_sandbox/events", json=body) as answer:
            return answer.status, (await answer.json()).get("sidebands")

    path = "/v1/realtime?call_id="
    async with (
        client.ws_connect(path + first, headers=STANDARD) as one,
        client.ws_connect(path + second, headers=STANDARD) as other,
    ):
        for socket in (one, other):
            await heard(socket, "session.created")
        assert await tell({"event": {"type": "some"}, "calls": [first]}) == (200, 1)
        assert await tell({"event": {"type": "all"}}) == (200, 2)
        await heard(one, "some")
        assert json.loads((await other.receive()).data)["type"] == "all"
    malformed: Any
    for malformed in ([], {"calls": [first]}, "all"):
        assert (await tell(malformed))[0] == 400


@pytest.mark.parametrize("headers", [{"api-key": AZURE_KEY}, {"Authorization": f"Bearer {ENTRA_TOKEN}"}])
async def test_azure_wants_the_resource_s_key_or_a_token_and_no_api_version(
    sandbox: MakeSandbox, minted: Mint, offer: str, headers: dict[str, str]
) -> None:
    client = await sandbox()
    key = await minted(client, "/openai/v1/realtime/client_secrets")
    path = f"/openai/v1/realtime?call_id={await call(client, key, offer, '/openai/v1')}"
    assert (await refused(client, path, {}))[0] == 401
    assert (await refused(client, f"{path}&api-version=2025-04-01-preview", headers))[0] == 401
    async with client.ws_connect(path, headers=headers) as socket:
        await heard(socket, "session.created")
    # Another provider's call is not there.
    assert (await refused(client, path.removeprefix("/openai"), STANDARD))[0] == 404


async def test_by_setting_an_ephemeral_key_s_call_is_not_found_and_a_standard_key_s_is(
    sandbox: MakeSandbox, minted: Mint, offer: str
) -> None:
    client = await sandbox(ephemeral_sidebands=False)
    ephemeral = await call(client, await minted(client), offer)
    status, error = await refused(client, f"/v1/realtime?call_id={ephemeral}", STANDARD)
    assert (status, error["code"]) == (404, "call_id_not_found")
    form = aiohttp.FormData()
    form.add_field("sdp", offer, content_type="application/sdp")
    session = json.dumps({"type": "realtime", "model": "gpt-realtime-2.1"})
    form.add_field("session", session, content_type="application/json")
    async with client.post("/v1/realtime/calls", data=form, headers=STANDARD) as answer:
        standard = answer.headers["Location"].rpartition("/")[2]
    async with client.ws_connect(f"/v1/realtime?call_id={standard}", headers=STANDARD) as socket:
        await heard(socket, "session.created")


async def test_both_sides_act_on_one_conversation_and_sound_is_heard_on_the_sideband_alone(
    sandbox: MakeSandbox, browser: MakeBrowser, minted: Mint
) -> None:
    client, page = await sandbox(peer="webrtc"), browser()
    location = await page.call(client, await minted(client))
    await page.event("session.created")
    path = f"/v1/realtime?call_id={location.rpartition('/')[2]}"
    async with client.ws_connect(path, headers=STANDARD) as socket:
        await heard(socket, "session.created")
        change = {"type": "realtime", "tools": [TOOL]}
        await socket.send_json({"type": "session.update", "session": change})
        assert (await page.event("session.updated"))["session"]["tools"] == [TOOL]
        said = {"role": "user", "content": [{"type": "input_text", "text": "Please call open_door"}]}
        page.send("conversation.item.create", item={"type": "message", **said})
        page.send("response.create")
        done = await heard(socket, "response.function_call_arguments.done")
        assert (await heard(socket, "response.done"))["response"]["usage"]["total_tokens"] > 0
        output = {"type": "function_call_output", "call_id": done["call_id"], "output": "it is open"}
        await socket.send_json({"type": "conversation.item.create", "item": output})
        await socket.send_json({"type": "response.create"})
        assert await heard(socket, "response.output_audio.delta")
        spoken = await page.event("response.output_audio_transcript.done")
        assert spoken["transcript"] == "The tool answered: it is open"
        await socket.send_json({"type": "nonsense", "event_id": "mine"})
        assert (await heard(socket, "error"))["error"]["event_id"] == "mine"
        assert "error" not in page.kinds
        assert "response.output_audio.delta" not in page.kinds
        await page.close()
        code, reason = await closed(socket)
    assert (code, reason.partition(":")[0]) == (1000, "the call is over")
    assert (await refused(client, path, STANDARD))[0] == 404


async def test_a_hang_up_closes_the_sideband_and_a_provider_that_goes_away_says_so(
    sandbox: MakeSandbox, minted: Mint, offer: str
) -> None:
    client = await sandbox()
    first, second = [await call(client, await minted(client), offer) for _ in range(2)]
    async with client.ws_connect(f"/v1/realtime?call_id={first}", headers=STANDARD) as socket:
        async with client.post(f"/v1/realtime/calls/{first}/hangup", headers=STANDARD) as answer:
            assert answer.status == 200
        assert await closed(socket) == (1000, "the call is over: hangup")
    async with client.ws_connect(f"/v1/realtime?call_id={second}", headers=STANDARD) as socket:
        await heard(socket, "session.created")
        client.app[PROVIDER].calls.leave_sidebands()
        assert (await closed(socket))[0] == 1001
    assert client.app[PROVIDER].calls.live(second).ended_at is None
