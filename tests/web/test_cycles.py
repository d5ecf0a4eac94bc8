"""A request is gone with its answer: no cycle of references keeps it until the collector comes."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from functools import partial

import pytest

from app.errors import CloakroomError
from app.outbound.connection import Lost
from app.outbound.http1 import AnswerReader
from app.outbound.upstream import NoAnswer
from app.telemetry.timings import Timings
from app.web.appkeys import LIFECYCLE
from tests.conftest import ServiceFactory
from tests.support.api import Reply
from tests.support.clocks import eventually
from tests.support.offers import fresh_offer
from tests.support.scrape import scrape
from tests.support.service import Service

Requests = Callable[[Service], Awaitable[None]]

FAST = {"CLOAKROOM_MINT_TIMEOUT_SECONDS": "1", "CLOAKROOM_RELAY_TIMEOUT_SECONDS": "1"}
# What a request of ours leaves if nothing frees it: its times, its error, and what waits for a provider.
OURS = (Timings, CloakroomError, NoAnswer, Lost, AnswerReader)


@contextlib.contextmanager
def kept() -> Iterator[Counter[str]]:
    """Afterwards: what of our requests was reachable from cycles alone, by the name of its class."""
    found: Counter[str] = Counter()
    gc.collect()
    gc.disable()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found.update(type(one).__name__ for one in gc.garbage if isinstance(one, OURS))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


async def _ended(service: Service) -> None:
    lifecycle = service.server.app[LIFECYCLE]
    await eventually(lambda: lifecycle.in_flight == 0, "the request never ends")
    await _settled()


async def _settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def _good(service: Service) -> None:
    handle, offer = await service.minted(), fresh_offer()
    first, again = await service.relay(handle, offer), await service.relay(handle, offer)
    assert (first.status, again.status) == (201, 201)
    call_id = first.headers["location"].rpartition("/")[2]
    assert (await service.hang_up(handle, call_id)).status == 200


async def _refused(service: Service) -> None:
    base, key, http = service.base, service.planted.client_key, service.http
    assert (await service.mint({"model": "unknown"})).status == 404
    assert (await service.mint({"session": 7})).status == 400
    assert (await service.mint(Origin="https://elsewhere.example")).status == 403
    unknown = {"Authorization": "Bearer no"}
    assert (await service.post("/v1/realtime/client_secrets", headers=unknown)).status == 401
    authorized = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    assert (await service.post("/v1/realtime/client_secrets", data=b"{", headers=authorized)).status == 400
    assert (await service.post("/v1/realtime/nothing")).status == 404
    assert (await service.relay("ek_a.b.c")).status == 401
    assert (await service.relay(await service.minted(), b"v=0")).status == 400
    assert (await service.hang_up(key, "rtc_unknown")).status == 404
    async with http.get(f"{base}/v1/realtime/client_secrets") as answer:
        assert answer.status == 405


async def _left(service: Service) -> None:
    handle, before = await service.minted(), service.asked("/calls")
    service.fault("delay", "calls", seconds=0.3)
    asking = asyncio.create_task(service.relay(handle))
    await eventually(lambda: service.asked("/calls") > before, "the offer never arrives")
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await _ended(service)


async def _broken(service: Service) -> float:
    seen = await scrape(service.http, service.base)
    return seen.value("cloakroom_http_responses_total", handler="mint", status="4xx") or 0.0


async def _broke_off(service: Service) -> None:
    host, port = service.base.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    key = service.planted.client_key
    writer.write(
        f"POST /v1/realtime/client_secrets HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
        "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{".encode()
    )
    before = await _broken(service)
    writer.close()

    async def told() -> bool:
        return await _broken(service) > before

    await eventually(told, "the request never ends")
    await _settled()


@pytest.mark.parametrize("requests", [_good, _refused, _left, _broke_off])
async def test_no_cycle_keeps_a_request(service_factory: ServiceFactory, requests: Requests) -> None:
    service = await service_factory()
    await requests(service)
    await _settled()
    with kept() as found:
        await requests(service)
        await _settled()
    assert not found


@pytest.mark.parametrize("path", ["client_secrets", "calls", "hangup"])
@pytest.mark.parametrize("kind", ["drop_after", "html", "bad_json", "truncate", "stall", "huge_body"])
async def test_no_cycle_keeps_a_request_that_fails_at_the_provider(
    service_factory: ServiceFactory, path: str, kind: str
) -> None:
    service = await service_factory(**(FAST if kind == "stall" else {}))
    handle = await service.minted()
    call_id = await service.called(handle)
    requests: dict[str, Callable[[], Awaitable[Reply]]] = {
        "client_secrets": service.mint,
        "calls": partial(service.relay, handle),
        "hangup": partial(service.hang_up, handle, call_id),
    }
    service.fault(kind, path, times=0)
    with kept() as found:
        reply = await requests[path]()
        await _settled()
    # A hang-up needs no body.
    assert reply.status in (502, 504) or (path == "hangup" and kind in ("bad_json", "truncate"))
    assert not found
