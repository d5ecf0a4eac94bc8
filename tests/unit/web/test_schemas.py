"""The mint's JSON: what is taken, and that every refusal names the field at fault."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidRequest
from app.models import Binding, Family, MintRequest
from app.web.schemas import MintHeaders, parse_mint


def parse(
    body: dict[str, Any], default_model: str | None = "gpt-realtime-2.1", **who: str | None
) -> MintRequest:
    headers = MintHeaders(who.get("subject"), who.get("origin"))
    return parse_mint(body, headers=headers, default_model=default_model)


def refused(
    body: dict[str, Any], default_model: str | None = "gpt-realtime-2.1", **who: str | None
) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as error:
        parse(body, default_model, **who)
    assert (error.value.status, error.value.code) == (400, "invalid_request")
    return error.value


def test_openais_body_is_taken() -> None:
    session = {"type": "realtime", "model": "voice", "audio": {"output": {"voice": "alloy"}}}
    body = {"session": session, "expires_after": {"anchor": "created_at", "seconds": 60}}
    assert parse(body) == MintRequest(model="voice", family=Family.REALTIME, session=session, seconds=60)


def test_litellms_body_is_taken() -> None:
    assert parse({"model": "gpt-4o-realtime"}) == MintRequest("gpt-4o-realtime", Family.REALTIME, {})


@pytest.mark.parametrize("body", [{}, {"session": {}}, {"session": None}, {"session": {"type": "realtime"}}])
def test_an_empty_request_is_for_the_default_model(body: dict[str, Any]) -> None:
    request = parse(body)
    assert (request.model, request.seconds, request.session.get("model")) == ("gpt-realtime-2.1", None, None)


def test_without_a_default_a_model_must_be_named() -> None:
    assert refused({}, None).param == "session.model"


@pytest.mark.parametrize("name", ["gpt-realtime-2.1", "openai/gpt-4o:v2", "a", "A.b_c@d-1", "9", "x" * 128])
def test_a_model_may_be_named_in_either_place_or_in_both_alike(name: str) -> None:
    for body in ({"model": name}, {"session": {"model": name}}, {"model": name, "session": {"model": name}}):
        assert parse(body).model == name


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "*", "-a", "a\n", "é", "x" * 129, "a'b", "<a>", 5, True, [], {}]
)
@pytest.mark.parametrize("place", ["model", "session.model"])
def test_a_model_of_another_form_is_refused_by_its_place(name: Any, place: str) -> None:
    error = refused({"model": name} if place == "model" else {"session": {"model": name}})
    assert error.param == place
    assert len(str(name)) < 3 or str(name) not in error.message


def test_two_different_models_are_a_contradiction() -> None:
    assert refused({"model": "a", "session": {"model": "b"}}).param == "model"


@pytest.mark.parametrize("name", ["sesion", "Session", "stream", "", "x" * 200])
def test_an_unknown_field_is_refused_by_its_name_cut_short(name: str) -> None:
    assert refused({name: 1}).param == name[:64]


@pytest.mark.parametrize("session", ["realtime", 5, True, [], [{}]])
def test_a_session_that_is_no_object_is_refused(session: Any) -> None:
    assert refused({"session": session}).param == "session"


@pytest.mark.parametrize("kind", ["", "Realtime", "translation", None, 5, ["realtime"]])
def test_a_session_of_an_unknown_type_is_refused(kind: Any) -> None:
    assert refused({"session": {"type": kind}}).param == "session.type"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(session=st.dictionaries(st.text().filter(lambda name: name not in ("type", "model")), json_values))
def test_whatever_else_a_session_holds_is_the_providers_business(session: dict[str, Any]) -> None:
    assert parse({"session": session}).session == session


# --- expires_after ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [10, 11, 600, 7199, 7200])
def test_a_life_from_10_to_7200_seconds_is_taken(seconds: int) -> None:
    assert parse({"expires_after": {"seconds": seconds}}).seconds == seconds
    assert parse({"expires_after": {"anchor": "created_at", "seconds": seconds}}).seconds == seconds


def test_a_whole_number_may_be_written_with_a_point() -> None:
    """JSON has one kind of number, and some clients write every one of theirs as 600.0."""
    seconds = parse({"expires_after": {"seconds": 600.0}}).seconds
    assert (seconds, type(seconds)) == (600, int)


@pytest.mark.parametrize(
    ("session", "param"),
    [
        ({"audio": "loud"}, "session.audio"),
        ({"audio": []}, "session.audio"),
        ({"audio": {"input": 5}}, "session.audio.input"),
        ({"audio": {"input": {"transcription": [None]}}}, "session.audio.input.transcription"),
        ({"type": "transcription", "audio": {"input": False}}, "session.audio.input"),
    ],
)
def test_what_leads_to_a_nested_model_is_an_object_or_null(session: Any, param: str) -> None:
    assert refused({"model": "voice", "session": session}).param == param


@pytest.mark.parametrize(
    "session", [{"audio": None}, {"audio": {"input": None}}, {"audio": {"input": {"transcription": None}}}]
)
def test_null_on_the_way_to_a_nested_model_means_that_there_is_none(session: Any) -> None:
    assert parse({"model": "voice", "session": session}).nested_model is None


@pytest.mark.parametrize("value", [9, 0, -1, 7201, 2**63, 60.5, 1e300, "60", True, False, [60], {}])
def test_any_other_life_is_refused(value: Any) -> None:
    assert (
        refused({"expires_after": {"anchor": "created_at", "seconds": value}}).param
        == "expires_after.seconds"
    )


@pytest.mark.parametrize("value", [None, {}, {"anchor": "created_at"}, {"seconds": None}])
def test_no_life_named_leaves_it_to_the_provider(value: Any) -> None:
    assert parse({"expires_after": value}).seconds is None


@pytest.mark.parametrize("anchor", ["now", "", None, 5, ["created_at"]])
def test_another_anchor_is_refused(anchor: Any) -> None:
    assert refused({"expires_after": {"anchor": anchor, "seconds": 60}}).param == "expires_after.anchor"


@pytest.mark.parametrize("value", [60, "60", [60], True, {"seconds": 60, "minutes": 1}])
def test_an_expiry_of_another_shape_is_refused(value: Any) -> None:
    assert refused({"expires_after": value}).param == "expires_after"


# --- who, and from where ----------------------------------------------------------------------------


@pytest.mark.parametrize("subject", [None, "u", "user-17@shop", "x" * 128, "!~"])
def test_a_printable_subject_is_taken(subject: str | None) -> None:
    assert parse({}, subject=subject).subject == subject


@pytest.mark.parametrize("subject", ["", " ", "a b", "x" * 129, "é", "a\n", "\udcff", "\x7f"])
def test_a_subject_of_another_form_is_refused(subject: str) -> None:
    assert refused({}, subject=subject).param == "x-cloakroom-subject"


@pytest.mark.parametrize("origin", [None, "null", "https://shop.example", "chrome-extension://abc"])
def test_a_browsers_origin_is_taken(origin: str | None) -> None:
    assert parse({}, origin=origin).origin == origin


@pytest.mark.parametrize("origin", ["", "https://shop example", "\udcff\udcfe", "é", "x" * 301, "a\nb"])
def test_an_origin_that_the_store_could_not_take_is_refused(origin: str) -> None:
    assert refused({}, origin=origin).param == "origin"


@given(body=st.dictionaries(st.sampled_from(["model", "session", "expires_after", "x"]), json_values))
def test_any_json_object_is_a_request_or_a_refusal_that_names_a_field(body: dict[str, Any]) -> None:
    try:
        request = parse(body)
    except InvalidRequest as error:
        named = error.param
    else:
        named = request.model
    assert named


def test_a_binding_is_read_and_is_no_part_of_the_session() -> None:
    bind = {"origin": "https://app.example.com", "fingerprint": "sha-256 " + ":".join(["ab"] * 32)}
    request = parse({"session": {"model": "voice"}, "bind": bind})
    assert request.binding == Binding("https://app.example.com", "sha-256 " + ":".join(["AB"] * 32))
    assert request.session == {"model": "voice"}
    assert refused({"bind": {"origin": "app.example.com"}}).param == "bind.origin"


@pytest.mark.parametrize(
    ("binds", "origin", "body", "bound"),
    [
        (False, "https://app.example.com", {}, ""),
        (True, "https://app.example.com", {}, "https://app.example.com"),
        (True, "https://App.example.com:443", {"bind": {}}, "https://app.example.com"),
        (True, "https://app.example.com", {"bind": {"origin": None}}, ""),
        (True, "https://app.example.com", {"bind": {"origin": "https://b.example"}}, "https://b.example"),
        (True, None, {}, ""),
        (True, "null", {}, ""),
    ],
)
def test_a_user_is_bound_to_his_page_unless_he_says_otherwise(
    binds: bool, origin: str | None, body: dict[str, Any], bound: str
) -> None:
    headers = MintHeaders("ada", origin, binds_origin=binds)
    assert parse_mint(body, headers=headers, default_model="voice").binding == Binding(bound)
