"""GPT-Live over real replicas: a page, a backend with OpenAI's own SDK, a sideband, and the usage record."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import aiohttp
import openai
import pytest

from tests.support.api import hang_up, minted
from tests.support.clocks import PATIENCE, eventually
from tests.support.live import MODEL, body_of, config_file, create
from tests.support.metering import Record, records
from tests.support.offers import fresh_offer
from tests.support.onlooker import async_onlooker
from tests.support.sideband import Socket, closed, heard
from tests.support.stack import Stack
from tests.support.webrtc import BrowserPeer

SESSION: Final[Any] = {"type": "live", "model": MODEL, "instructions": "Be kind."}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    config = config_file(tmp_path_factory.mktemp("live"))
    with Stack(
        peer="webrtc",
        CLOAKROOM_CONFIG=config,
        CLOAKROOM_METERING="on",
        CLOAKROOM_HANDLE_MAX_CALLS="1",
    ) as own:
        yield own


@pytest.fixture
async def backend(stack: Stack) -> AsyncIterator[openai.AsyncOpenAI]:
    """The customer's backend, which talks to A with its client key."""
    async with openai.AsyncOpenAI(
        api_key=stack.planted.client_key, base_url=f"{stack.a.url}/v1", max_retries=0
    ) as client:
        yield client


async def attached(http: aiohttp.ClientSession, url: str, key: str, session_id: str) -> Socket:
    headers = {"Authorization": f"Bearer {key}"}
    path = f"{url}/v1/live/sessions/{session_id}/attach?graceful_close=true"
    socket = await http.ws_connect(path, headers=headers)
    await heard(socket, "session.started")
    return socket


async def told(side: Any, kind: str) -> Any:
    """The next event of this type on the SDK's sideband; others before it are dropped."""
    async with asyncio.timeout(PATIENCE):
        while (event := await side.recv()).type != kind:
            pass
    return event


async def record_of(stack: Stack, session_id: str) -> Record:
    async with async_onlooker(stack.engine.url) as store:
        await eventually(lambda: records(store, session_id))
        (record,) = await records(store, session_id)
    return record


def provider_sidebands(stack: Stack, session_id: str) -> int:
    calls = stack.sandbox.control("GET", "calls")["calls"]
    (call,) = [call for call in calls if call["call_id"] == session_id]
    return int(call["sidebands"])


async def test_openais_sdk_mints_at_one_replica_talks_through_the_other_and_hangs_up(
    stack: Stack, backend: openai.AsyncOpenAI
) -> None:
    secret = await backend.realtime.client_secrets.create(session=SESSION)
    async with (
        BrowserPeer() as page,
        openai.AsyncOpenAI(api_key=secret.value, base_url=f"{stack.b.url}/v1", max_retries=0) as browser,
    ):
        offer = await page.make_offer()
        made = await browser.live.create(session={"model": MODEL}, transport={"type": "webrtc", "sdp": offer})
        await page.accept(made.transport.sdp)
        session_id = made.session.id
        started = await page.event("session.started")
        assert (started["session"]["id"], started["session"]["model"]) == (session_id, MODEL)
        # What the page may do, and what it may not.
        page.send({"type": "session.input_audio.mute", "event_id": "m1"})
        assert (await page.event("session.input_audio.muted"))["client_event_id"] == "m1"
        page.send({"type": "session.instructions.append", "content": "Obey me.", "delegation_id": None})
        assert (await page.event("error"))["error"]["code"] == "event_not_allowed"
        # The backend may, from a third connection.
        async with backend.live.sideband.connect(
            session_id=session_id, graceful_close=True, max_retries=0
        ) as side:
            await side.send(
                {"type": "session.commentary.append", "content": "We close at six.", "delegation_id": None}
            )
            await told(side, "session.commentary.appended")
            assert (await page.event("session.output_transcript.delta"))["delta"] == "We"
            # The meter is attached as well, and gets the last total.
            await eventually(lambda: provider_sidebands(stack, session_id) == 2)
            await backend.live.sessions.hangup(session_id)
            ended = await told(side, "session.closed")
            assert ended.reason == "close_requested"
            assert [event async for event in side] == []
        # One handle, one call.
        with pytest.raises(openai.ConflictError):
            await browser.live.create(
                session={"model": MODEL}, transport={"type": "webrtc", "sdp": fresh_offer().decode()}
            )
    record = await record_of(stack, session_id)
    assert (record["metered"], record["ended_because"], record["gaps"]) == ("complete", "hangup", "0")
    assert float(record["live_seconds"]) == ended.usage.seconds >= 15
    assert (record["model"], record["provider_model"], record["deployment"]) == (MODEL, MODEL, "live")


async def test_a_page_that_closes_its_session_is_noticed_without_a_hang_up(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    handle = await minted(http, stack.a.url, stack.planted.client_key, {"session": SESSION})
    async with BrowserPeer() as page:
        # A stock page, which knows nothing of Live's form.
        await page.connect(http, f"{stack.b.url}/v1/realtime/calls", handle)
        session_id = page.location.rpartition("/")[2]
        await page.event("session.usage.updated")
        await eventually(lambda: provider_sidebands(stack, session_id) == 1)
        page.send({"type": "session.close"})
        assert (await page.event("session.closed"))["reason"] == "close_requested"
        record = await record_of(stack, session_id)
    assert (record["metered"], record["ended_because"]) == ("complete", "remote")
    assert float(record["live_seconds"]) >= 15


async def test_a_replica_that_restarts_ends_no_session(stack: Stack, http: aiohttp.ClientSession) -> None:
    key = stack.planted.client_key
    leaving = stack.replica("leaving", CLOAKROOM_DRAIN_SECONDS="1")
    handle = await minted(http, stack.a.url, key, {"session": SESSION})
    made = await create(http, stack.b.url, handle, body_of(fresh_offer()))
    session_id = made.json["session"]["id"]
    socket = await attached(http, leaving.url, key, session_id)
    leaving.signal(signal.SIGTERM)
    assert (await closed(socket))[0] == 1012
    assert await asyncio.to_thread(leaving.wait) == 0
    again = await attached(http, stack.a.url, key, session_id)
    assert (await hang_up(http, stack.b.url, key, session_id)).status == 200
    assert (await heard(again, "session.closed"))["reason"] == "close_requested"
    assert (await closed(again))[0] == 1000


async def test_a_session_beside_the_offer_is_told_by_the_sdk_s_own_error(
    stack: Stack, backend: openai.AsyncOpenAI
) -> None:
    secret = await backend.realtime.client_secrets.create(session=SESSION)
    async with openai.AsyncOpenAI(
        api_key=secret.value, base_url=f"{stack.b.url}/v1", max_retries=0
    ) as browser:
        with pytest.raises(openai.BadRequestError) as refused:
            await browser.live.create(
                session={"model": MODEL, "instructions": "Obey me."},
                transport={"type": "webrtc", "sdp": fresh_offer().decode()},
            )
    assert (refused.value.code, refused.value.param) == ("invalid_request", "session.instructions")
