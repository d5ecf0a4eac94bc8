"""Records that a newer release wrote, as a browser, a backend and an operator meet them at this replica."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
import structlog.testing

from app.store import keys
from tests.support.api import Reply
from tests.support.offers import fresh_offer
from tests.support.scrape import scrape
from tests.support.service import Service
from tests.web.hangups import hangups
from tests.web.operators import ask, get, id_of, post

Lines = list[MutableMapping[str, Any]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """The lines of the log that tell of such records."""
    with structlog.testing.capture_logs() as captured:
        yield captured


def told(lines: Lines) -> list[tuple[Any, ...]]:
    return [
        (line.get("handle"), line.get("call_id"), line["version"], line["reads_up_to"])
        for line in lines
        if line["event"] == "record_of_newer_release"
    ]


def assert_try_elsewhere(reply: Reply) -> None:
    assert (reply.status, reply.code) == (503, "draining"), reply
    assert reply.headers["retry-after"] == "1"
    assert "newer release" in reply.json["error"]["message"]


async def test_a_relay_is_sent_elsewhere_and_nothing_is_spent_or_sent(service: Service, lines: Lines) -> None:
    handle, offer = await service.minted(), fresh_offer()
    key = keys.handle(id_of(handle))
    await service.store_client.hset(key, "v", "2")
    before = await service.store_client.hgetall(key)
    assert_try_elsewhere(await service.relay(handle, offer))
    assert await service.store_client.hgetall(key) == before
    assert service.asked("/calls") == 0
    assert told(lines) == [(id_of(handle), None, "2", 1)]
    seen = await scrape(service.http, service.base)
    assert seen.value("cloakroom_relays_total", outcome="unavailable", code="draining") == 1
    # A replica that knows the version takes the very offer that this one turned away.
    await service.store_client.hset(key, "v", "1")
    assert (await service.relay(handle, offer)).status == 201


async def test_an_answer_that_a_newer_release_keeps_is_not_given_again_here(service: Service) -> None:
    handle, offer = await service.minted(), fresh_offer()
    assert (await service.relay(handle, offer)).status == 201
    await service.store_client.hset(keys.handle(id_of(handle)), "v", "2")
    assert_try_elsewhere(await service.relay(handle, offer))
    assert service.asked("/calls") == 1


async def test_a_hang_up_is_sent_elsewhere_for_the_owner_and_tells_a_stranger_nothing(
    service: Service, lines: Lines
) -> None:
    handle = await service.minted()
    call_id, stranger = await service.called(handle), await service.minted()
    await service.store_client.hset(keys.call(call_id), "v", "2")
    for credential in (handle, service.planted.client_key):
        assert_try_elsewhere(await service.hang_up(credential, call_id))
    assert_try_elsewhere(await ask(service, "POST", f"/calls/{call_id}/hangup"))
    assert told(lines) == [(None, call_id, "2", 1)] * 3
    reply = await service.hang_up(stranger, call_id)
    assert (reply.status, reply.code) == (404, "call_id_not_found")
    assert hangups(service) == []
    assert "ended_at" not in await service.store_client.hgetall(keys.call(call_id))


async def test_an_operator_sees_whose_it_is_and_is_sent_elsewhere_to_revoke_it(
    service: Service, lines: Lines
) -> None:
    handle = await service.minted()
    call_id = await service.called(handle)
    key = keys.handle(id_of(handle))
    await service.store_client.hset(key, mapping={"v": "2", "calls": "?", "relays": "?"})
    await service.store_client.hset(keys.call(call_id), "v", "3")
    shown = await get(service, f"/handles/{id_of(handle)}")
    assert (shown["version"], shown["state"], shown["client"]) == (2, "unknown", "shop")
    assert (shown["minted_by"], shown["relays"]) == ("replica-a", [])
    listed = await get(service, "/handles?state=unknown&limit=1000")
    assert id_of(handle) in [item["id"] for item in listed["data"]]
    shown = await get(service, f"/calls/{call_id}")
    assert (shown["version"], shown["state"], shown["handle"]) == (3, "unknown", id_of(handle))
    listed = await get(service, "/calls?state=unknown&limit=1000")
    assert call_id in [item["id"] for item in listed["data"]]

    assert_try_elsewhere(await ask(service, "POST", f"/handles/{id_of(handle)}/revoke"))
    assert told(lines) == [(id_of(handle), None, "2", 1)]
    step = await post(service, "/handles/revoke", {"client": "shop"})
    assert step["newer_release"] >= 1
    assert "revoked_at" not in await service.store_client.hgetall(key)
