"""The sandbox refuses what Azure OpenAI refuses, with Azure's status, code and shape."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.unit.sandbox.conftest import MakeSandbox

Minted = Callable[..., Awaitable[str]]
KEY = {"api-key": "azure-test-0123456789abcdef"}
SECRETS = "/openai/v1/realtime/client_secrets"
CALLS = "/openai/v1/realtime/calls"
PREVIEW = "/openai/realtimeapi/sessions"
VERSION = {"api-version": "2025-04-01-preview"}


def session(model: str | None, kind: str | None = "realtime") -> dict[str, Any]:
    asked = {"type": kind, "model": model}
    return {"session": {name: value for name, value in asked.items() if value is not None}}


def listening(model: str) -> dict[str, Any]:
    return {"input": {"transcription": {"model": model}}}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "missing_required_parameter"),
        (session("voice-prod", None), 400, "missing_required_parameter"),
        (session(None), 400, "missing_required_parameter"),
        (session("gpt-realtime-2.1"), 400, "OpperationNotSupported"),
        (session("gpt-4o-realtime-preview"), 400, "OpperationNotSupported"),
        (session("chat"), 400, "OpperationNotSupported"),
        (session("scribe"), 400, "OpperationNotSupported"),
        (session("nobody"), 404, "DeploymentNotFound"),
        (
            {
                "session": {
                    "type": "transcription",
                    "audio": {"input": {"transcription": {"model": "voice-prod"}}},
                }
            },
            400,
            "OpperationNotSupported",
        ),
        (
            {
                "session": {
                    "type": "transcription",
                    "audio": {"input": {"transcription": {"model": "whisper-1"}}},
                }
            },
            404,
            "DeploymentNotFound",
        ),
        (
            {"session": {**session("voice-prod")["session"], "audio": listening("whisper-1")}},
            404,
            "DeploymentNotFound",
        ),
        (
            {"session": {**session("voice-prod")["session"], "audio": listening("voice-mini")}},
            400,
            "OpperationNotSupported",
        ),
        ({**session("voice-prod"), "expires_after": {"seconds": 5}}, 400, "integer_below_min_value"),
    ],
)
async def test_a_bad_mint_with_a_good_key(
    sandbox: MakeSandbox, body: dict[str, Any], status: int, code: str
) -> None:
    client = await sandbox()
    async with client.post(SECRETS, json=body, headers=KEY) as answer:
        error = (await answer.json())["error"]
    assert (answer.status, error["code"]) == (status, code)
    assert set(error) == {"code", "message"}
    assert (await (await client.get("/_sandbox/state")).json())["keys"]["minted"] == 0


@pytest.mark.parametrize("path", [SECRETS, CALLS, f"{CALLS}/rtc_x/hangup"])
async def test_an_api_version_on_a_ga_path_is_401(
    sandbox: MakeSandbox, minted: Minted, offer: str, path: str
) -> None:
    client = await sandbox()
    headers = {"Content-Type": "application/sdp", **KEY}
    headers["Authorization"] = f"Bearer {await minted(client, SECRETS)}"
    async with client.post(path, params=VERSION, data=offer, headers=headers) as answer:
        assert answer.status == 401
        assert "api-version" in (await answer.json())["error"]["message"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"api-key": "wrong"},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Bearer {KEY['api-key']}"},
    ],
    ids=["none", "wrong-key", "wrong-token", "key-as-bearer"],
)
async def test_wrong_credentials_are_401_in_azures_shape(
    sandbox: MakeSandbox, headers: dict[str, str]
) -> None:
    client = await sandbox()
    for path in (SECRETS, f"{CALLS}/rtc_x/hangup"):
        async with client.post(path, json=session("voice-prod"), headers=headers) as answer:
            error = (await answer.json())["error"]
        assert (answer.status, error["code"]) == (401, "401")
        assert set(error) == {"code", "message"}


async def test_an_entra_token_mints(sandbox: MakeSandbox) -> None:
    client = await sandbox()
    headers = {"Authorization": "Bearer entra-token-for-tests"}
    async with client.post(SECRETS, json=session("voice-prod"), headers=headers) as answer:
        assert answer.status == 200


async def test_preview_and_unknown_paths_are_not_found_on_a_ga_resource(sandbox: MakeSandbox) -> None:
    client = await sandbox()
    for path in (PREVIEW, "/openai/deployments/voice-prod/realtime", "/openai/v1/nothing", "/v1/realtimertc"):
        async with client.post(path, params=VERSION, json={}, headers=KEY) as answer:
            error = (await answer.json())["error"]
        assert (answer.status, error) == (404, {"code": "404", "message": "Resource not found"})


async def test_azure_calls_take_raw_sdp_and_an_ephemeral_key_only(
    sandbox: MakeSandbox, minted: Minted, offer: str
) -> None:
    client = await sandbox()
    bearer = {"Authorization": f"Bearer {await minted(client, SECRETS)}"}
    async with client.post(CALLS, data={"sdp": offer, "session": "{}"}, headers=bearer) as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (400, "unsupported_content_type")
    sdp = {"Content-Type": "application/sdp"}
    async with client.post(CALLS, data=offer, headers={**sdp, **KEY}) as answer:
        assert answer.status == 401
    async with client.post(CALLS, data=offer, headers={**sdp, **bearer}) as answer:
        assert answer.status == 201
        location = answer.headers["Location"]
    assert location.startswith(f"{CALLS}/rtc_")
    async with client.post(f"{location}/hangup", headers=KEY) as answer:
        assert answer.status == 200
    async with client.post(f"{location}/hangup", headers=KEY) as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (404, "call_id_not_found")


async def test_a_key_of_one_provider_is_foreign_to_the_other(
    sandbox: MakeSandbox, minted: Minted, offer: str
) -> None:
    client = await sandbox()
    for mint_path, call_path in (("/v1/realtime/client_secrets", CALLS), (SECRETS, "/v1/realtime/calls")):
        key = await minted(client, mint_path)
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/sdp"}
        async with client.post(call_path, data=offer, headers=headers) as answer:
            assert answer.status == 401


async def test_the_preview_surface_of_an_older_resource(sandbox: MakeSandbox, offer: str) -> None:
    client = await sandbox(azure_preview=True)
    body = {"model": "voice-prod", "voice": "alloy"}
    async with client.post(PREVIEW, json=body, headers=KEY) as answer:
        assert answer.status == 404
    async with client.post(PREVIEW, params={"api-version": "2024-01-01"}, json=body, headers=KEY) as answer:
        assert (answer.status, (await answer.json())["error"]["message"]) == (500, PREVIEW)
    async with client.post(
        PREVIEW, params=VERSION, json={"model": "gpt-realtime-2.1"}, headers=KEY
    ) as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (400, "OpperationNotSupported")
    async with client.post(PREVIEW, params=VERSION, json=body, headers=KEY) as answer:
        assert answer.status == 200
        minted = await answer.json()
    assert minted["id"].startswith("sess_")
    headers = {
        "Authorization": f"Bearer {minted['client_secret']['value']}",
        "Content-Type": "application/sdp",
    }
    async with client.post("/v1/realtimertc", data=offer, headers=headers) as answer:
        assert answer.status == 404, "the model is in the query"
    params = {"model": "voice-prod"}
    async with client.post("/v1/realtimertc", params=params, data=offer, headers=headers) as answer:
        assert (answer.status, answer.headers["Content-Type"]) == (200, "application/sdp")
        assert (await answer.text()).startswith("v=0")
    async with client.post(CALLS, data=offer, headers=headers) as answer:
        assert answer.status == 401, "a preview key does not open the GA path"
