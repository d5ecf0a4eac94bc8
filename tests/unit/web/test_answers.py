"""Errors as answers: one shape for all of them, and nothing but what the error carries."""

from __future__ import annotations

import inspect

import orjson
import pytest
from aiohttp import web

import app.errors
from app.errors import CloakroomError, InternalError, RateLimited, UpstreamError
from app.web.answers import error_response, from_http_exception, internal_error

ALL = [
    kind
    for _, kind in inspect.getmembers(app.errors, inspect.isclass)
    if issubclass(kind, CloakroomError) and kind is not CloakroomError
]
# The table of codes in the design, and the three that are only about the path or a defect of ours.
TABLE = {
    "invalid_request": 400,
    "invalid_offer": 400,
    "unsupported_media_type": 415,
    "request_too_large": 413,
    "invalid_api_key": 401,
    "invalid_handle": 401,
    "handle_expired": 401,
    "handle_revoked": 401,
    "model_not_allowed": 403,
    "model_not_found": 404,
    "origin_not_allowed": 403,
    "host_not_allowed": 421,
    "wrong_session_family": 403,
    "wrong_certificate": 403,
    "wrong_origin": 403,
    "handle_spent": 409,
    "rate_limited": 429,
    "upstream_error": 502,
    "upstream_unreachable": 502,
    "upstream_unavailable": 503,
    "upstream_timeout": 504,
    "outcome_unknown": 502,
    "store_unavailable": 503,
    "store_not_replicated": 503,
    "overloaded": 503,
    "draining": 503,
    "call_id_not_found": 404,
    "not_found": 404,
    "method_not_allowed": 405,
    "method_not_implemented": 501,
    "internal_error": 500,
}


def body_of(response: web.Response) -> dict[str, object]:
    assert isinstance(response.body, bytes)
    body: dict[str, dict[str, object]] = orjson.loads(response.body)
    assert body.keys() == {"error"}
    return body["error"]


def test_the_codes_and_statuses_are_those_of_the_design() -> None:
    assert TABLE.items() <= {kind.code: kind.status for kind in ALL}.items()


def test_no_two_errors_share_a_code() -> None:
    assert len({kind.code for kind in ALL}) == len(ALL)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.code)
def test_every_error_has_the_one_shape_and_its_class_s_code_and_status(kind: type[CloakroomError]) -> None:
    response = error_response(kind("A sentence.", param="session.model"))
    assert response.status == kind.status
    assert response.content_type == "application/json"
    assert body_of(response) == {
        "message": "A sentence.",
        "type": kind.type,
        "param": "session.model",
        "code": kind.code,
    }


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.code)
def test_a_401_says_how_to_authenticate_and_no_other_error_does(kind: type[CloakroomError]) -> None:
    response = error_response(kind("A sentence."))
    assert ("WWW-Authenticate" in response.headers) is (kind.status == 401)


def test_when_to_try_again_is_a_header() -> None:
    assert error_response(RateLimited("Slowly.", retry_after=7)).headers["Retry-After"] == "7"
    assert error_response(RateLimited("Slowly.", retry_after=0)).headers["Retry-After"] == "0"
    assert "Retry-After" not in error_response(RateLimited("Slowly.")).headers


def test_a_providers_refusal_keeps_its_status_code_and_headers() -> None:
    error = UpstreamError(
        "Rate limit reached.",
        upstream=(429, "rate_limit_exceeded"),
        retry_after=3,
        headers={"x-ratelimit-remaining-requests": "0", "x-upstream-request-id": "req_1"},
    )
    response = error_response(error)
    assert (response.status, body_of(response)["code"]) == (429, "rate_limit_exceeded")
    assert response.headers["Retry-After"] == "3"
    assert response.headers["x-ratelimit-remaining-requests"] == "0"
    assert response.headers["x-upstream-request-id"] == "req_1"


@pytest.mark.parametrize(
    ("exception", "status", "code"),
    [
        (web.HTTPNotFound(), 404, "not_found"),
        (web.HTTPMethodNotAllowed("GET", ["POST", "OPTIONS"]), 405, "method_not_allowed"),
        (web.HTTPRequestEntityTooLarge(1, 2), 400, "invalid_request"),
        (web.HTTPBadRequest(text="inner detail"), 400, "invalid_request"),
        (web.HTTPInternalServerError(text="inner detail"), 500, "internal_error"),
        (web.HTTPServiceUnavailable(text="inner detail"), 500, "internal_error"),
    ],
)
def test_aiohttps_own_refusals_get_our_shape_and_none_of_their_text(
    exception: web.HTTPException, status: int, code: str
) -> None:
    response = error_response(from_http_exception(exception))
    error = body_of(response)
    assert (response.status, error["code"]) == (status, code)
    assert "inner detail" not in str(error)


def test_a_wrong_method_names_the_right_ones() -> None:
    response = error_response(from_http_exception(web.HTTPMethodNotAllowed("GET", {"POST", "OPTIONS"})))
    assert response.headers["Allow"] == "OPTIONS, POST"


def test_a_defect_of_ours_tells_only_where_to_look() -> None:
    error = internal_error()
    assert isinstance(error, InternalError)
    assert "x-request-id" in error.message
