"""What an operator fixes for a model holds, and several deployments stand in for each other."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from app.store import keys
from tests.conftest import ServiceFactory
from tests.support.handles import claims_of
from tests.support.planted import Planted
from tests.support.service import Service

Configure = Callable[..., Awaitable[Service]]
SUBJECT_KEY = "a-subject-key-of-32-random-chars"
POLICY = {
    "deployments": ["main"],
    "defaults": {"audio": {"output": {"voice": "marin", "speed": 1.1}}},
    "locked": {"instructions": "You sell shoes.", "tools": [], "audio": {"input": {"noise_reduction": None}}},
    "strip_instructions": True,
    "min_seconds": 30,
    "max_seconds": 120,
    "default_seconds": 60,
    "max_calls": 1,
}


class Recorder:
    """The bodies and headers that a provider got, seen on the way."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []

    async def mint(self, request: web.Request) -> web.Response:
        import time

        body = await request.json()
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        seconds = body.get("expires_after", {}).get("seconds", 600)
        answer = {
            "value": "ek_" + "r" * 32,
            "expires_at": int(time.time()) + seconds,
            "session": {"id": "sess_1", **body["session"]},
        }
        return web.json_response(answer)


@pytest.fixture
async def recorder() -> Any:
    seen = Recorder()
    app = web.Application()
    app.add_routes([web.post("/v1/realtime/client_secrets", seen.mint)])
    server = TestServer(app)
    await server.start_server()
    yield seen, str(server.make_url("/v1"))
    await server.close()


@pytest.fixture
async def pinned(service_factory: ServiceFactory, recorder: Any, planted: Planted) -> Any:
    seen, url = recorder
    deployment = {"provider": "openai", "base_url": url, "api_key": planted.openai_key}
    service = await service_factory(
        CLOAKROOM_DEPLOYMENTS=json.dumps({"main": deployment}),
        CLOAKROOM_MODELS=json.dumps({"shoes": POLICY, "open": "main", "scribe": "main"}),
        CLOAKROOM_SUBJECT_KEY=SUBJECT_KEY,
    )
    return service, seen


async def test_defaults_lie_below_and_locked_fields_above_the_callers_session(pinned: Any) -> None:
    service, seen = pinned
    reply = await service.mint(
        {"model": "shoes", "session": {"audio": {"output": {"voice": "verse"}}, "future": 1}}
    )
    assert reply.status == 200, reply
    (body,) = seen.bodies
    assert body["session"]["audio"]["output"] == {"voice": "verse", "speed": 1.1}
    assert body["session"]["instructions"] == "You sell shoes."
    assert body["session"]["tools"] == []
    assert body["session"]["future"] == 1
    assert body["expires_after"]["seconds"] == 60
    # Neither the caller nor the browser behind it reads the operator's instructions.
    assert "You sell shoes" not in reply.text
    assert reply.json["session"]["model"] == "shoes"


@pytest.mark.parametrize(
    ("session", "param"),
    [
        ({"instructions": "Give everything away."}, "session.instructions"),
        ({"tools": [{"type": "function", "name": "refund"}]}, "session.tools"),
        (
            {"audio": {"input": {"noise_reduction": {"type": "far_field"}}}},
            "session.audio.input.noise_reduction",
        ),
        ({"audio": None}, "session.audio"),
    ],
)
async def test_a_locked_field_cannot_be_changed(pinned: Any, session: Any, param: str) -> None:
    service, seen = pinned
    reply = await service.mint({"model": "shoes", "session": session})
    assert (reply.status, reply.code, reply.json["error"]["param"]) == (400, "invalid_request", param)
    assert seen.bodies == []


@pytest.mark.parametrize("seconds", [29, 121])
async def test_a_models_own_bounds_on_the_life_hold(pinned: Any, seconds: int) -> None:
    service, seen = pinned
    reply = await service.mint({"model": "shoes", "expires_after": {"seconds": seconds}})
    assert (reply.code, reply.json["error"]["param"]) == ("invalid_request", "expires_after.seconds")
    assert "30 to 120" in reply.json["error"]["message"]
    assert seen.bodies == []


async def test_a_models_own_number_of_calls_is_on_the_record(pinned: Any) -> None:
    service, _ = pinned
    for model, calls in (("shoes", "1"), ("open", None)):
        handle = (await service.mint({"model": model})).json["value"]
        assert await service.store_client.hget(keys.handle(claims_of(handle)["jti"]), "max_calls") == calls


async def test_the_safety_identifier_is_passed_on_or_made_from_the_subject(pinned: Any) -> None:
    service, seen = pinned
    await service.mint({"model": "open"}, **{"OpenAI-Safety-Identifier": "user-hash-1"})
    await service.mint({"model": "open"}, **{"x-cloakroom-subject": "alice@example.com"})
    await service.mint({"model": "open"})
    sent = [headers.get("OpenAI-Safety-Identifier") for headers in seen.headers]
    hashed = hmac.new(SUBJECT_KEY.encode(), b"alice@example.com", hashlib.sha256).hexdigest()
    assert sent == ["user-hash-1", hashed, None]
    assert all("alice" not in str(headers) for headers in seen.headers)


async def test_nothing_that_a_caller_sends_chooses_a_url_a_header_or_a_credential(pinned: Any) -> None:
    service, seen = pinned
    reply = await service.mint(
        {"model": "open", "session": {"base_url": "http://evil", "api_key": "k", "headers": {"x": "y"}}},
        **{
            "X-Forwarded-Host": "evil.example.com",
            "api-key": "other",
            "OpenAI-Organization": "org-evil",
            "OpenAI-Project": "proj-evil",
            "Cookie": "a=b",
            "X-Custom": "1",
        },
    )
    assert reply.status == 200
    (headers,) = seen.headers
    assert headers["Authorization"] == f"Bearer {service.planted.openai_key}"
    allowed = {
        "host",
        "authorization",
        "content-type",
        "accept",
        "user-agent",
        "accept-encoding",
        "content-length",
    }
    assert {name.lower() for name in headers} <= allowed


async def two_deployments(
    service_factory: ServiceFactory, first_url: str, models: Any, planted: Planted
) -> Service:
    """``first`` is at the given URL; ``second`` is the factory's own provider."""
    service = await service_factory()
    second = f"http://{service.sandbox.host}:{service.sandbox.port}/v1"
    again = await service_factory(
        CLOAKROOM_DEPLOYMENTS=json.dumps(
            {
                "first": {"provider": "openai", "base_url": first_url, "api_key": planted.openai_key},
                "second": {"provider": "openai", "base_url": second, "api_key": planted.openai_key},
            }
        ),
        CLOAKROOM_MODELS=json.dumps(models),
    )
    again.provider = service.provider
    return again


BOTH = {
    "gpt-realtime-2.1": {"deployments": [{"deployment": "first"}, {"deployment": "second", "priority": 1}]}
}


async def test_a_mint_that_fails_on_one_deployment_goes_to_the_next_and_the_handle_remembers(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    service = await two_deployments(service_factory, "http://127.0.0.1:9/v1", BOTH, planted)
    for _ in range(2):
        handle = await service.minted()
        record = await service.store_client.hgetall(keys.handle(claims_of(handle)["jti"]))
        assert record["deployment"] == "second"
        # The relay goes where the handle was minted.
        assert (await service.relay(handle)).status == 201


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
async def test_a_deployment_that_refuses_is_left_for_the_next(
    service_factory: ServiceFactory, planted: Planted, status: int
) -> None:
    asked = 0

    async def refuse(request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return web.json_response({"error": {"message": "no", "code": "x"}}, status=status)

    app = web.Application()
    app.add_routes([web.post("/v1/realtime/client_secrets", refuse)])
    server = TestServer(app)
    await server.start_server()
    try:
        service = await two_deployments(service_factory, str(server.make_url("/v1")), BOTH, planted)
        assert await service.minted()
        assert asked == 1
        # For a while the one that failed comes last, so it costs the next mint nothing.
        assert await service.minted()
        assert asked == 1
    finally:
        await server.close()


async def test_a_session_that_the_provider_refuses_is_not_tried_elsewhere(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    async def refuse(request: web.Request) -> web.Response:
        error = {"message": "Unknown voice.", "code": "invalid_value", "param": "session.audio.output.voice"}
        return web.json_response({"error": error}, status=400)

    app = web.Application()
    app.add_routes([web.post("/v1/realtime/client_secrets", refuse)])
    server = TestServer(app)
    await server.start_server()
    try:
        service = await two_deployments(service_factory, str(server.make_url("/v1")), BOTH, planted)
        reply = await service.mint()
        assert (reply.status, reply.code) == (400, "invalid_value")
        assert service.asked("/client_secrets") == 0
    finally:
        await server.close()


async def test_when_all_deployments_fail_the_last_failure_is_told(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    models = {"gpt-realtime-2.1": {"deployments": ["first"]}}
    service = await two_deployments(service_factory, "http://127.0.0.1:9/v1", models, planted)
    reply = await service.mint()
    assert (reply.status, reply.code) == (502, "upstream_unreachable")


async def test_a_nested_transcription_model_is_checked_and_renamed(
    service_factory: ServiceFactory, recorder: Any, planted: Planted
) -> None:
    seen, url = recorder
    main = {"provider": "openai", "base_url": url, "api_key": planted.openai_key}
    key = "sk-client-" + "k" * 8 + planted.client_key
    service = await service_factory(
        CLOAKROOM_DEPLOYMENTS=json.dumps({"main": main, "tr": {**main, "model": "gpt-4o-transcribe"}}),
        CLOAKROOM_MODELS=json.dumps({"voice": "main", "scribe": "tr", "other": "main"}),
        CLOAKROOM_CLIENTS=json.dumps({"web": {"api_key": key, "models": ["voice", "scribe"]}}),
    )

    async def mint(nested: str) -> Any:
        session = {"model": "voice", "audio": {"input": {"transcription": {"model": nested}}}}
        return await service.post(
            "/v1/realtime/client_secrets",
            data=orjson.dumps({"session": session}),
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        )

    reply = await mint("scribe")
    assert reply.status == 200
    assert seen.bodies[0]["session"]["audio"]["input"]["transcription"]["model"] == "gpt-4o-transcribe"
    assert reply.json["session"]["audio"]["input"]["transcription"]["model"] == "scribe"
    param = "session.audio.input.transcription.model"
    for nested, status, code in (("other", 403, "model_not_allowed"), ("nobody", 404, "model_not_found")):
        reply = await mint(nested)
        assert (reply.status, reply.code, reply.json["error"]["param"]) == (status, code, param)
    assert len(seen.bodies) == 1
