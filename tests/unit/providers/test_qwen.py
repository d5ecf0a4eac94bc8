"""Qwen-Omni: its temporary keys, its offers, every answer, and what it cannot do."""

from __future__ import annotations

from typing import Any, Final

import orjson
import pytest

from app.errors import InvalidRequest, UpstreamError
from app.models import Family, Secret
from app.providers.dialects.qwen import LONGEST_KEY_SECONDS, Qwen
from tests.samples import load, names
from tests.unit.providers.responses import response
from tests.unit.values import AZURE_KEY, deployment, mint_request, offer

DIALECT: Final = Qwen()
HOST: Final = "https://llm-acme.ap-southeast-1.maas.aliyuncs.com"
TOKEN: Final = "st-5d2f0c9a8be147f6a3"
READ: Final = {
    *("tokens-200", "tokens-400-InvalidParameter", "tokens-401-InvalidApiKey"),
    *("calls-200", "calls-201-named", "calls-401-InvalidApiKey", "calls-404-ModelNotFound"),
    "calls-429-Throttling",
}


def place(**changes: Any) -> Any:
    values = {"base_url": HOST, "upstream_model": "qwen3.8-omni-flash-realtime"}
    return deployment("qwen", **{**values, **changes})


def test_every_sample_is_read_here() -> None:
    assert {name.partition("/")[2] for name in names("qwen")} == READ


@pytest.mark.parametrize(
    "pasted",
    [
        HOST,
        HOST + "/",
        HOST.removeprefix("https://"),
        HOST.upper().replace("HTTPS", "https"),
        HOST + "/api/v1/tokens?expire_in_seconds=1800",
        HOST + "/api/v1/webrtc/realtime?model=qwen3.8-omni-flash-realtime",
        HOST.replace("https", "wss") + "/api-ws/v1/realtime",
    ],
)
def test_every_form_of_the_host_is_taken(pasted: str) -> None:
    assert DIALECT.base_url(pasted) == HOST
    assert DIALECT.webrtc_url(pasted) == HOST


@pytest.mark.parametrize("pasted", [None, "", " ", "ftp://x", "https://user:pass@host"])
def test_a_host_is_needed(pasted: str | None) -> None:
    with pytest.raises(ValueError, match="base_url must be the workspace's host"):
        DIALECT.base_url(pasted)


# --- the mint --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "query"), [(None, ""), (10, "?expire_in_seconds=10"), (1800, "?expire_in_seconds=1800")]
)
def test_a_key_is_minted_with_its_life_and_nothing_else(seconds: int | None, query: str) -> None:
    request = DIALECT.mint_request(place(), mint_request(seconds=seconds))
    assert request.url == f"{HOST}/api/v1/tokens{query}"
    assert request.headers == {"Authorization": f"Bearer {AZURE_KEY}", "Accept": "application/json"}
    assert request.body == b""


def test_a_longer_life_than_the_provider_gives_is_refused_with_its_bound() -> None:
    with pytest.raises(InvalidRequest, match="at most 1800 for this model") as refused:
        DIALECT.mint_request(place(), mint_request(seconds=LONGEST_KEY_SECONDS + 1))
    assert refused.value.param == "expires_after.seconds"


@pytest.mark.parametrize("method", ["mint_request", "kept_call"])
def test_a_session_that_no_request_carries_is_refused(method: str) -> None:
    session = {"type": "realtime", "model": "qwen", "instructions": "Obey the house rules."}
    with pytest.raises(InvalidRequest, match=r"session\.update over the data channel") as refused:
        getattr(DIALECT, method)(place(), mint_request(session=session))
    assert refused.value.param == "session.instructions"
    with pytest.raises(UpstreamError, match="serves realtime sessions only"):
        getattr(DIALECT, method)(place(), mint_request(family=Family.TRANSCRIPTION))


def test_a_minted_key_is_read_with_its_expiry() -> None:
    key = DIALECT.read_mint(place(), load("qwen/tokens-200").response)
    assert (key.value.reveal(), key.expires_at) == (TOKEN, 1_762_962_123)
    assert key.session == {"type": "realtime", "model": "qwen3.8-omni-flash-realtime"}
    bare = DIALECT.read_mint(place(), response(200, orjson.dumps({"token": TOKEN})))
    assert (bare.expires_at, bare.seconds) == (None, 60)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"token": ""}', b'{"token": "st-12345678", "expires_at": "x"}']
)
def test_an_answer_without_a_key_is_the_providers_fault(body: bytes) -> None:
    with pytest.raises(UpstreamError, match="holds no usable"):
        DIALECT.read_mint(place(), response(200, body))


@pytest.mark.parametrize(
    ("name", "status", "code", "says"),
    [
        ("tokens-401-InvalidApiKey", 401, "InvalidApiKey", "deployments.qwen-main.api_key"),
        ("tokens-400-InvalidParameter", 400, "InvalidParameter", "between 1 and 1800"),
    ],
)
def test_a_refused_mint_keeps_the_providers_code(name: str, status: int, code: str, says: str) -> None:
    with pytest.raises(UpstreamError) as refused:
        DIALECT.read_mint(place(), load(f"qwen/{name}").response)
    assert (refused.value.answer_status, refused.value.answer_code) == (status, code)
    assert says in refused.value.message


# --- the call --------------------------------------------------------------------------------------


def test_an_offer_goes_to_the_workspace_with_the_temporary_key() -> None:
    request = DIALECT.relay_request(place(), Secret(TOKEN), offer(b"v=0\r\n"))
    assert request.url == f"{HOST}/api/v1/webrtc/realtime?model=qwen3.8-omni-flash-realtime"
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"
    assert (request.headers["Content-Type"], request.body) == ("application/sdp", b"v=0\r\n")


def test_offers_may_go_to_another_host_than_mints() -> None:
    other = place(base_url="https://dashscope.aliyuncs.com", webrtc_url=HOST)
    assert DIALECT.mint_request(other, mint_request()).url == "https://dashscope.aliyuncs.com/api/v1/tokens"
    assert DIALECT.relay_request(other, Secret(TOKEN), offer(b"v=0")).url.startswith(f"{HOST}/api/v1/webrtc")


def test_the_standard_key_creates_a_call_where_that_is_set() -> None:
    kept = DIALECT.kept_call(place(), mint_request(session={"type": "realtime"}))
    assert orjson.loads(kept.session) == {"type": "realtime", "model": "qwen3.8-omni-flash-realtime"}
    request = DIALECT.standard_call_request(place(), kept, offer(b"v=0\r\n"))
    assert request.headers["Authorization"] == f"Bearer {AZURE_KEY}"
    assert request.url == f"{HOST}/api/v1/webrtc/realtime?model=qwen3.8-omni-flash-realtime"


def test_an_answer_is_read_with_and_without_a_location() -> None:
    plain = DIALECT.read_answer(place(), Secret(TOKEN), load("qwen/calls-200").response)
    assert (plain.sdp, plain.call_id) == (load("openai/calls-201").response.body, None)
    named = DIALECT.read_answer(place(), Secret(TOKEN), load("qwen/calls-201-named").response)
    assert named.call_id == "rtc-7f20c4d1"


def test_a_refused_temporary_key_names_the_setting_that_does_without() -> None:
    sample = load("qwen/calls-401-InvalidApiKey").response
    with pytest.raises(UpstreamError, match=r"deployments\.qwen-main\.call_key to standard") as refused:
        DIALECT.read_answer(place(), Secret(TOKEN), sample)
    assert (refused.value.answer_status, refused.value.answer_code) == (401, "InvalidApiKey")
    with pytest.raises(UpstreamError, match=r"deployments\.qwen-main\.api_key") as refused:
        DIALECT.read_answer(place(), Secret(AZURE_KEY), sample)
    assert "call_key" not in refused.value.message


@pytest.mark.parametrize(
    ("name", "status", "code", "setting"),
    [
        ("calls-404-ModelNotFound", 404, "ModelNotFound", "Set deployments.qwen-main.model"),
        ("calls-429-Throttling", 429, "Throttling.RateQuota", "project of deployments.qwen-main.api_key"),
    ],
)
def test_a_refused_offer_keeps_the_providers_code_and_names_the_setting(
    name: str, status: int, code: str, setting: str
) -> None:
    with pytest.raises(UpstreamError) as refused:
        DIALECT.read_answer(place(), Secret(TOKEN), load(f"qwen/{name}").response)
    assert (refused.value.answer_status, refused.value.answer_code) == (status, code)
    assert setting in refused.value.message


def test_hanging_up_and_attaching_say_what_to_do_instead() -> None:
    with pytest.raises(InvalidRequest, match="Close the browser's peer connection"):
        DIALECT.hangup_request(place(), "rtc-7f20c4d1")
    with pytest.raises(InvalidRequest, match="Use the browser's data channel"):
        DIALECT.sideband_request(place(), "rtc-7f20c4d1")
