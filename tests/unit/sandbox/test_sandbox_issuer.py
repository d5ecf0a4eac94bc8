"""The identity provider in a box: it signs users in by the code flow with PKCE, and rotates its keys."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from aiohttp.test_utils import TestClient, TestServer
from jwt import PyJWK

from app.sandbox import SandboxConfig, create_sandbox

PAGE = "http://localhost:8080/demo"
VERIFIER = "a-verifier-that-nobody-else-knows-0123456789"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
ASKED = {
    "response_type": "code",
    "client_id": "demo",
    "redirect_uri": PAGE,
    "state": "s1",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}
Client = TestClient[Any, Any]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with TestClient(TestServer(create_sandbox(SandboxConfig(peer="static")))) as client:
        yield client


async def code_of(client: Client, **more: str) -> str:
    async with client.post(
        "/issuer/authorize", params={**ASKED, **more}, data={"user": "demo-pro"}, allow_redirects=False
    ) as answer:
        assert answer.status == 303
        to = urlsplit(answer.headers["Location"])
    assert f"{to.scheme}://{to.netloc}{to.path}" == PAGE
    query = parse_qs(to.query)
    assert query["state"] == ["s1"]
    return query["code"][0]


async def redeem(client: Client, code: str, **more: str) -> tuple[int, dict[str, Any]]:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "client_id": "demo",
        "redirect_uri": PAGE,
        "code_verifier": VERIFIER,
        **more,
    }
    async with client.post("/issuer/token", data=form) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        return answer.status, await answer.json()


async def keys_of(client: Client) -> dict[str, PyJWK]:
    async with client.get("/issuer/jwks") as answer:
        return {jwk["kid"]: PyJWK(jwk) for jwk in (await answer.json())["keys"]}


async def test_a_user_signs_in_and_his_tokens_verify_with_the_published_key(client: Client) -> None:
    async with client.get("/issuer/.well-known/openid-configuration") as answer:
        issuer = (await answer.json())["issuer"]
    status, given = await redeem(client, await code_of(client, audience="voice", nonce="n1"))
    assert status == 200
    keys = await keys_of(client)
    for name, audience in (("access_token", "voice"), ("id_token", "demo")):
        key = keys[jwt.get_unverified_header(given[name])["kid"]]
        claims = jwt.decode(given[name], key, algorithms=["ES256"], audience=audience, issuer=issuer)
        assert (claims["sub"], claims["plan"]) == ("demo-pro", "pro")
    assert claims["nonce"] == "n1"


async def test_a_code_is_good_once_and_for_the_page_that_asked_alone(client: Client) -> None:
    code = await code_of(client)
    assert (await redeem(client, code))[0] == 200
    assert await redeem(client, code) == (400, {"error": "invalid_grant"})
    for wrong in (
        {"code_verifier": "another"},
        {"client_id": "other"},
        {"redirect_uri": "http://localhost:1/demo"},
    ):
        assert (await redeem(client, await code_of(client), **wrong))[0] == 400


@pytest.mark.parametrize(
    "wrong",
    [
        {"redirect_uri": "https://evil.example/demo"},
        {"redirect_uri": "http://localhost@evil.example/demo"},
        {"redirect_uri": "javascript:alert(1)"},
        {"code_challenge": ""},
        {"code_challenge_method": "plain"},
        {"response_type": "token"},
        {"client_id": ""},
    ],
)
async def test_a_request_to_sign_in_that_is_not_sound_leads_nowhere(
    client: Client, wrong: dict[str, str]
) -> None:
    for method in ("GET", "POST"):
        async with client.request(
            method, "/issuer/authorize", params={**ASKED, **wrong}, allow_redirects=False
        ) as answer:
            assert answer.status == 400


async def test_its_keys_are_rotated_and_any_token_is_signed_by_the_control_api(client: Client) -> None:
    first = await keys_of(client)
    for body, expected in (({"algorithm": "RS256"}, 2), ({"algorithm": "EdDSA", "keep": False}, 1)):
        async with client.post("/_sandbox/issuer/keys", json=body) as answer:
            assert answer.status == 201
            made = (await answer.json())["kid"]
        keys = await keys_of(client)
        assert len(keys) == expected
        assert made in keys
    assert not first.keys() & keys.keys()
    body = {"claims": {"sub": "x", "exp": None}, "header": {"typ": "odd"}}
    async with client.post("/_sandbox/issuer/tokens", json=body) as answer:
        token = (await answer.json())["token"]
    assert jwt.get_unverified_header(token) == {"alg": "EdDSA", "kid": made, "typ": "odd"}
    claims = jwt.decode(token, keys[made], algorithms=["EdDSA"], options={"verify_aud": False})
    assert "exp" not in claims
    for path, bad in (("keys", {"algorithm": "none"}), ("keys", []), ("tokens", {"claims": 7})):
        async with client.post(f"/_sandbox/issuer/{path}", json=bad) as answer:
            assert answer.status == 400


async def test_the_sign_in_page_is_one_form(client: Client) -> None:
    async with client.get("/issuer/authorize", params=ASKED) as answer:
        assert answer.content_type == "text/html"
        assert (await answer.text()).count("<button") == 2
