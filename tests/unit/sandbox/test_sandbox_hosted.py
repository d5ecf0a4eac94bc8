"""The provider in a box as Inworld and as Qwen-Omni: what each takes, and how it refuses the rest."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from app.sandbox.config import DEFAULT_ICE_SERVERS
from tests.unit.sandbox.conftest import Client, MakeSandbox

CALLS: Final = "/inworld/v1/realtime/calls"
TOKENS: Final = "/api/v1/tokens"
RTC: Final = "/api/v1/webrtc/realtime?model=qwen3.8-omni-flash-realtime"
INWORLD: Final = {"Authorization": "Bearer sandbox-inworld-key"}
QWEN: Final = {"Authorization": "Bearer sk-sandbox-qwen-key"}
SDP: Final = {"Content-Type": "application/sdp"}


async def post(client: Client, path: str, **options: Any) -> tuple[int, Any]:
    async with client.post(path, **options) as answer:
        body = await answer.text()
        return answer.status, json.loads(body) if answer.content_type == "application/json" else body


# --- Inworld ---------------------------------------------------------------------------------------


async def test_inworld_answers_json_with_its_id_and_ice_servers_and_ends_the_call(
    sandbox: MakeSandbox, offer: str
) -> None:
    client = await sandbox()
    body = {"sdp": offer, "session": {"type": "realtime", "model": "openai/gpt-4o-mini"}}
    status, answer = await post(client, CALLS, json=body, headers=INWORLD)
    assert (status, answer.keys()) == (201, {"id", "sdp", "ice_servers"})
    assert answer["sdp"].startswith("v=0")
    assert answer["ice_servers"] == list(DEFAULT_ICE_SERVERS)
    for expected in (200, 404):
        assert (await post(client, f"{CALLS}/{answer['id']}/hangup", headers=INWORLD))[0] == expected


async def test_inworld_answers_raw_sdp_with_raw_sdp(sandbox: MakeSandbox, offer: str) -> None:
    client = await sandbox()
    async with client.post(CALLS, data=offer, headers=INWORLD | SDP) as answer:
        assert (answer.status, answer.content_type) == (201, "application/sdp")
        assert answer.headers["Location"].startswith("/v1/realtime/calls/")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "sdp"),
        ({"sdp": 7}, "sdp"),
        ({"sdp": "v=0", "extra": 1}, "extra"),
        ({"sdp": "v=0", "session": {}}, "session.type"),
        ({"sdp": "v=0", "session": []}, "session"),
        ([], "body"),
    ],
)
async def test_inworld_names_the_field_that_is_wrong(sandbox: MakeSandbox, body: Any, param: str) -> None:
    status, answer = await post(await sandbox(), CALLS, json=body, headers=INWORLD)
    assert (status, answer["error"]["param"]) == (400, param)


async def test_inworld_asks_for_its_key_everywhere(sandbox: MakeSandbox, offer: str) -> None:
    client = await sandbox()
    for headers in ({}, QWEN):
        assert (await post(client, CALLS, json={"sdp": offer}, headers=headers))[0] == 401
        assert (await post(client, f"{CALLS}/rtc_1/hangup", headers=headers))[0] == 401
        for path in ("/inworld/v1/realtime/ice-servers", "/inworld/v1/realtime?call_id=rtc_1"):
            async with client.get(path, headers=headers) as answer:
                assert answer.status == 401
    async with client.get("/inworld/v1/realtime/ice-servers", headers=INWORLD) as answer:
        assert await answer.json() == {"ice_servers": list(DEFAULT_ICE_SERVERS)}


# --- Qwen-Omni -------------------------------------------------------------------------------------


async def test_qwens_temporary_key_lives_as_long_as_asked_and_opens_a_call(
    sandbox: MakeSandbox, offer: str
) -> None:
    client = await sandbox(now=lambda: 1_000.0)
    status, minted = await post(client, f"{TOKENS}?expire_in_seconds=120", headers=QWEN)
    assert (status, minted["expires_at"]) == (200, 1_120)
    assert minted["token"].startswith("st-")
    assert (await post(client, TOKENS, headers=QWEN))[1]["expires_at"] == 1_060
    headers = SDP | {"Authorization": f"Bearer {minted['token']}"}
    async with client.post(RTC, data=offer, headers=headers) as answer:
        assert (answer.status, answer.content_type) == (200, "application/sdp")
        assert "Location" not in answer.headers
    # It mints no further key.
    assert (await post(client, TOKENS, headers=headers))[0] == 401


async def test_qwen_may_take_permanent_keys_only(sandbox: MakeSandbox, offer: str) -> None:
    client = await sandbox(qwen_temporary_calls=False)
    token = (await post(client, TOKENS, headers=QWEN))[1]["token"]
    refused = await post(client, RTC, data=offer, headers=SDP | {"Authorization": f"Bearer {token}"})
    assert (refused[0], refused[1]["code"]) == (401, "InvalidApiKey")
    assert (await post(client, RTC, data=offer, headers=SDP | QWEN))[0] == 200


@pytest.mark.parametrize("seconds", ["0", "1801", "-1", "x", ""])
async def test_qwen_mints_no_key_of_another_life(sandbox: MakeSandbox, seconds: str) -> None:
    status, body = await post(await sandbox(), f"{TOKENS}?expire_in_seconds={seconds}", headers=QWEN)
    assert (status, body["code"]) == (400, "InvalidParameter")
    assert body.keys() == {"code", "message", "request_id"}


@pytest.mark.parametrize(
    ("path", "headers", "status", "code"),
    [
        (RTC, SDP, 401, "InvalidApiKey"),
        (RTC, SDP | INWORLD, 401, "InvalidApiKey"),
        (RTC, QWEN | {"Content-Type": "text/plain"}, 400, "InvalidParameter"),
        (RTC.partition("?")[0], QWEN | SDP, 404, "ModelNotFound"),
        (RTC + "&more=1", QWEN | SDP, 400, "InvalidParameter"),
    ],
)
async def test_qwen_refuses_in_its_own_form(
    sandbox: MakeSandbox, path: str, headers: dict[str, str], status: int, code: str
) -> None:
    refused = await post(await sandbox(), path, data="no offer", headers=headers)
    assert (refused[0], refused[1]["code"]) == (status, code)
