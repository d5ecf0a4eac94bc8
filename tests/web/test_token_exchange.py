"""``POST /oauth/token``: which workload becomes which client, what its token is good for, OAuth's errors."""

from __future__ import annotations

import json
import time
from typing import Any, Final

import pytest

from tests.conftest import ServiceFactory
from tests.support import api
from tests.support.api import Reply
from tests.support.issuer import GRANT_TYPE, JWT_TYPE, claims_of, exchange_form, issuers, unsigned
from tests.support.service import Service

BACKEND: Final = "system:serviceaccount:voice:backend"
RULES: Final = [
    {"subject": BACKEND, "client": "backend"},
    {"subject": "repo:acme/voice:ref:refs/heads/*", "client": "ci", "audience": "ci"},
]
CLIENTS: Final = '{"backend": {}, "ci": {"models": ["gpt-realtime-2.1"]}}'


def issuer_of(service: Service) -> str:
    return str(service.sandbox.make_url("/issuer"))


def workload_token(service: Service, subject: str = BACKEND, **claims: Any) -> str:
    return service.provider.issuer.sign({**claims_of(issuer_of(service), sub=subject), **claims})


async def exchange(service: Service, token: str, **more: str) -> Reply:
    return await post_form(service, exchange_form(token, **more))


async def post_form(service: Service, form: Any, **headers: str) -> Reply:
    return await service.post("/oauth/token", data=form, headers=headers)


async def client_token(service: Service, subject: str = BACKEND, **claims: Any) -> str:
    reply = await exchange(service, workload_token(service, subject, **claims))
    assert reply.status == 200, reply
    return str(reply.json["access_token"])


@pytest.fixture
async def service(service_factory: ServiceFactory) -> Service:
    return await service_factory(
        CLOAKROOM_ISSUERS=issuers(users=None, exchange=RULES, audience=["cloakroom", "ci"]),
        CLOAKROOM_CLIENTS=CLIENTS,
    )


async def test_a_workloads_token_becomes_a_short_lived_client_token(service: Service) -> None:
    reply = await exchange(service, workload_token(service, exp=int(time.time()) + 7200))
    assert reply.status == 200
    assert reply.headers["cache-control"] == "no-store"
    assert reply.json["token_type"] == "Bearer"
    assert reply.json["issued_token_type"] == "urn:ietf:params:oauth:token-type:access_token"
    assert reply.json["expires_in"] == 900
    minted = await api.mint(service.http, service.base, reply.json["access_token"])
    assert minted.status == 200


async def test_a_client_token_does_all_that_a_client_key_does(service: Service) -> None:
    token = await client_token(service)
    handle = await api.minted(service.http, service.base, token)
    call_id = await service.called(handle)
    assert (await service.hang_up(token, call_id)).status == 200
    reply = await api.mint(service.http, service.base, token, **{"x-cloakroom-subject": "ada"})
    assert reply.status == 200, "as a client it says for whom it mints"


async def test_no_token_lives_longer_than_the_one_that_it_was_exchanged_for(service: Service) -> None:
    reply = await exchange(service, workload_token(service, exp=int(time.time()) + 100))
    assert 90 <= reply.json["expires_in"] <= 100
    # Within the leeway it still counts, but nothing is left to give.
    late = await exchange(service, workload_token(service, exp=int(time.time()) - 10))
    assert (late.status, late.json["error"]) == (400, "invalid_grant")
    assert late.json["error_description"] == "The subject token has expired."


@pytest.mark.parametrize(
    ("subject", "audience", "client"),
    [
        (BACKEND, "cloakroom", "backend"),
        (BACKEND, "ci", "backend"),
        ("repo:acme/voice:ref:refs/heads/main", "ci", "ci"),
        ("repo:acme/voice:ref:refs/heads/main", ["x", "ci"], "ci"),
        ("repo:acme/voice:ref:refs/heads/main", "cloakroom", None),
        ("repo:acme/voice-evil:ref:refs/heads/main", "ci", None),
        ("x" + BACKEND, "cloakroom", None),
        (BACKEND + "x", "cloakroom", None),
        (BACKEND.upper(), "cloakroom", None),
        ("repo:acme/voice:ref:refs/tags/v1", "ci", None),
    ],
)
async def test_the_rules_decide_who_is_which_client(
    service: Service, subject: str, audience: Any, client: str | None
) -> None:
    reply = await exchange(service, workload_token(service, subject, aud=audience))
    if client is None:
        assert (reply.status, reply.json["error"]) == (400, "invalid_grant")
        assert reply.json["error_description"] == "No rule fits the subject token."
        return
    models = {"backend": 200, "ci": 403}[client]
    body = {"model": "gpt-realtime-2.1-mini"}
    token = reply.json["access_token"]
    assert (await api.mint(service.http, service.base, token, body)).status == models


async def test_a_token_that_nobody_signed_is_not_exchanged(service: Service) -> None:
    (kid,) = service.provider.issuer.kids or [service.provider.issuer.signing.kid]
    claims = claims_of(issuer_of(service), sub=BACKEND)
    for token in (
        unsigned(claims, kid),
        "x.y.z",
        "text",
        workload_token(service, iss="https://evil.example"),
    ):
        reply = await exchange(service, token)
        assert (reply.status, reply.json["error"]) == (400, "invalid_grant"), token


GOOD: Final = {"grant_type": GRANT_TYPE, "subject_token": "x.y.z", "subject_token_type": JWT_TYPE}


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "invalid_request"),
        ({**GOOD, "grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({**GOOD, "subject_token_type": "urn:ietf:params:oauth:token-type:saml2"}, "invalid_request"),
        ({**GOOD, "subject_token": ""}, "invalid_request"),
        ({**GOOD, "actor_token": "x.y.z"}, "invalid_request"),
        (
            {**GOOD, "requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"},
            "invalid_request",
        ),
        ([*GOOD.items(), ("grant_type", GRANT_TYPE)], "invalid_request"),
        ({**GOOD, **{f"f{number}": "1" for number in range(300)}}, "invalid_request"),
        # Fields that are not read may stand there often: RFC 8693 has several audiences.
        ([*GOOD.items(), ("audience", "a"), ("audience", "b")], "invalid_grant"),
        (b"%ff=1", "invalid_request"),
        (b"\xff\xfe", "invalid_request"),
    ],
)
async def test_a_malformed_exchange_gets_an_error_of_oauth(service: Service, form: Any, error: str) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    reply = await post_form(service, form, **headers)
    assert (reply.status, reply.json["error"]) == (400, error)
    assert set(reply.json) == {"error", "error_description"}


async def test_other_bodies_than_forms_are_refused(service: Service) -> None:
    reply = await service.post("/oauth/token", json=GOOD)
    assert (reply.status, reply.json["error"]) == (400, "invalid_request")
    large = await post_form(service, {**GOOD, "subject_token": "x" * 40_000})
    assert (large.status, large.json["error"]) == (413, "invalid_request")


async def test_where_nothing_is_exchanged_the_path_says_so(service_factory: ServiceFactory) -> None:
    for settings in ({}, {"CLOAKROOM_ISSUERS": issuers()}):
        service = await service_factory(**settings)
        reply = await post_form(service, GOOD)
        assert (reply.status, reply.json["error"]) == (400, "unsupported_grant_type")


async def test_a_handle_is_no_client_token_and_a_client_token_no_handle(service: Service) -> None:
    token = await client_token(service)
    handle = await api.minted(service.http, service.base, token)
    for text in (handle, handle.removeprefix("ek_")):
        assert (await api.mint(service.http, service.base, text)).code == "invalid_api_key"
        assert (await exchange(service, text)).json["error"] == "invalid_grant"
    for text in (token, "ek_" + token):
        assert (await service.relay(text)).code == "invalid_handle"
        assert (await exchange(service, text)).json["error"] == "invalid_grant"


async def test_a_workloads_own_token_does_not_mint_and_it_is_told_what_to_do(service: Service) -> None:
    reply = await api.mint(service.http, service.base, workload_token(service))
    assert (reply.status, reply.code) == (401, "invalid_token")
    assert "/oauth/token" in reply.json["error"]["message"]


async def test_a_client_token_ends_with_its_client(service_factory: ServiceFactory, service: Service) -> None:
    token = await client_token(service, "repo:acme/voice:ref:refs/heads/main", aud="ci")
    rules = [{"subject": BACKEND, "client": "backend"}]
    without = await service_factory(
        CLOAKROOM_ISSUERS=issuers(users=None, exchange=rules), CLOAKROOM_CLIENTS='{"backend": {}}'
    )
    reply = await api.mint(without.http, without.base, token)
    assert (reply.status, reply.code) == (401, "invalid_api_key")
    assert "/oauth/token" in reply.json["error"]["message"]
    # The replicas share the ring: a client that both know is one at both.
    assert (await api.mint(without.http, without.base, await client_token(service))).status == 200


async def test_an_issuer_that_cannot_be_asked_is_503_with_a_time_to_wait(
    service_factory: ServiceFactory,
) -> None:
    url = "http://127.0.0.1:9/issuer"
    service = await service_factory(
        CLOAKROOM_ISSUERS=issuers(url, users=None, exchange=RULES[:1]), CLOAKROOM_CLIENTS='{"backend": {}}'
    )
    token = service.provider.issuer.sign(claims_of(url, sub=BACKEND))
    reply = await exchange(service, token)
    assert (reply.status, reply.json["error"]) == (503, "temporarily_unavailable")
    assert int(reply.headers["retry-after"]) >= 1


async def test_the_log_names_the_workload_and_no_token(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    workload = workload_token(service)
    token = (await exchange(service, workload)).json["access_token"]
    out = capsys.readouterr().out
    (line,) = [json.loads(text) for text in out.splitlines() if '"event":"exchange"' in text]
    assert (line["client"], line["issuer"], line["subject"]) == ("backend", "team", BACKEND)
    assert workload not in out
    await exchange(service, workload_token(service, "nobody"))
    (refused,) = [json.loads(one) for one in capsys.readouterr().out.splitlines() if '"exchange"' in one]
    told = (refused["status"], refused["code"], refused["reason"], refused["issuer"])
    assert told == (400, "invalid_grant", "not_allowed", "team")
    assert token not in out
