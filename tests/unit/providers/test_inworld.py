"""Inworld: what is kept, how a call is created, every answer, and its ICE servers."""

from __future__ import annotations

from typing import Any, Final

import orjson
import pytest

from app.errors import InvalidRequest, OutcomeUnknown, UpstreamError
from app.models import Family, Secret
from app.providers.base import NamesIceServers
from app.providers.dialects.inworld import Inworld
from app.providers.ice import AnswerWithServers, IceServer
from app.providers.registry import PROVIDERS
from tests.samples import load, names
from tests.unit.providers.responses import response
from tests.unit.values import deployment, mint_request, offer

DIALECT: Final = Inworld()
KEY: Final = Secret("aW53b3JsZC1rZXk6c2VjcmV0")
SERVERS: Final = (
    IceServer(("stun:stun.inworld.example:3478",)),
    IceServer(
        ("turn:turn.inworld.example:3478?transport=udp", "turn:turn.inworld.example:443?transport=tcp"),
        "1762965423:workspace",
        "c2FtcGxlLXR1cm4tcGFzc3dvcmQ=",
    ),
)
CALL: Final = "call_4b1d7c90e2f34a86"
READ: Final = {
    *("calls-200", "calls-201", "calls-201-raw", "calls-400-invalid_offer", "calls-401"),
    *("hangup-200", "hangup-404-call_id_not_found"),
    *("ice_servers-200", "ice_servers-200-no_list", "ice_servers-401"),
}


def place(**changes: Any) -> Any:
    values = {"api_key": KEY, "base_url": "https://api.inworld.ai/v1", "upstream_model": "openai/gpt-4o-mini"}
    return deployment("inworld", **{**values, **changes})


def test_every_sample_is_read_here() -> None:
    assert {name.partition("/")[2] for name in names("inworld")} == READ


@pytest.mark.parametrize(
    ("pasted", "url"),
    [
        (None, "https://api.inworld.ai/v1"),
        ("https://api.inworld.ai", "https://api.inworld.ai/v1"),
        ("https://api.inworld.ai/", "https://api.inworld.ai/v1"),
        ("http://127.0.0.1:9090/inworld/v1/", "http://127.0.0.1:9090/inworld/v1"),
    ],
)
def test_the_host_alone_is_enough(pasted: str | None, url: str) -> None:
    assert DIALECT.base_url(pasted) == url


def test_a_call_is_created_from_json_with_the_session_that_was_kept() -> None:
    session = {"instructions": "Be brief.", "audio": {"output": {"voice": "Sarah"}}}
    kept = DIALECT.kept_call(place(), mint_request(session=session, safety_identifier="who"))
    request = DIALECT.standard_call_request(place(), kept, offer(b"v=0\r\ns=-\xc3\xa9\r\n"))
    assert request.url == "https://api.inworld.ai/v1/realtime/calls"
    assert request.headers == {
        "Authorization": f"Bearer {KEY.reveal()}",
        "Content-Type": "application/json",
        "Accept": "application/json",
    }
    assert orjson.loads(request.body) == {
        "sdp": "v=0\r\ns=-\u00e9\r\n",
        "session": {**session, "type": "realtime", "model": "openai/gpt-4o-mini"},
    }


@pytest.mark.parametrize("family", [Family.TRANSCRIPTION, Family.TRANSLATION])
def test_other_sessions_are_refused_at_the_mint(family: Family) -> None:
    with pytest.raises(UpstreamError, match="serves realtime sessions only"):
        DIALECT.kept_call(place(), mint_request(family=family))


def test_it_mints_nothing() -> None:
    with pytest.raises(InvalidRequest):
        DIALECT.mint_request(place(), mint_request())


# --- answers ---------------------------------------------------------------------------------------


def test_an_answer_is_read_with_its_id_and_its_ice_servers() -> None:
    answer = DIALECT.read_answer(place(), KEY, load("inworld/calls-201").response)
    assert isinstance(answer, AnswerWithServers)
    assert answer.sdp == load("openai/calls-201").response.body
    assert (answer.call_id, answer.ice_servers) == (CALL, SERVERS)


def test_an_answer_may_be_a_200_and_may_be_raw() -> None:
    assert DIALECT.read_answer(place(), KEY, load("inworld/calls-200").response).call_id == CALL
    raw = DIALECT.read_answer(place(), KEY, load("inworld/calls-201-raw").response)
    assert raw.call_id == CALL
    assert raw.sdp == load("openai/calls-201").response.body


@pytest.mark.parametrize(
    ("body", "call_id"),
    [
        ({"id": CALL}, CALL),
        ({"id": CALL, "sdp": "no SDP"}, CALL),
        ({"id": "no/id", "sdp": 7}, None),
        ([], None),
    ],
)
def test_an_answer_without_sdp_leaves_the_outcome_unknown(body: Any, call_id: str | None) -> None:
    with pytest.raises(OutcomeUnknown) as unknown:
        DIALECT.read_answer(place(), KEY, response(201, orjson.dumps(body)))
    assert unknown.value.call_id == call_id


def test_an_answer_that_holds_the_key_is_no_answer() -> None:
    sdp = load("openai/calls-201").response.body.decode() + f"a=x:{KEY.reveal()}\r\n"
    with pytest.raises(OutcomeUnknown):
        DIALECT.read_answer(place(), KEY, response(201, orjson.dumps({"id": CALL, "sdp": sdp})))


@pytest.mark.parametrize(
    ("name", "status", "code", "says"),
    [
        ("calls-400-invalid_offer", 400, "invalid_offer", "Failed to parse"),
        ("calls-401", 401, "upstream_error", "refused the credential that deployment 'inworld-main'"),
    ],
)
def test_a_refusal_keeps_its_status_and_tells_no_key(name: str, status: int, code: str, says: str) -> None:
    with pytest.raises(UpstreamError) as refused:
        DIALECT.read_answer(place(), KEY, load(f"inworld/{name}").response)
    assert (refused.value.answer_status, refused.value.answer_code) == (status, code)
    assert says in refused.value.message
    assert KEY.reveal() not in refused.value.message


def test_a_call_is_over_where_it_was_ended_and_where_it_is_unknown() -> None:
    assert (
        DIALECT.hangup_request(place(), CALL).url == f"https://api.inworld.ai/v1/realtime/calls/{CALL}/hangup"
    )
    assert DIALECT.sideband_request(place(), CALL).url == f"wss://api.inworld.ai/v1/realtime?call_id={CALL}"
    assert DIALECT.read_hangup(place(), load("inworld/hangup-200").response) is True
    assert DIALECT.read_hangup(place(), load("inworld/hangup-404-call_id_not_found").response) is False


# --- ICE servers -----------------------------------------------------------------------------------


def test_it_alone_names_ice_servers() -> None:
    assert [name for name, one in PROVIDERS.items() if isinstance(one, NamesIceServers)] == ["inworld"]


def test_its_ice_servers_are_asked_for_with_the_standard_key() -> None:
    request = DIALECT.ice_servers_request(place())
    assert (request.method, request.url) == ("GET", "https://api.inworld.ai/v1/realtime/ice-servers")
    assert request.headers["Authorization"] == f"Bearer {KEY.reveal()}"
    assert DIALECT.read_ice_servers(place(), load("inworld/ice_servers-200").response) == SERVERS


def test_an_answer_without_a_list_is_the_providers_fault() -> None:
    with pytest.raises(UpstreamError, match="no list of ICE servers"):
        DIALECT.read_ice_servers(place(), load("inworld/ice_servers-200-no_list").response)
    with pytest.raises(UpstreamError, match="refused the credential") as refused:
        DIALECT.read_ice_servers(place(), load("inworld/ice_servers-401").response)
    assert KEY.reveal() not in refused.value.message
