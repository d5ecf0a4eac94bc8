"""Azure through the whole service: GA with its event filter, and the preview of older resources."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from app.sandbox import SandboxConfig
from tests.conftest import ServiceFactory
from tests.support.offers import fresh_offer
from tests.support.planted import Planted
from tests.support.service import Service

GA = {"provider": "azure", "base_url": "{provider}/openai/?api-version=x", "model": "voice-prod"}
PREVIEW = {
    "provider": "azure-preview",
    "base_url": "{provider}/openai/",
    "webrtc_url": "{provider}",
    "model": "voice-prod",
}


async def azure_service(
    service_factory: ServiceFactory, planted: Planted, deployment: dict[str, Any], **sandbox: Any
) -> Service:
    """A service whose model ``gpt-realtime-2.1`` is this Azure deployment."""
    config = SandboxConfig(azure_keys=(planted.azure_key,), peer="static", **sandbox)
    deployment = {"api_key": planted.azure_key, **deployment}
    return await service_factory(
        sandbox=config,
        CLOAKROOM_DEPLOYMENTS=orjson.dumps({"voice": deployment}).decode(),
        CLOAKROOM_MODELS='{"gpt-realtime-2.1": "voice"}',
    )


@pytest.mark.parametrize(
    ("changes", "filtered"),
    [({}, True), ({"webrtc_filter": True}, True), ({"webrtc_filter": False}, False)],
)
async def test_the_event_filter_is_on_unless_the_deployment_says_otherwise(
    service_factory: ServiceFactory, planted: Planted, changes: dict[str, Any], filtered: bool
) -> None:
    service = await azure_service(service_factory, planted, {**GA, **changes})
    reply = await service.relay(await service.minted())
    assert reply.status == 201
    (call,) = service.provider.calls.reports()
    assert call["filtered"] is filtered
    (relayed,) = [entry for entry in service.provider.journal.reports() if entry["operation"] == "calls"]
    assert relayed["query"] == ("webrtcfilter=on" if filtered else "")


async def test_the_preview_mints_at_the_resource_and_relays_at_the_region(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    service = await azure_service(service_factory, planted, PREVIEW, azure_preview=True)
    clock = service.provider.clock
    before = int(clock.time())
    reply = await service.mint(
        {"model": "gpt-realtime-2.1", "session": {"audio": {"output": {"voice": "verse"}}}}
    )
    assert reply.status == 200, reply
    minted = reply.json
    assert minted["session"]["voice"] == "verse"
    assert minted["session"]["model"] == "gpt-realtime-2.1"
    # "Valid one minute", whatever was asked for.
    assert before + 59 <= minted["expires_at"] <= clock.time() + 60
    offer = fresh_offer()
    answered = await service.relay(minted["value"], offer)
    assert answered.status == 201
    assert answered.text.startswith("v=0")
    assert answered.headers["content-type"] == "application/sdp"
    # The preview names no call, so there is nothing to point at.
    assert "location" not in answered.headers
    paths = [f"{entry['path']}?{entry['query']}" for entry in service.provider.journal.reports()]
    assert paths == [
        "/openai/realtimeapi/sessions?api-version=2025-04-01-preview",
        "/v1/realtimertc?model=voice-prod",
    ]
    again = await service.relay(minted["value"], offer)
    assert (again.status, again.text) == (201, answered.text)
    assert service.asked("/realtimertc") == 1


async def test_a_preview_key_is_nowhere_in_the_answer(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    service = await azure_service(service_factory, planted, PREVIEW, azure_preview=True)
    reply = await service.mint()
    await service.relay(reply.json["value"])
    (relayed,) = [entry for entry in service.provider.journal.reports() if entry["operation"] == "calls"]
    headers = {name.lower(): value for name, value in _pairs(relayed)}
    key = headers["authorization"].removeprefix("Bearer ")
    assert key.startswith("ek_")
    assert key not in reply.text


def _pairs(entry: dict[str, object]) -> list[tuple[str, str]]:
    pairs = entry["headers"]
    assert isinstance(pairs, list)
    return pairs
