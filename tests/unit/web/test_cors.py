"""CORS: which origins may call, and which request headers a preflight allows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.web.cors import EXPOSE_HEADERS, CorsPolicy, allow_headers

HOST = "voice.example:8080"
PATH = "/v1/realtime/calls"


def policy(*origins: str, own: str | None = None) -> CorsPolicy:
    return CorsPolicy(origins, own_origin=own)


def test_a_configured_origin_is_repeated_in_the_browsers_own_spelling() -> None:
    known = policy("https://App.example", "http://localhost:3000")
    for origin in ("https://app.example", "https://APP.example", "http://localhost:3000"):
        assert known.allowed_origin(origin, host=HOST, path=PATH) == origin


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example.evil.com",
        "https://evil-app.example",
        "http://app.example",
        "https://app.example:444",
        "https://sub.app.example",
        "https://app.example/",
        "https://app.example ",
        "null",
        "",
        "app.example",
        "https://",
        "*",
        "https://app.example\udcff",
    ],
)
def test_any_other_origin_is_refused(origin: str) -> None:
    assert policy("https://app.example").allowed_origin(origin, host=HOST, path=PATH) is None


@pytest.mark.parametrize("origin", ["https://anybody.example", "null", "file://", "chrome-extension://abc"])
def test_a_star_allows_every_origin_and_is_answered_as_a_star(origin: str) -> None:
    """Never the origin repeated: credentials are no cookies here, and a star can never carry one."""
    assert policy("*").allowed_origin(origin, host=HOST, path=PATH) == "*"
    assert policy("https://app.example", "*").allowed_origin(origin, host=HOST, path=PATH) == "*"


@pytest.mark.parametrize(
    "origin", ["http://voice.example:8080", "https://voice.example:8080", "https://VOICE.example:8080"]
)
def test_a_page_that_the_service_serves_itself_is_no_stranger(origin: str) -> None:
    assert policy().allowed_origin(origin, host=HOST, path=PATH) == origin


def test_the_public_url_is_allowed_behind_a_proxy_that_changes_the_host() -> None:
    known = policy(own="https://voice.example")
    assert (
        known.allowed_origin("https://voice.example", host="10.0.0.7:8080", path=PATH)
        == "https://voice.example"
    )
    assert known.allowed_origin("https://other.example", host="10.0.0.7:8080", path=PATH) is None


@pytest.mark.parametrize("origin", ["null", "", "https://", "file://", "voice.example"])
@pytest.mark.parametrize("host", ["", HOST])
def test_an_origin_without_an_authority_is_never_our_own(origin: str, host: str) -> None:
    assert policy().allowed_origin(origin, host=host, path=PATH) is None


@given(origin=st.text(max_size=40), host=st.text(max_size=20))
def test_without_a_list_only_an_origin_at_our_own_host_is_allowed(origin: str, host: str) -> None:
    allowed = policy().allowed_origin(origin, host=host, path=PATH)
    assert (allowed is not None) == (
        bool(host) and origin.lower().partition("://")[2] == host.lower() and "://" in origin.lower()
    )


@pytest.mark.parametrize("path", ["/admin/v1/handles", "/admin/", "/metrics"])
@pytest.mark.parametrize("origin", ["https://app.example", "https://voice.example", f"http://{HOST}", "null"])
def test_what_is_for_operators_is_for_no_page_whatever_is_allowed_elsewhere(path: str, origin: str) -> None:
    for known in (policy("*", own="https://voice.example"), policy("https://app.example")):
        assert known.allowed_origin(origin, host=HOST, path=path) is None


# --- the headers that a preflight asks for ----------------------------------------------------------


@pytest.mark.parametrize(
    "requested",
    [
        "authorization",
        "authorization, content-type",
        "authorization,content-type,x-openai-agents-sdk",
        "x-stainless-arch, x-stainless-lang, x-stainless-retry-count, x-stainless-runtime",
        "openai-safety-identifier, openai-beta, openai-organization",
        "api-key, content-type",
        "traceparent, tracestate, x-request-id",
        "x-cloakroom-subject",
    ],
)
def test_every_header_that_an_sdk_sends_is_allowed(requested: str) -> None:
    allowed = [name.strip() for name in allow_headers(requested).split(",")]
    assert allowed == [name.strip() for name in requested.split(",")]


def test_a_browsers_spelling_in_capitals_is_allowed_too() -> None:
    assert allow_headers("Authorization, X-OpenAI-Agents-SDK") == "authorization, x-openai-agents-sdk"


@pytest.mark.parametrize(
    "name",
    [
        "cookie",
        "host",
        "x-",
        "x-a b",
        "x-a\r\nSet-Cookie: a=b",
        "x-a:b",
        "*",
        "openai-",
        "",
        "x-é",
        "x-a;q=1",
    ],
)
def test_a_name_that_no_sdk_sends_or_that_is_none_is_left_out(name: str) -> None:
    assert allow_headers(f"authorization, {name}") == "authorization"


@pytest.mark.parametrize("requested", [None, "", "cookie", ",,,"])
def test_where_nothing_usable_is_asked_the_two_that_a_relay_needs_are_named(requested: str | None) -> None:
    assert allow_headers(requested) == "Authorization, Content-Type"


def test_an_endless_list_is_cut() -> None:
    assert len(allow_headers(", ".join(f"x-{number}" for number in range(10_000))).split(",")) == 50


@given(requested=st.text(max_size=200))
def test_no_request_puts_anything_but_names_into_the_answer(requested: str) -> None:
    assert set(allow_headers(requested).lower()) <= set("abcdefghijklmnopqrstuvwxyz0123456789-, ")


def test_a_browser_may_read_what_the_sdks_read() -> None:
    exposed = {name.strip().lower() for name in EXPOSE_HEADERS.split(",")}
    assert {"location", "x-request-id", "retry-after"} <= exposed
