"""The exchange of a workload's token: what is sent, what is read, and what a refusal says to change."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from app.models import Secret
from app.providers.federation import (
    TOKEN_URL,
    ExchangeRefused,
    Federation,
    exchange_request,
    read_exchange,
    token_url,
)
from tests.unit.providers.responses import json_response, response

PLACE: Final = "deployments.voice.workload_identity"
FEDERATION: Final = Federation(PLACE, "idp_1", "sa_1")
ACCESS: Final = "oat-7Qz4YtWmP1nXcVbKjHgF"


def test_the_workloads_token_is_sent_as_json_and_as_nothing_else() -> None:
    request = exchange_request(FEDERATION, Secret("eyJ.work.load"))
    assert request.url == "https://auth.openai.com/oauth/token"
    assert {name.lower() for name in request.headers} == {"content-type", "accept"}
    assert json.loads(request.body) == {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": "eyJ.work.load",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "identity_provider_id": "idp_1",
        "service_account_id": "sa_1",
    }
    assert "eyJ" not in repr(request)


def test_an_id_token_is_sent_as_one() -> None:
    federation = Federation(PLACE, "idp_1", "sa_1", token_type="id_token")
    body = json.loads(exchange_request(federation, Secret("eyJ.x")).body)
    assert body["subject_token_type"] == "urn:ietf:params:oauth:token-type:id_token"


@pytest.mark.parametrize(("life", "renew"), [(3600, 2400), (2400, 1200), (60, 30), (4.0, 2.0)])
def test_a_token_is_renewed_twenty_minutes_ahead_or_at_half_of_a_shorter_life(
    life: float, renew: float
) -> None:
    body = {"access_token": ACCESS, "expires_in": life}
    assert read_exchange(FEDERATION, json_response(200, body)) == (Secret(ACCESS), life, renew)


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"access_token": ACCESS},
        {"access_token": "", "expires_in": 60},
        {"access_token": "two words here", "expires_in": 60},
        {"access_token": ACCESS, "expires_in": 0},
        {"access_token": ACCESS, "expires_in": True},
        {"access_token": ACCESS, "expires_in": "3600"},
    ],
)
def test_an_answer_without_a_usable_token_is_a_refusal(body: Any) -> None:
    with pytest.raises(ExchangeRefused, match="no usable token") as refused:
        read_exchange(FEDERATION, json_response(200, body))
    assert ACCESS not in str(refused.value)


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (400, {"error": "invalid_grant", "error_description": "eyJ.work.load"}, f"{PLACE}.token_file"),
        (401, {"error": "invalid_client"}, f"{PLACE}.identity_provider_id"),
        (403, {"error": "unauthorized_client"}, f"{PLACE}.service_account_id"),
        (401, {"error": {"code": "invalid_grant", "message": "no"}}, "(invalid_grant)"),
        (400, {"error": "something_new"}, "(something_new)"),
        (400, {"error": "eyJ.work.load"}, "(status 400)"),
        (403, "<html>", "(status 403)"),
        (500, {"error": "invalid_grant"}, "answered with status 500"),
        (307, {}, "answered with status 307"),
    ],
)
def test_a_refusal_says_what_to_change_and_quotes_nothing_but_a_code(
    status: int, body: Any, said: str
) -> None:
    answer = response(status, body) if isinstance(body, str) else json_response(status, body)
    with pytest.raises(ExchangeRefused) as refused:
        read_exchange(FEDERATION, answer)
    assert said in str(refused.value)
    assert "eyJ" not in str(refused.value)


@pytest.mark.parametrize("url", [TOKEN_URL, "http://127.0.0.1:9090/oauth/token", "http://localhost/token"])
def test_an_exchange_is_asked_over_tls_or_on_this_machine(url: str) -> None:
    assert token_url(f" {url} ") == url


@pytest.mark.parametrize(
    "url", ["http://auth.example/token", "auth.openai.com", "ftp://x/", "https://a:b@x/"]
)
def test_an_exchange_elsewhere_without_tls_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="must be an https URL"):
        token_url(url)
