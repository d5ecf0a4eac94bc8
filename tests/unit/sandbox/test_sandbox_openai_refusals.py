"""The sandbox refuses what OpenAI refuses, with OpenAI's status and code."""

from __future__ import annotations

import io
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import FormData

if TYPE_CHECKING:
    from tests.unit.sandbox.conftest import MakeSandbox

Minted = Callable[..., Awaitable[str]]
KEY = "sk-test-0123456789abcdef"
SECRETS = "/v1/realtime/client_secrets"
CALLS = "/v1/realtime/calls"
TRANSLATION_SECRETS = "/v1/realtime/translations/client_secrets"
REALTIME = {"type": "realtime", "model": "gpt-realtime-2.1"}
BETA = {"OpenAI-Beta": "realtime=v1"}


def life(seconds: Any) -> dict[str, Any]:
    return {"session": REALTIME, "expires_after": {"anchor": "created_at", "seconds": seconds}}


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "param"),
    [
        (SECRETS, {"model": "gpt-realtime-2.1"}, 400, "unknown_parameter", "model"),
        (SECRETS, {"session": {"model": "x"}}, 400, "missing_required_parameter", "session.type"),
        (SECRETS, {"session": {"type": "chat"}}, 400, "invalid_value", "session.type"),
        (SECRETS, {"session": "realtime"}, 400, "invalid_type", "session"),
        (SECRETS, {"session": {"type": "realtime", "model": 4}}, 400, "invalid_type", "session.model"),
        (SECRETS, [], 400, "invalid_type", "body"),
        (SECRETS, {"session": {"type": "realtime", "model": "gpt-4o"}}, 404, "model_not_found", None),
        (SECRETS, life(9), 400, "integer_below_min_value", "expires_after.seconds"),
        (SECRETS, life(7201), 400, "integer_above_max_value", "expires_after.seconds"),
        (SECRETS, life("60"), 400, "invalid_type", "expires_after.seconds"),
        (SECRETS, life(True), 400, "invalid_type", "expires_after.seconds"),
        (SECRETS, life(60.5), 400, "invalid_type", "expires_after.seconds"),
        (SECRETS, {"expires_after": {"anchor": "now"}}, 400, "invalid_value", "expires_after.anchor"),
        (SECRETS, {"expires_after": {"s": 1}}, 400, "unknown_parameter", "expires_after.s"),
        (SECRETS, {"expires_after": 60}, 400, "invalid_type", "expires_after"),
        (TRANSLATION_SECRETS, {}, 400, "missing_required_parameter", "session"),
        (TRANSLATION_SECRETS, {"session": {}}, 400, "missing_required_parameter", "session.model"),
        (TRANSLATION_SECRETS, {"session": {"model": "gpt-realtime-2.1"}}, 404, "model_not_found", None),
        ("/v1/realtime/sessions", {}, 400, "missing_required_parameter", "model"),
        ("/v1/realtime/sessions", {"model": "gpt-4o"}, 404, "model_not_found", None),
        ("/v1/realtime/nothing", {}, 404, None, None),
        ("/v1/realtime/calls/rtc_none/hangup", {}, 404, "call_id_not_found", "call_id"),
    ],
)
async def test_a_bad_request_with_a_good_key(
    sandbox: MakeSandbox, path: str, body: Any, status: int, code: str | None, param: str | None
) -> None:
    client = await sandbox()
    headers = {"Authorization": f"Bearer {KEY}", **BETA}
    async with client.post(path, json=body, headers=headers) as answer:
        error = (await answer.json())["error"]
        assert (answer.status, error["code"], error["param"]) == (status, code, param), error
        assert error["type"] == "invalid_request_error"
        assert set(error) == {"message", "type", "param", "code"}
        assert answer.headers["x-request-id"].startswith("req_")
    state = await (await client.get("/_sandbox/state")).json()
    assert state["keys"]["minted"] == 0


@pytest.mark.parametrize("path", [SECRETS, CALLS, f"{CALLS}/rtc_x/hangup", "/v1/realtime/sessions"])
async def test_no_key_and_a_wrong_key_are_401_and_the_message_echoes_the_key_masked(
    sandbox: MakeSandbox, path: str
) -> None:
    client = await sandbox()
    wrong = "sk-proj-SECRETSECRETSECRET-tail"
    for headers in ({}, {"Authorization": "Basic abc"}, {"Authorization": "Bearer "}):
        async with client.post(path, json={}, headers=headers) as answer:
            assert answer.status == 401
            assert "didn't provide an API key" in (await answer.json())["error"]["message"]
    async with client.post(path, json={}, headers={"Authorization": f"Bearer {wrong}"}) as answer:
        error = (await answer.json())["error"]
    assert (answer.status, error["code"]) == (401, "invalid_api_key")
    assert wrong not in error["message"]
    assert "sk-proj-" in error["message"]
    assert "tail" in error["message"]


async def test_an_ephemeral_key_neither_mints_nor_hangs_up(sandbox: MakeSandbox, minted: Minted) -> None:
    client = await sandbox()
    headers = {"Authorization": f"Bearer {await minted(client)}"}
    for path in (SECRETS, f"{CALLS}/rtc_x/hangup"):
        async with client.post(path, json={}, headers=headers) as answer:
            assert answer.status == 401


@pytest.mark.parametrize(
    ("raw", "content_type", "code"),
    [
        (b"{", "application/json", None),
        (b'"\xff"', "application/json", None),
        (b'{"session":{"type":"realtime"}}', "text/plain", "unsupported_content_type"),
        (b"session=1", "application/x-www-form-urlencoded", "unsupported_content_type"),
    ],
)
async def test_a_mint_body_that_is_no_json(
    sandbox: MakeSandbox, raw: bytes, content_type: str, code: str | None
) -> None:
    client = await sandbox()
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": content_type}
    async with client.post(SECRETS, data=raw, headers=headers) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"]["code"] == code


@pytest.mark.parametrize("peer", ["static", "webrtc"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"\xff\xfe",
        b"<html>",
        b"v=0\r\n",
        b'{"sdp":"v=0"}',
        b"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n",
    ],
)
async def test_an_offer_that_is_no_sdp(sandbox: MakeSandbox, minted: Minted, body: bytes, peer: str) -> None:
    client = await sandbox(peer=peer)
    headers = {"Authorization": f"Bearer {await minted(client)}", "Content-Type": "application/sdp"}
    async with client.post(CALLS, data=body, headers=headers) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"]["code"] == "invalid_offer"
    assert (await (await client.get("/_sandbox/state")).json())["calls"]["opened"] == 0


@pytest.mark.parametrize(
    "cut", ["a=ice-ufrag", "a=ice-pwd", "a=fingerprint", "a=setup", "m=audio", "a=rtpmap:111"]
)
async def test_an_offer_without_a_part_that_it_needs(
    sandbox: MakeSandbox, minted: Minted, offer: str, cut: str
) -> None:
    client = await sandbox()
    body = "\r\n".join(line for line in offer.split("\r\n") if not line.startswith(cut))
    headers = {"Authorization": f"Bearer {await minted(client)}", "Content-Type": "application/sdp"}
    async with client.post(CALLS, data=body, headers=headers) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"]["code"] == "invalid_offer"


async def test_an_ephemeral_key_takes_raw_sdp_only(sandbox: MakeSandbox, minted: Minted, offer: str) -> None:
    client = await sandbox()
    bearer = {"Authorization": f"Bearer {await minted(client)}"}
    async with client.post(CALLS, json={"sdp": offer}, headers=bearer) as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (400, "unsupported_content_type")
    async with client.post(CALLS, data={"sdp": offer, "session": "{}"}, headers=bearer) as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (400, "unsupported_content_type")


async def test_a_standard_key_must_bring_a_session(sandbox: MakeSandbox, offer: str) -> None:
    client = await sandbox()
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/sdp"}
    async with client.post(CALLS, data=offer, headers=headers) as answer:
        error = (await answer.json())["error"]
        assert (answer.status, error["code"], error["param"]) == (
            400,
            "missing_required_parameter",
            "session",
        )
    async with client.post(CALLS, params={"model": "gpt-4o"}, data=offer, headers=headers) as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (404, "model_not_found")
    async with client.post(
        CALLS, params={"model": "gpt-realtime-2.1"}, data=offer, headers=headers
    ) as answer:
        assert answer.status == 201


@pytest.mark.parametrize(
    ("parts", "code", "param"),
    [
        ({"session": json.dumps(REALTIME)}, "missing_required_parameter", "sdp"),
        ({"sdp": "v=0"}, "missing_required_parameter", "session"),
        ({"sdp": "v=0", "session": json.dumps(REALTIME)}, "invalid_offer", "sdp"),
        ({"sdp": "v=0", "session": "{"}, None, None),
        ({"sdp": "v=0", "session": "{}"}, "missing_required_parameter", "session.type"),
        ({"sdp": "v=0", "session": "{}", "more": "1"}, "unknown_parameter", "more"),
    ],
)
async def test_a_multipart_call_with_a_bad_part(
    sandbox: MakeSandbox, parts: dict[str, str], code: str | None, param: str | None
) -> None:
    client = await sandbox()
    form = FormData(default_to_multipart=True)
    for name, value in parts.items():
        form.add_field(name, value)
    async with client.post(CALLS, data=form, headers={"Authorization": f"Bearer {KEY}"}) as answer:
        error = (await answer.json())["error"]
        assert (answer.status, error["code"], error["param"]) == (400, code, param), error


async def test_the_beta_paths_need_the_beta_header(sandbox: MakeSandbox) -> None:
    client = await sandbox()
    for path in ("/v1/realtime/sessions", "/v1/realtime/transcription_sessions"):
        headers = {"Authorization": f"Bearer {KEY}"}
        async with client.post(path, json={"model": "gpt-realtime-2.1"}, headers=headers) as answer:
            assert answer.status == 400
            assert "OpenAI-Beta" in (await answer.json())["error"]["message"]


async def test_a_get_and_a_body_over_a_megabyte(sandbox: MakeSandbox) -> None:
    client = await sandbox()
    async with client.get(SECRETS) as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (405, "method_not_supported")
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    async with client.post(SECRETS, data=io.BytesIO(b" " * (2**20 + 1)), headers=headers) as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (413, "request_too_large")


async def test_a_closed_list_of_models_is_closed(sandbox: MakeSandbox) -> None:
    client = await sandbox(openai_models=("gpt-realtime-2",))
    headers = {"Authorization": f"Bearer {KEY}"}
    for model, status in (("gpt-realtime-2", 200), ("gpt-realtime-2.1", 404)):
        body = {"session": {"type": "realtime", "model": model}}
        async with client.post(SECRETS, json=body, headers=headers) as answer:
            assert answer.status == status
