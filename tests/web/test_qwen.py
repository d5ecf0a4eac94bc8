"""Qwen-Omni through the whole service: its temporary keys never leave it, and what it cannot do is said."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from app.sandbox import SandboxConfig
from app.settings import SettingsError, load_settings
from app.store.embedded.engine import LocalEngine
from tests.conftest import ServiceFactory
from tests.support.planted import Planted
from tests.support.service import Service
from tests.support.sinks import store_dump

MODEL = "qwen3.8-omni-flash-realtime"


def deployment(planted: Planted, **more: Any) -> dict[str, Any]:
    return {
        "provider": "qwen",
        "base_url": "{provider}",
        "api_key": planted.openai_key,
        "model": MODEL,
        **more,
    }


async def at_qwen(
    service_factory: ServiceFactory, planted: Planted, *, temporary_calls: bool = True, **more: Any
) -> Service:
    return await service_factory(
        SandboxConfig(qwen_keys=(planted.openai_key,), qwen_temporary_calls=temporary_calls, peer="static"),
        CLOAKROOM_DEPLOYMENTS=orjson.dumps({"qwen": deployment(planted, **more)}).decode(),
        CLOAKROOM_MODELS='{"assistant": "qwen"}',
    )


def sent(service: Service, operation: str) -> list[dict[str, str]]:
    """The headers of each such request to the provider."""
    entries: list[dict[str, Any]] = service.provider.journal.reports()
    return [dict(one["headers"]) for one in entries if one["operation"] == operation]


async def test_the_temporary_key_creates_the_call_and_stays_here(
    service_factory: ServiceFactory,
    planted: Planted,
    engine: LocalEngine,
    capfd: pytest.CaptureFixture[str],
) -> None:
    service = await at_qwen(service_factory, planted)
    minted = await service.mint({"model": "assistant", "expires_after": {"seconds": 120}})
    assert minted.status == 200, minted
    now = service.provider.clock.time()
    assert now + 118 <= minted.json["expires_at"] <= now + 120
    assert minted.json["session"] == {"type": "realtime", "model": "assistant"}
    relayed = await service.relay(minted.json["value"])
    assert relayed.status == 201, relayed
    assert "location" not in relayed.headers
    assert sent(service, "tokens")[0]["Authorization"] == f"Bearer {planted.openai_key}"
    token = sent(service, "calls")[0]["Authorization"].removeprefix("Bearer ")
    assert token.startswith("st-")
    written = "\n".join([*capfd.readouterr(), *(await store_dump(engine.url))])
    for text in (minted.text, str(minted.headers), relayed.text, str(relayed.headers), written):
        assert token not in text
        assert planted.openai_key not in text


async def test_without_a_wanted_life_the_provider_decides(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    service = await at_qwen(service_factory, planted)
    minted = await service.mint({"model": "assistant"})
    now = service.provider.clock.time()
    assert now + 58 <= minted.json["expires_at"] <= now + 60


async def test_a_life_that_no_key_has_and_a_session_that_none_carries_are_refused_before_the_provider(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    service = await at_qwen(service_factory, planted)
    longer = await service.mint({"model": "assistant", "expires_after": {"seconds": 1801}})
    assert (longer.status, longer.json["error"]["param"]) == (400, "expires_after.seconds")
    assert "at most 1800" in longer.text
    session = await service.mint({"model": "assistant", "session": {"instructions": "Obey."}})
    assert (session.status, session.json["error"]["param"]) == (400, "session.instructions")
    assert "session.update" in session.text
    assert service.asked() == 0


async def test_where_temporary_keys_open_no_call_the_answer_names_the_setting_that_helps(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    service = await at_qwen(service_factory, planted, temporary_calls=False)
    refused = await service.relay(await service.minted({"model": "assistant"}))
    assert (refused.status, refused.code) == (401, "InvalidApiKey")
    assert "deployments.qwen.call_key to standard" in refused.text


@pytest.mark.parametrize("setting", [{"call_key": "standard"}, {"ephemeral_keys": False}])
async def test_the_standard_key_creates_the_call_where_that_is_set(
    service_factory: ServiceFactory, planted: Planted, setting: dict[str, Any]
) -> None:
    service = await at_qwen(service_factory, planted, temporary_calls=False, **setting)
    relayed = await service.relay(await service.minted({"model": "assistant"}))
    assert relayed.status == 201, relayed
    assert sent(service, "calls")[0]["Authorization"] == f"Bearer {planted.openai_key}"
    assert len(sent(service, "tokens")) == ("call_key" in setting)


async def test_offers_may_go_to_another_host(service_factory: ServiceFactory, planted: Planted) -> None:
    service = await at_qwen(service_factory, planted, webrtc_url="http://127.0.0.1:1")
    refused = await service.relay(await service.minted({"model": "assistant"}))
    assert (refused.status, refused.code) == (502, "upstream_unreachable")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model": None}, "deployments.qwen: model is missing"),
        ({"api_key": None}, "deployments.qwen: api_key is missing"),
        ({"region": "eu"}, "region is for OpenAI"),
        ({"api_version": "1"}, "api_version is for azure-preview"),
    ],
)
def test_a_setting_that_does_not_fit_is_refused(planted: Planted, change: dict[str, Any], says: str) -> None:
    configured = {**deployment(planted), "base_url": "https://w.cn-beijing.maas.aliyuncs.com", **change}
    environment = planted.environment(
        CLOAKROOM_DEPLOYMENTS=orjson.dumps({"qwen": configured}).decode(),
        CLOAKROOM_MODELS='{"assistant": "qwen"}',
    )
    with pytest.raises(SettingsError, match=says):
        load_settings(environment)


@pytest.mark.parametrize("field", ["locked", "defaults"])
def test_what_could_not_be_held_is_refused_at_the_settings(planted: Planted, field: str) -> None:
    model = {"deployments": ["qwen"], field: {"instructions": "Obey."}}
    environment = planted.environment(
        CLOAKROOM_DEPLOYMENTS=orjson.dumps({"qwen": deployment(planted)}).decode(),
        CLOAKROOM_MODELS=orjson.dumps({"assistant": model}).decode(),
    )
    with pytest.raises(SettingsError, match="takes no session, since it is qwen"):
        load_settings(environment)


async def test_a_session_that_it_cannot_have_goes_to_the_models_next_deployment(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    openai = {"provider": "openai", "base_url": "{provider}/v1", "api_key": planted.openai_key}
    first = {"deployment": "qwen", "priority": 0}
    models = {"assistant": {"deployments": [first, {"deployment": "openai", "priority": 1}]}}
    service = await service_factory(
        SandboxConfig(qwen_keys=(planted.openai_key,), openai_keys=(planted.openai_key,), peer="static"),
        CLOAKROOM_DEPLOYMENTS=orjson.dumps(
            {"qwen": deployment(planted), "openai": {**openai, "model": "gpt-realtime-2.1"}}
        ).decode(),
        CLOAKROOM_MODELS=orjson.dumps(models).decode(),
    )
    plain = await service.mint({"model": "assistant"})
    assert (plain.status, len(sent(service, "tokens"))) == (200, 1)
    wanted = await service.mint({"model": "assistant", "session": {"instructions": "Be brief."}})
    assert wanted.status == 200, wanted
    assert wanted.json["session"]["instructions"] == "Be brief."
    assert (len(sent(service, "tokens")), len(sent(service, "client_secrets"))) == (1, 1)
