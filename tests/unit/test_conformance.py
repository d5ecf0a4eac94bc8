"""The hook that holds answers to the reference finds every kind of breach."""

from __future__ import annotations

import orjson
import pytest

from tests.support.conformance import Conformance, Exchange

MINT = "/v1/realtime/client_secrets"
HEADERS = {
    "x-request-id": "req_12345678",
    "vary": "Origin",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "content-type": "application/json",
}
REFUSED = {**HEADERS, "www-authenticate": "Bearer"}


def error(code: str, kind: str, **more: object) -> bytes:
    return orjson.dumps({"error": {"message": "No.", "type": kind, "param": None, "code": code, **more}})


WRONG_TYPE = error("method_not_allowed", "x")
NOT_ALLOWED = error("method_not_allowed", "invalid_request_error")
KEPT = {**HEADERS, "cache-control": "no-cache"}
TEXT = {**HEADERS, "content-type": "text/plain"}


def without(name: str) -> dict[str, str]:
    return {key: value for key, value in HEADERS.items() if key != name}


ALIVE = Exchange("GET", "/livez", 200, HEADERS, b'{"status":"alive"}')
UNKNOWN_KEY = error("invalid_api_key", "authentication_error")
BREACHES = [
    (Exchange("GET", "/livez", 200, HEADERS, b'{"status":"dead"}'), "the body is not as documented"),
    (Exchange("GET", "/livez", 200, HEADERS, b'{"status":"alive","host":"a"}'), "not as documented"),
    (Exchange("GET", "/livez", 200, HEADERS, b"alive"), "the body is no JSON"),
    (Exchange("GET", "/livez", 202, HEADERS, b"{}"), "status 202 is not documented"),
    (Exchange("GET", "/livez", 200, without("x-request-id"), ALIVE.body), "x-request-id is missing"),
    (Exchange("GET", "/livez", 200, without("vary"), ALIVE.body), "vary is missing"),
    (Exchange("GET", "/livez", 200, {**HEADERS, "vary": "*"}, ALIVE.body), "vary is not as documented"),
    (Exchange("GET", "/livez", 200, {**HEADERS, "x-inner": "1"}, ALIVE.body), "x-inner is not documented"),
    (Exchange("GET", "/livez", 200, TEXT, b"x"), "type text/plain"),
    (Exchange("GET", "/openapi.json", 304, KEPT, b"x"), "etag is missing"),
    (Exchange("POST", MINT, 401, HEADERS, UNKNOWN_KEY), "www-authenticate is missing"),
    (Exchange("POST", "/realtime/calls", 401, REFUSED, UNKNOWN_KEY), "the body is not as documented"),
    (
        Exchange("POST", "/realtime/calls", 400, HEADERS, error("invalid_offer", "server_error")),
        "the body is not as documented",
    ),
    (
        Exchange("POST", "/realtime/calls", 418, HEADERS, error("teapot", "invalid_request_error")),
        "the body is not as documented",
    ),
    (
        Exchange("POST", "/realtime/calls", 418, HEADERS, error("teapot", "upstream_error", trace="x")),
        "the body is not as documented",
    ),
    (Exchange("GET", "/v1/nothing", 200, HEADERS, b"{}"), "no operation is documented here"),
    (Exchange("PUT", "/livez", 405, HEADERS, WRONG_TYPE), "is not one of"),
    (Exchange("PUT", "/livez", 405, HEADERS, NOT_ALLOWED), "405 without Allow"),
    (
        Exchange("POST", "/v1/nothing", 404, HEADERS, error("gone", "invalid_request_error")),
        "the code of a 404 here is not_found",
    ),
    (Exchange("OPTIONS", "/livez", 204, HEADERS, b"x", preflight=True), "there is a body"),
]


@pytest.mark.parametrize(("exchange", "complaint"), BREACHES)
def test_an_answer_that_is_not_as_documented_is_found(exchange: Exchange, complaint: str) -> None:
    conformance = Conformance()
    conformance.see(exchange)
    assert len(conformance.breaches) >= 1
    assert complaint in conformance.breaches[0]
    with pytest.raises(AssertionError, match="not as documented"):
        conformance.raise_breaches()


def test_an_answer_as_documented_passes() -> None:
    conformance = Conformance()
    conformance.see(ALIVE)
    conformance.see(
        Exchange("POST", "/openai/v1/realtime/calls", 418, HEADERS, error("teapot", "upstream_error"))
    )
    conformance.raise_breaches()
    assert conformance.checked == {("livez", 200): 1, ("relay", 418): 1}
