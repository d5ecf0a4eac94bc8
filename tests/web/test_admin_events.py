"""The live events over HTTP: what a watcher gets, how many may watch, and when a watch ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import hdrs

from app.store.events import FIELDS
from app.telemetry.logs import RequestLog
from app.web.admin import events as events_view
from app.web.appkeys import DESK
from tests.conftest import ServiceFactory
from tests.support.clocks import PATIENCE, eventually
from tests.support.conformance import STREAM
from tests.support.service import Service
from tests.web.operators import ask, audited, get, id_of, post


@dataclass
class Stream:
    """A watcher's end of the stream, read as the HTML standard says."""

    response: aiohttp.ClientResponse
    comments: list[str] = field(default_factory=list)

    async def next(self) -> tuple[str, dict[str, Any]] | None:
        """The next event; None at the end of the stream."""
        name, data = "", ""
        async with asyncio.timeout(PATIENCE):
            while line := (await self.response.content.readline()).decode():
                match line.rstrip("\n").partition(": "):
                    case ("event", _, value):
                        name = value
                    case ("data", _, value):
                        data = value
                    case ("", ": ", value):
                        self.comments.append(value)
                    case ("", "", "") if data:
                        return name, orjson.loads(data)
        return None

    async def until(self, wanted: str) -> dict[str, Any]:
        """The next event of this name."""
        while (found := await self.next()) is not None:
            if found[0] == wanted:
                return found[1]
        raise AssertionError(f"the stream ended without {wanted!r}")


@asynccontextmanager
async def watching(service: Service, query: str = "") -> AsyncIterator[Stream]:
    """Watch until the test leaves, or the stream ends."""
    url = f"{service.base}/admin/v1/events{query}"
    headers = {hdrs.AUTHORIZATION: f"Bearer {service.planted.admin_key}"}
    async with service.http.get(url, headers=headers) as response:
        assert response.status == 200, await response.text()
        yield Stream(response)


async def until(true: Callable[[], bool], meanwhile: Callable[[], Awaitable[object]] | None = None) -> None:
    """Wait until something is so, doing something again and again."""

    async def look() -> bool:
        if meanwhile is not None and not true():
            await meanwhile()
        return true()

    await eventually(look)


async def test_each_kind_of_event_is_told_with_the_fields_of_its_log_line(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: dict[str, dict[str, Any]] = {}
    write = RequestLog.write

    def keep(log: RequestLog, level: str, event: str, fields: Any) -> None:
        logged[event] = dict(fields)
        write(log, level, event, fields)

    monkeypatch.setattr(RequestLog, "write", keep)
    async with watching(service) as stream:
        handle = await service.minted()
        minted = await stream.until("mint")
        call_id = await service.called(handle)
        relayed = await stream.until("relay")
        assert (await service.hang_up(handle, call_id)).status == 200
        hung_up = await stream.until("hangup")
    for name, told in (("mint", minted), ("relay", relayed), ("hangup", hung_up)):
        assert told.keys() == {*FIELDS, "replica", "at"}
        for known in FIELDS:
            assert told[known] == logged[name].get(known), (name, known)
    assert (minted["handle"], relayed["call_id"], hung_up["outcome"]) == (id_of(handle), call_id, "ended")
    assert {minted["replica"], relayed["replica"]} == {"replica-a"}
    assert minted["at"] <= relayed["at"] <= hung_up["at"]


async def test_refused_requests_are_told_with_their_code(service: Service) -> None:
    async with watching(service) as stream:
        await service.mint(None, Authorization="Bearer nobody")
        refused = await stream.until("mint")
        await service.relay("ek_nothing")
        relay = await stream.until("relay")
    assert (refused["status"], refused["code"]) == (401, "invalid_api_key")
    assert (relay["status"], relay["code"]) == (401, "invalid_handle")


async def test_what_operators_do_is_told_with_their_name(service: Service) -> None:
    handle = await service.minted()
    call_id = await service.called(handle)
    async with watching(service) as stream:
        await post(service, f"/handles/{id_of(handle)}/revoke")
        revoked = await stream.until("revoke")
        await post(service, "/handles/revoke", {"subject": "nobody-at-all", "client": "shop"})
        many = await stream.until("revoke")
        await post(service, f"/calls/{call_id}/hangup")
        hung_up = await stream.until("hangup")
        await ask(service, "POST", f"/calls/{'x' * 200}/hangup")
        missed = await stream.until("hangup")
    assert (revoked["handle"], revoked["by"], revoked["revoked"]) == (id_of(handle), "sre", 1)
    assert (many["client"], many["handle"], many["revoked"], many["outcome"]) == ("shop", None, 0, "revoked")
    assert "nobody-at-all" not in str(many)
    assert (hung_up["call_id"], hung_up["by"], hung_up["outcome"]) == (call_id, "sre", "ended")
    assert (missed["code"], missed["status"]) == ("call_not_found", 404)


async def test_a_watcher_at_one_replica_sees_what_another_does(service_factory: ServiceFactory) -> None:
    here = await service_factory()
    there = await service_factory(CLOAKROOM_REPLICA="replica-b")
    async with watching(here) as stream:
        # It learns within two seconds that somebody watches.
        await until(lambda: there.server.app[DESK].feed.wanted)
        handle = await there.minted()
        told = await stream.until("mint")
    assert (told["replica"], told["handle"]) == ("replica-b", id_of(handle))


async def test_the_ninth_watcher_is_refused_and_let_in_once_another_left(service: Service) -> None:
    feed = service.server.app[DESK].feed
    async with AsyncExitStack() as seven:
        for _ in range(events_view.MAX_WATCHERS - 1):
            await seven.enter_async_context(watching(service))
        async with watching(service) as last:
            await service.minted()
            assert await last.until("mint")
            reply = await ask(service, "GET", "/events")
            assert (reply.status, reply.code) == (429, "rate_limited")
            assert reply.headers["retry-after"]
        await until(lambda: feed.watchers < events_view.MAX_WATCHERS, service.minted)
        async with watching(service) as again:
            await service.minted()
            assert await again.until("mint")


async def test_the_stream_has_the_headers_of_every_answer_and_a_comment_while_nothing_happens(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_view, "KEEP_ALIVE_SECONDS", 0.0)
    with audited() as lines:
        async with watching(service, "?seconds=1") as stream:
            headers = stream.response.headers
            assert headers[hdrs.CONTENT_TYPE] == STREAM
            assert headers[hdrs.CACHE_CONTROL] == "no-store"
            assert headers["X-Accel-Buffering"] == "no"
            assert headers["x-request-id"]
            assert await stream.next() is None
        assert stream.comments[:2] == ["watching", "keep-alive"]
        await until(lambda: not service.server.app[DESK].feed.watchers)
    assert [(line["outcome"], line["status"]) for line in lines] == [("begun", None), ("time_up", 200)]
    assert service.conformance.checked["adminEvents", 200] == 1


async def test_a_watcher_that_goes_away_leaves_nothing_behind(service: Service) -> None:
    feed = service.server.app[DESK].feed
    async with watching(service) as stream:
        await service.minted()
        assert await stream.until("mint")
    # Only a write tells that it went.
    await until(lambda: not feed.watchers, service.minted)
    assert (await get(service, "/stats"))["in_flight"] == 1


@pytest.mark.parametrize("seconds", ["0", "3601", "-1", "1.5", "x", "", "1&seconds=2"])
async def test_a_time_that_is_none_is_refused(service: Service, seconds: str) -> None:
    reply = await ask(service, "GET", f"/events?seconds={seconds}")
    assert (reply.status, reply.code, reply.json["error"]["param"]) == (400, "invalid_request", "seconds")


async def test_a_head_request_gets_the_headers_and_no_stream(service: Service) -> None:
    reply = await ask(service, "HEAD", "/events")
    assert (reply.status, reply.headers["content-type"], reply.text) == (200, STREAM, "")
    assert service.server.app[DESK].feed.watchers == 0


async def test_no_secret_is_in_any_event(service: Service) -> None:
    handle, planted = await service.minted(), service.planted
    told: list[object] = []
    async with watching(service) as stream:
        for request in (
            service.mint(None, **{"x-cloakroom-subject": "user-4711"}),
            service.mint({"model": planted.openai_key}),
            service.mint(None, Authorization=f"Bearer {planted.admin_key}"),
            service.relay(handle),
            service.relay(handle + "x"),
            service.relay(planted.openai_key),
            service.hang_up(planted.client_key, planted.openai_key),
        ):
            await request
        while len(told) < 7:
            told.append(await stream.next())
    text = str(told)
    for secret in (*planted.all_values(), handle, handle.rpartition(".")[2], "user-4711"):
        assert secret not in text
