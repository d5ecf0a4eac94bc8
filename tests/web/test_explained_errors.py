"""A provider's refusal, through the whole service: its status and code, and which setting to change."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from app.sandbox import SandboxConfig
from tests.conftest import ServiceFactory
from tests.support.planted import Planted
from tests.support.service import Service

AZURE = {"provider": "azure", "base_url": "{provider}", "model": "voice-prod"}
PREVIEW = {
    "provider": "azure-preview",
    "base_url": "{provider}",
    "webrtc_url": "{provider}",
    "model": "voice-prod",
}
MINT_REFUSALS: list[tuple[dict[str, Any], dict[str, Any], int, str, tuple[str, ...]]] = [
    ({**AZURE, "model": "chat"}, {}, 400, "OpperationNotSupported", ("deployments.voice.model", "region")),
    (
        {**AZURE, "model": "gpt-realtime-2.1"},
        {},
        400,
        "OpperationNotSupported",
        ("a model instead of a deployment",),
    ),
    ({**AZURE, "model": "no-such"}, {}, 404, "DeploymentNotFound", ("deployments.voice.model",)),
    (
        {**AZURE, "api_key": "0" * 32},
        {},
        401,
        "401",
        ("deployments.voice.api_key", "deployments.voice.base_url"),
    ),
    (PREVIEW, {"azure_preview": False}, 404, "404", ("deployments.voice.base_url", "provider to azure if")),
    (
        {**PREVIEW, "api_version": "2024-10-01-preview"},
        {"azure_preview": True},
        500,
        "InternalServerError",
        ("deployments.voice.api_version", "2025-04-01-preview"),
    ),
    ({**PREVIEW, "model": "no-such"}, {"azure_preview": True}, 404, "DeploymentNotFound", ("voice.model",)),
    (
        {"provider": "openai", "base_url": "{provider}/v1", "api_key": "sk-of-another-project-0123"},
        {},
        401,
        "invalid_api_key",
        ("deployments.voice.api_key",),
    ),
    (
        {"provider": "openai", "base_url": "{provider}/v1", "model": "gpt-9"},
        {},
        404,
        "model_not_found",
        ("deployments.voice.model",),
    ),
    (
        {"provider": "openai", "base_url": "{provider}"},
        {},
        404,
        "upstream_error",
        ("voice.base_url must end",),
    ),
]


async def one_deployment(
    service_factory: ServiceFactory, planted: Planted, deployment: dict[str, Any], **sandbox: Any
) -> Service:
    """A service whose model ``gpt-realtime-2.1`` is this deployment, named ``voice``."""
    key = planted.openai_key if deployment["provider"] == "openai" else planted.azure_key
    config = SandboxConfig(
        **{
            "openai_keys": (planted.openai_key,),
            "azure_keys": (planted.azure_key,),
            "peer": "static",
            **sandbox,
        }
    )
    return await service_factory(
        sandbox=config,
        CLOAKROOM_DEPLOYMENTS=orjson.dumps({"voice": {"api_key": key, **deployment}}).decode(),
        CLOAKROOM_MODELS='{"gpt-realtime-2.1": "voice"}',
    )


@pytest.mark.parametrize(("deployment", "sandbox", "status", "code", "says"), MINT_REFUSALS)
async def test_a_refused_mint_says_what_to_change(
    service_factory: ServiceFactory,
    planted: Planted,
    deployment: dict[str, Any],
    sandbox: dict[str, Any],
    status: int,
    code: str,
    says: tuple[str, ...],
) -> None:
    service = await one_deployment(service_factory, planted, deployment, **sandbox)
    reply = await service.mint()
    assert (reply.status, reply.code) == (status, code), reply
    message = reply.json["error"]["message"]
    for words in says:
        assert words in message
    for hidden in ("127.0.0.1", str(deployment.get("api_key", "sk-")), planted.azure_key, planted.openai_key):
        assert hidden not in message


@pytest.mark.parametrize("deployment", [AZURE, PREVIEW, {"provider": "openai", "base_url": "{provider}/v1"}])
async def test_a_key_that_died_early_says_to_mint_again(
    service_factory: ServiceFactory, planted: Planted, deployment: dict[str, Any]
) -> None:
    service = await one_deployment(service_factory, planted, deployment, azure_preview=True)
    operation = "sessions" if deployment is PREVIEW else "client_secrets"
    service.fault("expire_early", operation, seconds=0.0)
    handle = await service.minted()
    await asyncio.sleep(0.01)
    reply = await service.relay(handle)
    assert reply.status == 401
    assert "mint a new handle and make a new offer" in reply.json["error"]["message"]


async def test_an_exhausted_quota_says_that_waiting_does_not_help(service: Service) -> None:
    body = '{"error": {"message": "You exceeded your quota.", "type": "x", "code": "insufficient_quota"}}'
    service.fault("status", "client_secrets", status=429, times=0, body=body)
    reply = await service.mint()
    assert (reply.status, reply.code) == (429, "insufficient_quota")
    message = reply.json["error"]["message"]
    assert message.startswith("You exceeded your quota. ")
    assert "deployments.openai.api_key (OPENAI_API_KEY)" in message
    assert "waiting does not help" in message


async def test_too_many_calls_at_once_say_what_to_raise(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    service = await one_deployment(
        service_factory,
        planted,
        {"provider": "openai", "base_url": "{provider}/v1"},
        peer="webrtc",
        peer_cap=0,
    )
    reply = await service.relay(await service.minted())
    assert (reply.status, reply.code) == (429, "rate_limit_exceeded")
    assert "The rate limit of the project of deployments.voice.api_key is reached" in reply.text


async def test_a_token_that_the_resource_refuses_points_to_the_identity(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    """Microsoft's front door answers in a shape of its own, which is no reason for a blank 502."""
    service = await one_deployment(service_factory, planted, AZURE)
    body = '{"statusCode": 401, "message": "Unauthorized. Access token is missing, invalid, or has expired."}'
    service.fault("status", "client_secrets", status=401, times=0, body=body)
    reply = await service.mint()
    assert (reply.status, reply.code) == (401, "upstream_error")
    assert "deployments.voice.api_key" in reply.text
