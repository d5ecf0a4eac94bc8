"""Everything that the service ever does at its store, once: what an access list must allow."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from typing import Any

from app.models import USUAL_MODEL
from app.store.events import EventFeed
from app.store.listing.directory import HandleDirectory, alive
from app.store.listing.views import CallFilter, HandleFilter
from app.store.pools import PoolStore
from app.store.records.calls import CallStore
from app.store.records.deadlines import CallDeadlines, Due
from app.web.appkeys import STORE
from tests.support import api
from tests.support.clocks import eventually
from tests.support.handles import claims_of
from tests.support.offers import fresh_offer
from tests.support.scrape import scrape
from tests.support.service import Service

LIMITED_KEY = "ck_" + secrets.token_urlsafe(24)
SETTINGS = {
    "CLOAKROOM_CLIENTS": json.dumps(
        {"limited": {"api_key": LIMITED_KEY, "mints_per_minute": 1000, "max_open_calls": 1}}
    ),
    "CLOAKROOM_HANDLE_MAX_CALLS": "2",
    "CLOAKROOM_RELAY_TIMEOUT_SECONDS": "5",
    "CLOAKROOM_METERING": "on",
    "CLOAKROOM_MODELS": json.dumps({USUAL_MODEL: {"deployments": ["openai"], "pool": {"target": 2}}}),
}


async def live_through_everything(service: Service, forget_scripts: Callable[[], object]) -> None:
    """Mint, relay, refuse, give back, settle, hang up, list, count and revoke; each has to succeed.

    Args:
        forget_scripts: has the server forget its scripts, as a restart does.
    """
    limited = await api.mint(service.http, service.base, LIMITED_KEY, {"model": "gpt-realtime-2.1"})
    assert limited.status == 200, limited
    await _as_many_calls_as_may_be(service, str(limited.json["value"]))
    forget_scripts()
    handle, offer = await service.minted({"model": "gpt-realtime-2.1"}), fresh_offer()
    first = await service.relay(handle, offer)
    replayed = await service.relay(handle, offer)
    assert (first.status, replayed.status, replayed.text) == (201, 201, first.text)
    call_id = first.headers["location"].rpartition("/")[2]
    await _what_goes_wrong(service, handle)
    for _ in range(2):
        assert (await service.hang_up(handle, call_id)).status == 200
    await _as_a_meter_does(service)
    await _as_a_deadline_does(service, call_id)
    await _as_operators_do(service, call_id)
    await _as_a_pool_does(service)
    unused = await service.minted()
    await service.stop_provider()
    assert (await service.relay(unused)).code == "upstream_unreachable"


async def _as_many_calls_as_may_be(service: Service, handle: str) -> None:
    offer = fresh_offer()
    made = await service.relay(handle, offer)
    assert (await service.relay(handle, offer)).text == made.text
    assert (await service.relay(handle)).code == "too_many_calls"
    assert (await service.hang_up(handle, made.headers["location"].rpartition("/")[2])).status == 200


async def _what_goes_wrong(service: Service, handle: str) -> None:
    service.fault("status", "calls", status=400, body='{"error": {"message": "no", "code": "bad_offer"}}')
    assert (await service.relay(handle)).status == 400
    assert (await service.relay(handle)).code == "handle_spent"
    second = await service.minted()
    service.fault("stall", "calls")
    assert (await service.relay(second)).code == "upstream_timeout"
    reply = await service.post(
        "/v1/realtime/translations/calls",
        data=fresh_offer(),
        headers={"Authorization": f"Bearer {second}", "Content-Type": "application/sdp"},
    )
    assert reply.code == "wrong_session_family"


async def _as_a_pool_does(service: Service) -> None:
    pools = PoolStore(service.server.app[STORE])

    async def used() -> bool:
        await service.minted()
        return (await pools.state(USUAL_MODEL)).bill.used > 0

    await eventually(used)


async def _as_a_meter_does(service: Service) -> None:
    async def recorded() -> bool:
        found = await scrape(service.http, service.base)
        model = "gpt-realtime-2.1"
        return any(
            found.value("cloakroom_usage_records_total", model=model, metered=how)
            for how in ("complete", "incomplete")
        )

    await eventually(recorded)


async def _as_a_deadline_does(service: Service, call_id: str) -> None:
    deadlines = CallDeadlines(service.server.app[STORE])
    await deadlines.add("lost", call_id, seconds=0)

    async def met() -> bool:
        found = await scrape(service.http, service.base)
        return bool(found.value("cloakroom_overdue_hangups_total", reason="lost", outcome="repeated"))

    await eventually(met)
    await deadlines.hold([Due("lost", call_id)], seconds=1)


async def _as_operators_do(service: Service, call_id: str) -> None:
    connection, now = service.server.app[STORE], time.time()
    directory, calls = HandleDirectory(connection), CallStore(connection)
    handle = await service.minted()
    handle_id = str(claims_of(handle)["jti"])
    view = await directory.get(handle_id)
    assert view is not None
    everything = HandleFilter(client=view.client)
    assert (await directory.page(everything, now=now)).items
    assert await directory.count(HandleFilter(), now=now) >= 4
    assert await directory.revoke(handle_id, by="test", now=now) == "revoked"
    assert (await directory.revoke_page(everything, by="test", now=now)).revoked
    assert (await service.relay(handle)).code == "handle_revoked"
    assert call_id in [call.id for call in (await calls.page(CallFilter(), now=now)).items]
    assert (await alive(directory, calls, now=now)).calls == 0
    assert await connection.probe()
    feed = EventFeed(connection, replica="test")
    async with feed.watch() as watch:
        feed.offer("mint", {"status": 200})
        assert [event.name for event in await watch.next(seconds=10)] == ["mint"]
    await feed.close()


def commands_used(admin: Any, *, ours: frozenset[str]) -> set[str]:
    """The commands that the server has run since its statistics were reset, less those of the test itself."""
    statistics = admin.info("commandstats")
    return {name.removeprefix("cmdstat_") for name, figures in statistics.items() if figures["calls"]} - ours
