"""The requests that go to a provider: where the credential stands, and what becomes of the session."""

from __future__ import annotations

from typing import Any, Literal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidRequest
from app.models import Secret
from app.providers.registry import PROVIDERS
from tests.unit.values import AZURE_KEY, EPHEMERAL_KEY, OPENAI_KEY, deployment, mint_request, offer

Name = Literal["openai", "azure"]
STANDARD_KEYS = {"openai": OPENAI_KEY, "azure": AZURE_KEY}
every_provider = pytest.mark.parametrize("name", ["openai", "azure"])

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def minted_body(name: Name, session: dict[str, Any], **changes: Any) -> Any:
    request = PROVIDERS[name].mint_request(deployment(name), mint_request(session=session, **changes))
    return orjson.loads(request.body)


@every_provider
def test_a_mint_goes_to_client_secrets_with_the_standard_key_in_one_header_only(name: Name) -> None:
    place = deployment(name)
    request = PROVIDERS[name].mint_request(place, mint_request(session={"voice": "alloy"}))
    key = STANDARD_KEYS[name]
    assert request.url == f"{place.base_url}/realtime/client_secrets"
    holders = {header: value for header, value in request.headers.items() if key in value}
    assert holders == ({"Authorization": f"Bearer {key}"} if name == "openai" else {"api-key": key})
    assert key not in request.url
    assert key.encode() not in request.body
    assert request.headers["Content-Type"] == "application/json"


@every_provider
def test_an_offer_goes_to_calls_byte_for_byte_with_the_ephemeral_key_only(name: Name) -> None:
    place, sdp = deployment(name), b"v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\n\xc3\xa9\r\n"
    request = PROVIDERS[name].relay_request(place, Secret(EPHEMERAL_KEY), offer(sdp))
    assert request.url == f"{place.base_url}/realtime/calls"
    assert request.body == sdp
    assert request.headers == {
        "Authorization": f"Bearer {EPHEMERAL_KEY}",
        "Content-Type": "application/sdp",
        "Accept": "application/sdp",
    }
    assert STANDARD_KEYS[name] not in str(dict(request.headers))


@every_provider
def test_a_request_does_not_show_its_credential_or_body(name: Name) -> None:
    provider, place = PROVIDERS[name], deployment(name)
    mint = provider.mint_request(place, mint_request(session={"instructions": "be secret"}))
    relay = provider.relay_request(place, Secret(EPHEMERAL_KEY), offer(b"v=0 candidate"))
    shown = f"{mint!r} {relay!r} {mint} {relay}"
    for hidden in (STANDARD_KEYS[name], EPHEMERAL_KEY, "be secret", "candidate"):
        assert hidden not in shown


@every_provider
@pytest.mark.parametrize("session", [{}, {"type": "realtime"}, {"type": "transcription"}, {"type": None}])
def test_the_session_always_has_the_type_that_the_handle_is_minted_for(
    name: Name, session: dict[str, Any]
) -> None:
    assert minted_body(name, session)["session"]["type"] == "realtime"


@every_provider
@pytest.mark.parametrize("session", [{}, {"model": "assistant"}, {"model": "something else"}])
def test_the_model_goes_out_under_the_providers_name(name: Name, session: dict[str, Any]) -> None:
    expected = {"openai": "assistant", "azure": "voice-prod"}[name]
    assert minted_body(name, session)["session"]["model"] == expected


def test_without_an_upstream_name_the_alias_is_the_providers_name() -> None:
    request = PROVIDERS["openai"].mint_request(deployment(), mint_request(model="gpt-realtime-2027"))
    assert orjson.loads(request.body)["session"]["model"] == "gpt-realtime-2027"


@every_provider
@given(
    session=st.dictionaries(
        st.text().filter(lambda key: key not in ("type", "model")), json_values, max_size=5
    )
)
def test_session_fields_that_we_do_not_know_pass_through_untouched(
    name: Name, session: dict[str, Any]
) -> None:
    """From the caller's JSON to the provider's: same fields, same order, same spelling of every value."""
    received = orjson.loads(orjson.dumps(session))
    sent = minted_body(name, received)["session"]
    del sent["type"], sent["model"]
    assert orjson.dumps(sent) == orjson.dumps(session)


@every_provider
def test_the_callers_session_object_is_left_alone(name: Name) -> None:
    session = {"model": "assistant", "audio": {"output": {"voice": "alloy"}}}
    before = orjson.dumps(session)
    minted_body(name, session)
    assert orjson.dumps(session) == before


@every_provider
@pytest.mark.parametrize("seconds", [10, 600, 7200])
def test_a_wanted_life_is_anchored_at_the_keys_creation(name: Name, seconds: int) -> None:
    body = minted_body(name, {}, seconds=seconds)
    assert body["expires_after"] == {"anchor": "created_at", "seconds": seconds}


@every_provider
def test_without_a_wanted_life_the_provider_s_own_default_counts(name: Name) -> None:
    assert minted_body(name, {}).keys() == {"session"}


@every_provider
@pytest.mark.parametrize("subject", [None, "user-17"])
def test_who_asks_and_from_where_is_not_told_to_the_provider(name: Name, subject: str | None) -> None:
    request = PROVIDERS[name].mint_request(
        deployment(name), mint_request(subject=subject, origin="https://shop.example")
    )
    everything = f"{request.url} {dict(request.headers)} {request.body!r}"
    assert "user-17" not in everything
    assert "shop.example" not in everything


@every_provider
def test_a_session_nested_deeper_than_json_is_written_is_the_callers_fault(name: Name) -> None:
    deep: Any = 1
    for _ in range(300):
        deep = {"a": deep}
    with pytest.raises(InvalidRequest, match="nested too deeply") as refused:
        minted_body(name, {"deep": deep})
    assert refused.value.param == "session"
