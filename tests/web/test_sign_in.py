"""A signed-in user mints for himself: whose token is taken, what it stands for, what it costs the issuer."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from tests.conftest import ServiceFactory
from tests.support.api import Reply
from tests.support.clocks import eventually
from tests.support.issuer import (
    ALGORITHMS,
    AUDIENCE,
    claims_of,
    encoded,
    issuers,
    segment,
    signed_by_another,
    signed_with_public_key,
    unsigned,
)
from tests.support.scrape import scrape
from tests.support.service import Service

PAGE: Final = "https://app.example.com"


def issuer_of(service: Service) -> str:
    return str(service.sandbox.make_url("/issuer"))


def token_for(service: Service, header: dict[str, Any] | None = None, **claims: Any) -> str:
    # A claim that is None is left out.
    return service.provider.issuer.sign({**claims_of(issuer_of(service)), **claims}, header)


async def mint_as(service: Service, token: str, **headers: str) -> Reply:
    return await service.mint(None, Authorization=f"Bearer {token}", **headers)


async def verdicts(service: Service, verdict: str) -> float:
    found = await scrape(service.http, service.base)
    return found.value("cloakroom_issuer_tokens_total", issuer="team", verdict=verdict) or 0.0


async def subject_of(service: Service, handle: str) -> tuple[str, str]:
    """The client and the subject that the record of a handle has."""
    handle_id = json.loads(_decoded(handle.split(".")[1]))["jti"]
    record = await service.store_client.hgetall(f"cloakroom:handle:{{{handle_id}}}")
    return record["client"], record["subject"]


def _decoded(text: str) -> bytes:
    import base64

    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@pytest.fixture
async def service(service_factory: ServiceFactory) -> Service:
    return await service_factory(CLOAKROOM_ISSUERS=issuers(), CLOAKROOM_CORS_ORIGINS=PAGE)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_users_token_mints_under_his_name_with_every_kind_of_key(
    service: Service, algorithm: str
) -> None:
    service.provider.issuer.rotate(algorithm)
    reply = await mint_as(service, token_for(service))
    assert reply.status == 200, reply
    assert await subject_of(service, reply.json["value"]) == ("shop", "ada")
    # A call with that handle works as with any other.
    assert (await service.relay(reply.json["value"])).status == 201


async def test_a_client_key_goes_on_as_ever_and_asks_the_issuer_nothing(service: Service) -> None:
    fetched = service.asked("/jwks")
    assert (await service.mint()).status == 200
    assert (await service.mint(None, **{"Authorization": "Bearer ck_unknown"})).code == "invalid_api_key"
    assert service.asked("/jwks") == fetched
    assert await verdicts(service, "accepted") == 0


async def test_a_page_of_an_allowed_origin_mints_with_it_and_its_preflight_is_answered(
    service: Service,
) -> None:
    path = "/v1/realtime/client_secrets"
    asked = {
        "Origin": PAGE,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    async with service.http.options(service.base + path, headers=asked) as response:
        assert response.status == 204
        assert response.headers["Access-Control-Allow-Origin"] == PAGE
        assert "authorization" in response.headers["Access-Control-Allow-Headers"]
    reply = await mint_as(service, token_for(service), Origin=PAGE)
    assert (reply.status, reply.headers["access-control-allow-origin"]) == (200, PAGE)
    refused = await mint_as(service, token_for(service), Origin="https://evil.example")
    assert (refused.status, refused.code) == (403, "origin_not_allowed")
    told = await mint_as(service, token_for(service, aud="other"), Origin=PAGE)
    assert (told.code, told.headers["access-control-allow-origin"]) == ("invalid_token", PAGE)


@pytest.mark.parametrize("header", ["x-cloakroom-subject", "OpenAI-Safety-Identifier"])
@pytest.mark.parametrize("value", ["eve", "ada"])
async def test_a_user_cannot_name_another_nor_himself_by_a_header(
    service: Service, header: str, value: str
) -> None:
    reply = await mint_as(service, token_for(service), **{header: value})
    assert (reply.status, reply.code) == (400, "invalid_request")
    assert reply.json["error"]["param"] == header.lower()
    assert service.asked("/client_secrets") == 0


@pytest.mark.parametrize("field", ["subject", "sub", "user"])
async def test_no_field_of_the_body_names_another_user(service: Service, field: str) -> None:
    body = {"model": "gpt-realtime-2.1", field: "eve"}
    reply = await service.mint(body, Authorization=f"Bearer {token_for(service)}")
    assert (reply.status, reply.code) == (400, "invalid_request")


Claims = dict[str, Any]
FORGED: Final[dict[str, Callable[[Claims, Claims], str]]] = {
    "no signature": lambda claims, key: unsigned(claims, key["kid"]),
    "the algorithm NONE": lambda claims, key: unsigned(claims, key["kid"], "NONE"),
    "a public key as the secret": lambda claims, key: signed_with_public_key(claims, key["kid"], key),
    "another's key": lambda claims, key: signed_by_another(claims, key["kid"], key["alg"]),
    "another's key of another kind": lambda claims, key: signed_by_another(claims, key["kid"], "RS256"),
    "an unknown key": lambda claims, key: signed_by_another(claims, "elsewhere", key["alg"]),
    "a key in the header": lambda claims, key: (
        f"{segment({'alg': key['alg'], 'kid': 'mine', 'jwk': key})}.{segment(claims)}.{encoded(b'x' * 64)}"
    ),
    "no kid": lambda claims, key: f"{segment({'alg': key['alg']})}.{segment(claims)}.{encoded(b'x' * 64)}",
}


@pytest.mark.parametrize("how", FORGED)
async def test_a_forged_token_is_refused_and_told_nothing(service: Service, how: str) -> None:
    (key,) = service.provider.issuer.jwks()["keys"]
    reply = await mint_as(service, FORGED[how](claims_of(issuer_of(service)), key))
    assert (reply.status, reply.code) == (401, "invalid_token")
    assert reply.headers["www-authenticate"] == "Bearer"
    for word in ("signature", "algorithm", "kid", "audience", key["kid"]):
        assert word not in reply.json["error"]["message"]
    assert service.asked("/client_secrets") == 0


WRONG: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "for another audience": ("audience", {"aud": "other"}),
    "for no audience": ("claims", {"aud": None}),
    "expired": ("expired", {"exp": -1000}),
    "not yet valid": ("not_yet", {"nbf": 1000}),
    "from the future": ("not_yet", {"iat": 1000}),
    "without an end": ("claims", {"exp": None}),
    "without a beginning": ("claims", {"iat": None}),
    "without a subject": ("claims", {"sub": None}),
    "for an empty subject": ("subject", {"sub": ""}),
    "for a subject with a line break": ("subject", {"sub": "ada\nroot"}),
    "for a subject that turns its writing": ("subject", {"sub": "ada\u202e"}),
    "for a subject that is too long": ("subject", {"sub": "a" * 129}),
}


@pytest.mark.parametrize("how", WRONG)
async def test_a_token_that_is_wrong_is_refused_and_its_reason_is_in_the_metrics(
    service: Service, how: str
) -> None:
    reason, claims = WRONG[how]
    now = int(time.time())
    moved = {
        name: value + now if name in ("exp", "nbf", "iat") and value is not None else value
        for name, value in claims.items()
    }
    reply = await mint_as(service, token_for(service, **moved))
    assert (reply.status, reply.code) == (401, "invalid_token"), reply
    assert await verdicts(service, reason) == 1
    assert ("expired" in reply.json["error"]["message"]) == (reason == "expired")
    assert service.asked("/client_secrets") == 0


async def test_the_log_says_why_a_token_was_refused_and_has_none(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    text = token_for(service, aud="other")
    await mint_as(service, text)
    out = capsys.readouterr().out
    (line,) = [json.loads(one) for one in out.splitlines() if one.startswith('{"event":"mint"')]
    assert (line["issuer"], line["reason"], line["code"]) == ("team", "audience", "invalid_token")
    for segment_of_it in text.split("."):
        assert segment_of_it not in out


async def test_a_token_of_another_issuer_is_as_any_unknown_key(service: Service) -> None:
    for url in ("https://evil.example", issuer_of(service) + "/", issuer_of(service).upper()):
        reply = await mint_as(service, token_for(service, iss=url))
        assert (reply.status, reply.code) == (401, "invalid_api_key")


@pytest.mark.parametrize("kind", ["handle+jwt", "logout+jwt", "dpop+jwt", "cloakroom-client+jwt"])
async def test_a_token_that_was_made_for_another_purpose_is_refused(service: Service, kind: str) -> None:
    reply = await mint_as(service, token_for(service, {"typ": kind}))
    assert (reply.status, reply.code) == (401, "invalid_token")
    assert await verdicts(service, "type") == 1


async def test_the_leeway_covers_clocks_that_differ_and_no_more(service_factory: ServiceFactory) -> None:
    service = await service_factory(CLOAKROOM_ISSUERS=issuers(leeway_seconds=200))
    now = int(time.time())
    assert (await mint_as(service, token_for(service, exp=now - 100, iat=now - 400))).status == 200
    assert (await mint_as(service, token_for(service, iat=now + 100))).status == 200
    assert (
        await mint_as(service, token_for(service, exp=now - 1000, iat=now - 1400))
    ).code == "invalid_token"


# --- whose policy ---------------------------------------------------------------------------------


def clients(**limits: Any) -> str:
    return json.dumps({"basic": limits, "gold": {}, "kiosk": {"models": []}})


BY_CLAIM: Final = {"client": "basic", "claim": "realm.roles", "clients": {"gold": "gold", "shut": "kiosk"}}


async def test_a_claim_picks_the_client_whose_policy_counts(service_factory: ServiceFactory) -> None:
    service = await service_factory(
        CLOAKROOM_ISSUERS=issuers(users=BY_CLAIM), CLOAKROOM_CLIENTS=clients(mints_per_minute=10)
    )
    for roles, client in ((["x", "gold"], "gold"), ("gold", "gold"), (["x"], "basic"), (7, "basic")):
        reply = await mint_as(service, token_for(service, realm={"roles": roles}))
        assert (await subject_of(service, reply.json["value"]))[0] == client, roles
    shut = await mint_as(service, token_for(service, realm={"roles": ["shut"]}))
    assert (shut.status, shut.code) == (403, "model_not_allowed")


async def test_a_user_for_whom_there_is_no_client_is_told_so(service_factory: ServiceFactory) -> None:
    users = {"claim": "plan", "clients": {"gold": "gold"}}
    service = await service_factory(CLOAKROOM_ISSUERS=issuers(users=users), CLOAKROOM_CLIENTS='{"gold": {}}')
    assert (await mint_as(service, token_for(service, plan="gold"))).status == 200
    reply = await mint_as(service, token_for(service, plan="free"))
    assert (reply.status, reply.code) == (403, "user_not_allowed")
    assert await verdicts(service, "not_allowed") == 1


async def test_a_user_who_mints_too_often_is_told_which_limit_and_takes_nothing_from_the_others(
    service_factory: ServiceFactory,
) -> None:
    name = f"users-{time.time_ns()}"
    service = await service_factory(
        CLOAKROOM_ISSUERS=issuers(users={"client": name}),
        CLOAKROOM_CLIENTS=json.dumps({name: {"mints_per_minute": 12, "mints_per_minute_per_subject": 3}}),
    )
    ada, bob = token_for(service), token_for(service, sub="bob")
    replies = await asyncio.gather(*(mint_as(service, ada) for _ in range(20)))
    refused = [reply for reply in replies if reply.status != 200]
    # The minute may turn while the test runs, and then a second one has room for as many again.
    assert len(replies) - len(refused) in (3, 6)
    assert {(reply.status, reply.code) for reply in refused} == {(429, "rate_limited")}
    assert {reply.json["error"]["message"] for reply in refused} == {
        f"A user of client '{name}' may mint 3 handles a minute."
    }
    assert all(1 <= int(reply.headers["retry-after"]) <= 60 for reply in refused)
    assert (await mint_as(service, bob)).status == 200
    assert service.asked("/client_secrets") == len(replies) - len(refused) + 1


# --- the issuer's keys ----------------------------------------------------------------------------


async def test_a_new_key_is_found_by_the_first_token_that_names_it_and_all_that_wait_share_one_fetch(
    service: Service,
) -> None:
    before = service.asked("/jwks")
    service.provider.issuer.rotate("RS256")
    service.fault("delay", "jwks", seconds=0.3)
    token = token_for(service)
    replies = await asyncio.gather(*(mint_as(service, token) for _ in range(30)))
    assert {reply.status for reply in replies} == {200}
    assert service.asked("/jwks") == before + 1


async def test_a_flood_of_invented_keys_costs_the_issuer_one_fetch(service: Service) -> None:
    before = service.asked("/jwks")
    claims = claims_of(issuer_of(service))
    tokens = [signed_by_another(claims, f"invented-{number}", "ES256") for number in range(100)]
    for batch in range(0, 100, 20):
        replies = await asyncio.gather(*(mint_as(service, token) for token in tokens[batch : batch + 20]))
        assert {reply.code for reply in replies} == {"invalid_token"}
    assert service.asked("/jwks") == before + 1
    # And the true key still serves.
    assert (await mint_as(service, token_for(service))).status == 200


async def test_an_outage_of_the_issuer_is_not_seen_by_users_whose_key_is_known(service: Service) -> None:
    service.fault("status", "jwks", status=503, times=0)
    unknown = signed_by_another(claims_of(issuer_of(service)), "invented", "ES256")
    reply = await mint_as(service, unknown)
    assert (reply.status, reply.code) == (503, "sign_in_unavailable")
    assert int(reply.headers["retry-after"]) >= 1
    assert await verdicts(service, "unavailable") == 1
    for _ in range(5):
        assert (await mint_as(service, token_for(service))).status == 200
    asked = service.asked("/jwks")
    assert {(await mint_as(service, unknown)).code for _ in range(10)} == {"sign_in_unavailable"}
    assert service.asked("/jwks") <= asked + 2, "requests fetch nothing while the keeper tries by itself"


async def test_an_issuer_that_is_down_at_the_start_stops_nobody_else_and_is_found_when_it_comes(
    service_factory: ServiceFactory,
) -> None:
    service = await service_factory(CLOAKROOM_ISSUERS=issuers("http://127.0.0.1:9/issuer"))
    assert (await service.mint()).status == 200
    claims = claims_of("http://127.0.0.1:9/issuer")
    reply = await mint_as(service, service.provider.issuer.sign(claims))
    assert (reply.status, reply.code) == (503, "sign_in_unavailable")
    found = await scrape(service.http, service.base)
    assert found.value("cloakroom_issuer_key_fetches_total", issuer="team", result="failed")
    assert found.value("cloakroom_issuer_keys_timestamp_seconds", issuer="team") == 0


async def test_a_key_that_the_issuer_withdrew_is_refused_once_that_is_known(service: Service) -> None:
    old = token_for(service)
    assert (await mint_as(service, old)).status == 200
    service.provider.issuer.rotate("ES256", keep=False)
    assert (await mint_as(service, token_for(service))).status == 200
    assert (await mint_as(service, old)).code == "invalid_token"


@pytest.mark.parametrize(
    ("kind", "more"),
    [("bad_json", {}), ("html", {"status": 200}), ("redirect", {}), ("huge_body", {}), ("truncate", {})],
)
async def test_keys_that_cannot_be_read_replace_no_good_ones(
    service: Service, kind: str, more: dict[str, Any]
) -> None:
    service.fault(kind, "jwks", times=0, **more)
    service.provider.issuer.rotate("ES256")
    reply = await mint_as(service, token_for(service))
    assert (reply.status, reply.code) == (503, "sign_in_unavailable")
    service.provider.faults.clear()

    async def works() -> bool:
        return (await mint_as(service, token_for(service))).status == 200

    await eventually(works)


async def test_a_discovery_document_of_another_issuer_is_not_believed(
    service_factory: ServiceFactory,
) -> None:
    service = await service_factory(CLOAKROOM_ISSUERS=issuers("{provider}/issuer/"))
    reply = await mint_as(service, token_for(service, iss=issuer_of(service) + "/"))
    assert (reply.status, reply.code) == (503, "sign_in_unavailable")


async def test_a_users_token_is_good_for_the_mint_alone(service: Service) -> None:
    handle = await service.minted()
    call_id = await service.called(handle)
    token = token_for(service)
    assert (await service.hang_up(token, call_id)).status == 401
    assert (await service.relay(token)).code == "invalid_handle"
    assert AUDIENCE not in (await service.relay(token)).text


# --- where the keys are ---------------------------------------------------------------------------


async def test_keys_at_a_configured_address_need_no_discovery(service_factory: ServiceFactory) -> None:
    url = "https://sso.example/acme"
    service = await service_factory(CLOAKROOM_ISSUERS=issuers(url, jwks_url="{provider}/issuer/jwks"))
    assert (await mint_as(service, token_for(service, iss=url))).status == 200
    assert service.asked("/openid-configuration") == 0


async def test_a_token_file_is_read_anew_and_shown_to_the_issuer(
    service_factory: ServiceFactory, tmp_path: Path
) -> None:
    """As a Kubernetes API server wants it, whose tokens rotate."""
    file = tmp_path / "token"
    file.write_text("first-token\n")
    service = await service_factory(CLOAKROOM_ISSUERS=issuers(token_file=str(file)))
    file.write_text("second-token\n")
    service.provider.issuer.rotate("ES256")
    assert (await mint_as(service, token_for(service))).status == 200
    shown = [
        value
        for one in service.provider.journal.reports()
        if str(one["path"]).startswith("/issuer/")
        for name, value in one["headers"]  # type: ignore[attr-defined]
        if name == "Authorization"
    ]
    assert shown == ["Bearer first-token"] * 2 + ["Bearer second-token"] * 2
