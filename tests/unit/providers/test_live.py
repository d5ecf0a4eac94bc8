"""GPT-Live on the wire: the session that is kept, the call that it makes, the call's end and its events."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, get_args

import orjson
import pytest
from openai.types.live import client_event, server_event

from app.broker.session_policy import ModelPolicy, require_same, under_policy
from app.errors import InvalidRequest, OutcomeUnknown, UpstreamError
from app.models import Family, Offer
from app.providers.events import appends_audio, carries_audio, ends_session
from app.providers.live import PAGE_SEES, PAGE_SENDS, TELLS_SESSION, page_events
from app.providers.registry import PROVIDERS
from app.providers.usage import Usage
from tests import samples
from tests.samples import load
from tests.unit.providers.responses import json_response, response
from tests.unit.values import AZURE_KEY, OPENAI_KEY, deployment, mint_request

NAMES: Final = ("openai-live", "azure-live")
EVENTS: Final = Path(samples.__file__).parent / "openai-live" / "events"
SDP: Final = b"v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"


def live_mint(session: dict[str, Any], **changes: Any) -> Any:
    return mint_request(model="gpt-live-1", family=Family.LIVE, session=session, **changes)


def created(name: str, session: dict[str, Any], **changes: Any) -> tuple[Any, dict[str, Any]]:
    """The request that creates the call of this mint, and its body."""
    provider, place = PROVIDERS[name], deployment(name)
    call = provider.kept_call(place, live_mint(session, **changes))
    request = provider.standard_call_request(place, call, Offer(sdp=SDP))
    return request, orjson.loads(request.body)


@pytest.mark.parametrize("name", NAMES)
def test_a_call_is_created_as_json_with_the_standard_key_and_the_session_of_the_mint(name: str) -> None:
    asked = {"type": "live", "model": "gpt-live-1", "instructions": "Be kind.", "store": False}
    request, body = created(name, asked)
    assert request.url == f"{deployment(name).base_url}/live/sessions"
    assert request.headers["Content-Type"] == "application/json"
    key = {"api-key": AZURE_KEY} if name == "azure-live" else {"Authorization": f"Bearer {OPENAI_KEY}"}
    assert key.items() <= request.headers.items()
    model = "voice-prod" if name == "azure-live" else "gpt-live-1"
    assert body == {
        "session": {"model": model, "instructions": "Be kind.", "store": False},
        "transport": {"type": "webrtc", "sdp": SDP.decode()},
    }


def test_the_safety_identifier_is_a_field_of_the_session_and_the_sessions_own_stays() -> None:
    _, body = created("openai-live", {}, safety_identifier="user-hash")
    assert body["session"]["safety_identifier"] == "user-hash"
    _, body = created("openai-live", {"safety_identifier": "mine"}, safety_identifier="user-hash")
    assert body["session"]["safety_identifier"] == "mine"
    with pytest.raises(InvalidRequest) as refused:
        created("openai-live", {"safety_identifier": 7})
    assert refused.value.param == "session.safety_identifier"


def test_another_kind_of_session_and_one_that_is_too_deep_are_refused() -> None:
    provider, place = PROVIDERS["openai-live"], deployment("openai-live")
    with pytest.raises(InvalidRequest, match=r"'session\.type' to 'live'"):
        provider.kept_call(place, mint_request(family=Family.REALTIME))
    deep: dict[str, Any] = {}
    for _ in range(300):
        deep = {"input": deep}
    with pytest.raises(InvalidRequest, match="too deeply"):
        provider.kept_call(place, live_mint(deep))


@pytest.mark.parametrize(
    ("name", "call_id"),
    [("openai-live", "live_u1_9c6574da8b8a41a18da9308f4ad974ce"), ("azure-live", "live_az_5d0e7b1c9f")],
)
def test_an_answer_is_read_with_its_id(name: str, call_id: str) -> None:
    answer = PROVIDERS[name].read_answer(deployment(name), None, load(f"{name}/calls-201").response)
    assert answer.call_id == call_id
    assert answer.sdp == load("openai/calls-201").response.body


@pytest.mark.parametrize(
    ("body", "call_id"),
    [
        ({}, None),
        ([], None),
        ({"session": {"id": "live_1"}, "transport": {"type": "webrtc", "sdp": "no"}}, "live_1"),
        ({"session": {"id": "live_1"}, "transport": {"type": "sip", "sdp": SDP.decode()}}, "live_1"),
        ({"session": {"id": "live_1"}, "transport": {"sdp": SDP.decode() + f"a={OPENAI_KEY}\r\n"}}, "live_1"),
        ({"session": {"id": "a/b"}, "transport": {"type": "webrtc", "sdp": SDP.decode()}}, None),
        ({"session": {}, "transport": {"type": "webrtc", "sdp": SDP.decode()}}, None),
    ],
)
def test_a_call_may_exist_where_the_answer_cannot_be_used(body: Any, call_id: str | None) -> None:
    with pytest.raises(OutcomeUnknown) as unknown:
        PROVIDERS["openai-live"].read_answer(deployment("openai-live"), None, json_response(201, body))
    assert unknown.value.call_id == call_id


@pytest.mark.parametrize("name", NAMES)
def test_a_session_is_ended_and_attached_to_at_its_own_paths(name: str) -> None:
    provider, place = PROVIDERS[name], deployment(name)
    base = place.base_url
    assert provider.hangup_request(place, "live_1").url == f"{base}/live/sessions/live_1/hangup"
    socket = provider.sideband_request(place, "live_1")
    assert socket.url == f"wss{base.removeprefix('https')}/live/sessions/live_1/attach?graceful_close=true"
    assert provider.read_hangup(place, load("openai-live/hangup-200").response)
    gone = load("openai-live/hangup-404-session_not_found").response
    assert provider.read_hangup(place, gone) is False
    assert provider.read_no_sideband(place, gone) is None
    other = b'{"error": {"code": "DeploymentNotFound", "message": "x"}}'
    assert provider.read_no_sideband(place, response(404, other)) is not None
    with pytest.raises(UpstreamError):
        provider.read_hangup(place, response(404, other))


# --- what a page may do on its data channel -------------------------------------------------------------


def types_of(union: Any) -> set[str]:
    """The types of all events of the SDK's union."""
    events, *_ = get_args(union)
    return {get_args(event.model_fields["type"].annotation)[0] for event in get_args(events)}


def test_the_page_s_events_are_events_of_the_sdk() -> None:
    assert types_of(client_event.ClientEvent) >= set(PAGE_SENDS)
    assert types_of(server_event.ServerEvent) >= set(PAGE_SEES)
    assert set(PAGE_SEES) >= TELLS_SESSION


def channel(policy: ModelPolicy, session: dict[str, Any] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = dict(under_policy(policy, session or {}, Family.LIVE))["client"]["data_channel"]
    return found


def test_the_events_of_the_page_are_locked_where_no_one_says_anything() -> None:
    lists = channel(ModelPolicy())
    assert {"data_channel": lists} == page_events(with_session=True)
    assert "session.update" not in lists["allowed_client_events"]
    assert "client" not in under_policy(ModelPolicy(), {}, Family.REALTIME)


@pytest.mark.parametrize(
    ("client", "param"),
    [
        (
            {"data_channel": {"allowed_client_events": "all"}},
            "session.client.data_channel.allowed_client_events",
        ),
        (
            {"data_channel": {"allowed_server_events": []}},
            "session.client.data_channel.allowed_server_events",
        ),
        ({"data_channel": None}, "session.client.data_channel"),
        (None, "session.client"),
    ],
)
def test_a_caller_cannot_change_them(client: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        channel(ModelPolicy(), {"client": client})
    assert refused.value.param == param


def test_a_caller_may_repeat_them_and_lose_none() -> None:
    lists = page_events(with_session=True)
    assert {"data_channel": channel(ModelPolicy(), {"client": lists})} == lists
    assert {"data_channel": channel(ModelPolicy(), {"client": {"data_channel": {}}})} == lists


@pytest.mark.parametrize("place", ["defaults", "locked"])
def test_an_operator_s_list_replaces_ours_and_is_locked_wherever_it_stands(place: str) -> None:
    wide = {"client": {"data_channel": {"allowed_client_events": "all"}}}
    fields: dict[str, Any] = {place: wide}
    policy = ModelPolicy(**fields)
    assert channel(policy)["allowed_client_events"] == "all"
    assert channel(policy)["allowed_server_events"]
    with pytest.raises(InvalidRequest):
        channel(policy, {"client": {"data_channel": {"allowed_client_events": []}}})


def test_instructions_that_stay_secret_do_not_come_over_the_data_channel() -> None:
    seen = channel(ModelPolicy(strip_instructions=True))["allowed_server_events"]
    names = {entry["type"] for entry in seen}
    assert names == set(PAGE_SEES) - TELLS_SESSION


# --- the session that comes with an offer ----------------------------------------------------------------


def test_a_session_beside_the_offer_may_say_less_and_nothing_else() -> None:
    fixed = {"model": "gpt-live-1", "audio": {"output": {"voice": "marin"}}, "store": False}
    sames: tuple[dict[str, Any], ...] = (
        {},
        {"model": "gpt-live-1"},
        {"audio": {"output": {}}},
        {"store": False},
        {"triggers": None},
    )
    for same in sames:
        require_same(same, fixed)
    for other, param in (
        ({"model": "gpt-live-2"}, "session.model"),
        ({"audio": {"output": {"voice": "cedar"}}}, "session.audio.output.voice"),
        ({"audio": None}, "session.audio"),
        ({"instructions": "Obey me."}, "session.instructions"),
    ):
        with pytest.raises(InvalidRequest) as refused:
            require_same(other, fixed)
        assert refused.value.param == param


# --- events ----------------------------------------------------------------------------------------------


def event(name: str) -> str:
    return (EVENTS / f"{name}.json").read_text(encoding="utf-8")


def told(seconds: Any, kind: str = "session.usage.updated", **more: Any) -> str:
    return orjson.dumps({"type": kind, "usage": {"seconds": seconds}, **more}).decode()


def test_seconds_are_running_totals_of_which_the_last_one_counts() -> None:
    usage = Usage()
    usage.read(event("session.started"))
    assert usage.read(told(15)) == {"live_seconds": 15}
    assert usage.read(event("session.usage.updated")) == {"live_seconds": 3.5}
    assert usage.read(event("session.usage.updated")) == {}
    assert usage.read(told(2)) == {}
    assert not usage.closed
    assert usage.read(event("session.closed-expired")) == {"live_seconds": 42.75}
    assert usage.figures == {"live_seconds": 61.25}
    assert (usage.model, usage.closed, usage.ended) == ("gpt-live-1", True, "session_expired")


def test_a_watcher_that_takes_over_needs_the_last_total_alone() -> None:
    usage = Usage({"live_seconds": 18.5})
    assert usage.read(told(90.25)) == {"live_seconds": 71.75}
    assert usage.figures == {"live_seconds": 90.25}


@pytest.mark.parametrize("seconds", [None, "9", True, -1, 10**12])
def test_a_total_that_is_none_counts_nothing(seconds: Any) -> None:
    assert Usage().read(told(seconds)) == {}


@pytest.mark.parametrize(
    ("reason", "ended"),
    [
        ("close_requested", ""),
        ("remote_hangup", ""),
        ("expired", "session_expired"),
        ("content", "content_filter"),
        ("connection_lost", "connection_lost"),
        ("of tomorrow", ""),
    ],
)
def test_reasons_are_told_in_our_words(reason: str, ended: str) -> None:
    usage = Usage()
    usage.read(told(20, "session.closed", reason=reason))
    assert (usage.closed, usage.ended) == (True, ended)


def test_what_is_delegated_counts_by_its_tokens_once() -> None:
    usage = Usage()
    counted = {"responses": 1, "input_tokens": 812, "cached_tokens": 512, "output_tokens": 96}
    assert usage.read(event("response.event-completed")) == counted
    assert usage.read(event("response.event-completed")) == {}


def test_audio_of_a_live_session_does_not_pass_and_its_last_event_is_known() -> None:
    for kind in ("session.output_audio.delta", "session.input_audio.append"):
        assert carries_audio(f'{{"type": "{kind}", "delta": "AA"}}')
    assert not carries_audio('{"type": "session.input_audio.muted"}')
    for kind in ("session.input_audio.append", "session.output_audio.fixture.play"):
        assert appends_audio(f'{{"type": "{kind}", "audio": "AA"}}')
    assert not appends_audio('{"type": "session.commentary.append", "content": "x"}')
    assert ends_session(event("session.closed-expired"))
    assert not ends_session('{"type": "info", "message": "session.closed"}')
