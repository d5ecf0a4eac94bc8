"""GPT-Live through the whole service: the session that is kept, its two forms of offers, its end."""

from __future__ import annotations

import json
from typing import Any, Final

import aiohttp
import pytest

from app.providers.live import page_events
from tests.conftest import ServiceFactory
from tests.support.api import Reply
from tests.support.live import MODEL, body_of, create
from tests.support.offers import fresh_offer
from tests.support.planted import Planted
from tests.support.service import Service
from tests.support.sideband import closed, heard

MINT: Final = {"session": {"type": "live", "model": MODEL, "instructions": "Be kind."}}
PLACES: Final[dict[str, dict[str, Any]]] = {
    "openai-live": {"base_url": "{provider}/v1", "model": "gpt-live-1-mini"},
    "azure-live": {"base_url": "{provider}", "model": "live-prod"},
}


@pytest.fixture(params=PLACES)
async def service(
    request: pytest.FixtureRequest, service_factory: ServiceFactory, planted: Planted
) -> Service:
    return await live_service(request.param, service_factory, planted)


async def live_service(
    provider: str, service_factory: ServiceFactory, planted: Planted, **policy: Any
) -> Service:
    key = planted.openai_key if provider == "openai-live" else planted.azure_key
    deployments = {
        "live": {"provider": provider, "api_key": key, **PLACES[provider]},
        "openai": {"provider": "openai", "base_url": "{provider}/v1", "api_key": planted.openai_key},
    }
    models = {MODEL: {"deployments": ["live"], **policy}, "gpt-realtime-2.1": "openai"}
    return await service_factory(
        CLOAKROOM_DEPLOYMENTS=json.dumps(deployments),
        CLOAKROOM_MODELS=json.dumps(models),
        CLOAKROOM_HANDLE_MAX_CALLS="1",
    )


def session_of(service: Service, call_id: str) -> dict[str, Any]:
    # The control page shows no session, so the book is opened.
    return dict(service.provider.calls._calls[call_id].terms.session)


async def created(service: Service, handle: str, session: Any = None, offer: bytes | None = None) -> Reply:
    return await create(service.http, service.base, handle, body_of(offer or fresh_offer(), session))


def deep(levels: int) -> Any:
    value: Any = {}
    for _ in range(levels):
        value = {"x": value}
    return value


async def test_the_mint_asks_nothing_and_the_offer_makes_the_session_that_was_kept(
    service: Service, planted: Planted
) -> None:
    before = int(service.provider.clock.time())
    minted = await service.mint(MINT, **{"OpenAI-Safety-Identifier": "user-hash"})
    assert minted.status == 200, minted
    assert service.asked() == 0
    assert before + 599 <= minted.json["expires_at"] <= service.provider.clock.time() + 601
    told = minted.json["session"]
    assert (told["model"], told["instructions"]) == (MODEL, "Be kind.")
    assert told["client"] == page_events(with_session=True)
    reply = await created(service, minted.json["value"])
    assert reply.status == 201, reply
    session_id = reply.json["session"]["id"]
    assert reply.headers["location"] == f"/v1/live/sessions/{session_id}"
    assert reply.json["transport"]["type"] == "webrtc"
    sent = session_of(service, session_id)
    assert sent["model"].startswith("gpt-live-1-mini") or sent["model"] == "live-prod"
    assert sent["client"] == page_events(with_session=True)
    assert (sent["instructions"], sent["safety_identifier"]) == ("Be kind.", "user-hash")
    assert service.asked() == 1
    url = f"/v1/live/sessions/{session_id}/hangup"
    ended = await service.post(url, headers={"Authorization": f"Bearer {planted.client_key}"})
    assert ended.status == 200, ended
    assert service.call(session_id)["end_reason"] == "hangup"


async def test_a_stock_page_sends_its_offer_as_sdp(service: Service, planted: Planted) -> None:
    minted = await service.mint({"model": MODEL})
    assert minted.json["calls_url"].endswith("/v1/realtime/calls")
    call_id = await service.called(minted.json["value"])
    assert call_id.startswith("live_")
    assert (await service.hang_up(minted.json["value"], call_id)).status == 200
    assert service.call(call_id)["end_reason"] == "hangup"


async def test_the_same_offer_gets_the_same_session_and_another_one_none(service: Service) -> None:
    handle, offer = await service.minted(MINT), fresh_offer()
    first = await created(service, handle, offer=offer)
    again = await created(service, handle, offer=offer)
    assert (first.status, first.json) == (again.status, again.json)
    other = await created(service, handle)
    assert (other.status, other.code) == (409, "handle_spent")
    # The same SDP as a stock page would send it is the same offer; with a session it is another.
    assert (await service.relay(handle, offer)).text == first.json["transport"]["sdp"]
    assert (await created(service, handle, {"model": MODEL}, offer)).code == "handle_spent"
    assert len(service.provider.calls.reports()) == 1


async def test_a_session_beside_the_offer_cannot_change_what_was_fixed_and_costs_no_use(
    service: Service,
) -> None:
    handle = await service.minted(MINT)
    for session, param in (
        ({"model": "gpt-live-2"}, "session.model"),
        ({"model": MODEL, "instructions": "Obey me."}, "session.instructions"),
        ({"client": {"data_channel": {}, "more": 1}}, "session.client.more"),
        ({"input": deep(900)}, "session.input"),
    ):
        reply = await created(service, handle, session)
        assert (reply.status, reply.code, reply.json["error"]["param"]) == (400, "invalid_request", param)
    assert service.asked() == 0
    assert (await created(service, handle, {"model": MODEL, "instructions": "Be kind."})).status == 201


async def test_a_handle_opens_only_the_family_that_it_was_minted_for(service: Service) -> None:
    reply = await created(service, await service.minted({"model": "gpt-realtime-2.1"}))
    assert (reply.status, reply.code) == (403, "wrong_session_family")
    handle = await service.minted(MINT)
    translated = await service.post(
        "/v1/realtime/translations/calls",
        data=fresh_offer(),
        headers={"Authorization": f"Bearer {handle}", "Content-Type": "application/sdp"},
    )
    assert (translated.status, translated.code) == (403, "wrong_session_family")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"session": {"type": "realtime", "model": MODEL}}, f"'{MODEL}' serves no realtime sessions"),
        ({"session": {"type": "live", "model": "gpt-realtime-2.1"}}, "serves no live sessions"),
    ],
)
async def test_a_session_of_the_wrong_type_is_refused_in_words(
    service: Service, body: Any, says: str
) -> None:
    reply = await service.mint(body)
    assert (reply.status, reply.code, reply.json["error"]["param"]) == (
        404,
        "model_not_found",
        "session.type",
    )
    assert says in reply.text
    assert service.asked() == 0


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "transport"),
        ({"transport": {"type": "sip", "sdp": "v=0"}}, "transport"),
        ({"transport": {"type": "webrtc"}}, "transport.sdp"),
        ({"transport": {"type": "webrtc", "sdp": "hello"}}, "sdp"),
        ({"transport": {"type": "webrtc", "sdp": "v=0"}, "session": 1}, "session"),
        ({"transport": {"type": "webrtc", "sdp": "v=0"}, "safety_identifier": "x"}, "safety_identifier"),
    ],
)
async def test_a_body_that_is_no_offer_is_refused_before_anything_is_claimed(
    service_factory: ServiceFactory, planted: Planted, body: Any, param: str
) -> None:
    service = await live_service("openai-live", service_factory, planted)
    handle = await service.minted(MINT)
    reply = await create(service.http, service.base, handle, body)
    assert (reply.status, reply.json["error"]["param"]) == (400, param), reply
    assert (await created(service, handle)).status == 201


async def test_a_session_is_never_created_twice_once_the_offer_may_have_arrived(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    service = await live_service("openai-live", service_factory, planted)
    service.fault("drop_after", "calls")
    reply = await created(service, await service.minted(MINT))
    assert (reply.status, reply.code) == (502, "outcome_unknown")
    assert service.asked("sessions") == 1


async def test_a_backend_attaches_hears_the_end_and_a_handle_may_not(
    service: Service, planted: Planted
) -> None:
    handle = await service.minted(MINT)
    session_id = (await created(service, handle)).json["session"]["id"]
    url = f"{service.base}/v1/live/sessions/{session_id}/attach?graceful_close=true"
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await service.http.ws_connect(url, headers={"Authorization": f"Bearer {handle}"})
    assert refused.value.status == 401
    key = {"Authorization": f"Bearer {planted.client_key}"}
    socket = await service.http.ws_connect(url, headers=key)
    assert (await heard(socket, "session.started"))["session"]["id"] == session_id
    await socket.send_json({"type": "session.output_audio.fixture.play", "audio": "AA", "event_id": "mine"})
    error = (await heard(socket, "error"))["error"]
    assert (error["code"], error["client_event_id"]) == ("audio_not_allowed", "mine")
    gone = await service.http.delete(f"{service.base}/v1/live/sessions/{session_id}", headers=key)
    assert gone.status == 200
    assert (await heard(socket, "session.closed"))["reason"] == "close_requested"
    assert (await closed(socket))[0] == 1000


async def test_an_offer_s_path_tells_what_it_takes(service: Service) -> None:
    async with service.http.options(f"{service.base}/v1/live/sessions") as reply:
        assert reply.headers["Accept-Post"] == "application/json"


async def test_an_operators_list_of_events_reaches_the_provider(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    lists = {"allowed_client_events": ["session.close"]}
    locked = {"client": {"data_channel": lists}}
    service = await live_service("openai-live", service_factory, planted, locked=locked)
    session_id = (await created(service, await service.minted(MINT))).json["session"]["id"]
    channel = session_of(service, session_id)["client"]["data_channel"]
    assert channel["allowed_client_events"] == ["session.close"]
    assert channel["allowed_server_events"]
    wide = {"client": {"data_channel": {"allowed_client_events": "all"}}}
    reply = await service.mint({"session": {**MINT["session"], **wide}})
    assert (reply.status, reply.code) == (400, "invalid_request")
