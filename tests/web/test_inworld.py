"""Inworld through the whole service: the call, and the ICE servers that the provider names."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import orjson
import pytest

from app.broker.calls import ice
from app.sandbox import SandboxConfig
from tests.conftest import ServiceFactory
from tests.support.planted import Planted
from tests.support.service import Service
from tests.web.test_ice_servers import STUN, fetch, relayed_links
from tests.web.test_ice_servers import ice as own

SERVERS: Final[tuple[Mapping[str, object], ...]] = (
    {"urls": ["stun:stun.inworld.example:3478"]},
    {
        "urls": ["turn:turn.inworld.example:3478?transport=udp"],
        "username": "1795786200:workspace",
        "credential": "cGxhbnRlZC1vZi1pbndvcmxk",
    },
)


async def at_inworld(service_factory: ServiceFactory, planted: Planted, **settings: str) -> Service:
    deployment = {"provider": "inworld", "base_url": "{provider}/inworld/v1", "model": "openai/gpt-4o-mini"}
    model = {"deployments": ["inworld"], "locked": {"instructions": "Be brief."}}
    return await service_factory(
        SandboxConfig(inworld_keys=(planted.openai_key,), ice_servers=SERVERS, peer="static"),
        CLOAKROOM_DEPLOYMENTS=orjson.dumps(
            {"inworld": {**deployment, "api_key": planted.openai_key}}
        ).decode(),
        CLOAKROOM_MODELS=orjson.dumps({"assistant": model}).decode(),
        **settings,
    )


def asked(service: Service) -> int:
    return service.asked("/ice-servers")


async def test_a_call_has_the_locked_session_and_can_be_hung_up(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    service = await at_inworld(service_factory, planted)
    minted = await service.mint({"model": "assistant"})
    assert minted.status == 200, minted
    assert service.asked() == 0
    call_id = await service.called(minted.json["value"])
    session = service.provider.calls._calls[call_id].terms.session
    assert (session["instructions"], session["model"]) == ("Be brief.", "openai/gpt-4o-mini")
    assert (await service.hang_up(planted.client_key, call_id)).status == 200
    assert service.call(call_id)["end_reason"] == "hangup"


async def test_the_servers_are_the_providers_and_are_asked_for_once(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    service = await at_inworld(service_factory, planted, **own(STUN))
    handle = await service.minted({"model": "assistant"})
    replies = await asyncio.gather(*(fetch(service, handle) for _ in range(8)))
    for reply in replies:
        assert (reply.status, reply.json) == (200, {"ice_servers": list(SERVERS), "expires_at": None})
        assert planted.openai_key not in reply.text
    assert asked(service) == 1


async def test_they_are_asked_for_again_after_a_while(
    service_factory: ServiceFactory, planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ice, "KEPT_SECONDS", 0.0)
    service = await at_inworld(service_factory, planted)
    handle = await service.minted({"model": "assistant"})
    for wanted in (1, 2, 3):
        assert (await fetch(service, handle)).status == 200
        assert asked(service) == wanted


async def test_the_answer_to_an_offer_names_those_that_came_with_it(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    service = await at_inworld(service_factory, planted, **own(STUN))
    links = await relayed_links(service, await service.minted({"model": "assistant"}))
    assert [link.partition(";")[0] for link in links] == [
        "<stun:stun.inworld.example:3478>",
        "<turn:turn.inworld.example:3478?transport=udp>",
    ]
    assert asked(service) == 0


FAILURES: Final[list[tuple[dict[str, Any], int, str]]] = [
    ({"kind": "status", "status": 500}, 500, "upstream_error"),
    ({"kind": "status", "status": 401}, 401, "upstream_error"),
    ({"kind": "raw", "body": "no HTTP at all\r\n\r\n"}, 502, "upstream_error"),
]


@pytest.mark.parametrize(("fault", "status", "code"), FAILURES, ids=["500", "401", "no HTTP"])
async def test_without_the_providers_servers_there_are_the_operators(
    service_factory: ServiceFactory, planted: Planted, fault: dict[str, Any], status: int, code: str
) -> None:
    kind = fault["kind"]
    more = {name: value for name, value in fault.items() if name != "kind"}
    with_own = await at_inworld(service_factory, planted, **own(STUN))
    with_own.fault(kind, "ice_servers", **more)
    reply = await fetch(with_own, await with_own.minted({"model": "assistant"}))
    assert (reply.status, reply.json["ice_servers"]) == (200, [{"urls": [STUN]}])

    without = await at_inworld(service_factory, planted)
    without.fault(kind, "ice_servers", **more)
    handle = await without.minted({"model": "assistant"})
    reply = await fetch(without, handle)
    assert reply.status == status
    # A moment later the provider is not asked again: its failure is told at once.
    assert (await fetch(without, handle)).status == status
    assert asked(without) == 1
    assert planted.openai_key not in reply.text


async def test_a_provider_that_cannot_be_reached_is_told(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    service = await at_inworld(service_factory, planted)
    handle = await service.minted({"model": "assistant"})
    await service.stop_provider()
    reply = await fetch(service, handle)
    assert (reply.status, reply.code) == (502, "upstream_unreachable")
