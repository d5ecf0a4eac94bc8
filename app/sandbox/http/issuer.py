"""The identity provider's paths: OpenID Connect's discovery, JWK Set, sign-in page and token endpoint.

The sign-in is the authorization code flow with PKCE, for pages (RFC 6749, section 4.1, and RFC 7636). Only to
pages of this machine does it lead back.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit

from aiohttp import web

from ..issuer import ALGORITHMS, TOKEN_SECONDS, USERS
from ..provider import PROVIDER

# What an access token is for where the page asked for nothing.
AUDIENCE = "cloakroom"
# Any page may read the answers, as with the identity providers that pages sign in at.
_FOR_PAGES = {"Access-Control-Allow-Origin": "*"}
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Sign in</title><link rel="icon" href="data:,"></head>
<body><main><h1>Sign in</h1><p>This is the identity provider in a box. Choose who you are.</p>
<form method="post">{users}</form></main></body></html>
"""


def issuer_url(request: web.Request) -> str:
    """The issuer's name in its tokens."""
    return f"{request.scheme}://{request.host}/issuer"


async def configuration(request: web.Request) -> web.Response:
    url = issuer_url(request)
    return web.json_response(
        {
            "issuer": url,
            "jwks_uri": f"{url}/jwks",
            "authorization_endpoint": f"{url}/authorize",
            "token_endpoint": f"{url}/token",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": list(ALGORITHMS),
            "code_challenge_methods_supported": ["S256"],
        },
        headers=_FOR_PAGES,
    )


async def jwks(request: web.Request) -> web.Response:
    return web.json_response(request.app[PROVIDER].issuer.jwks(), headers=_FOR_PAGES)


async def sign_in_page(request: web.Request) -> web.Response:
    """`GET /issuer/authorize`: the page on which a user says who he is."""
    problem = _problem(request.query)
    if problem is not None:
        return web.Response(status=400, text=problem)
    buttons = [f'<button name="user" value="{user}">{html.escape(user)}</button> ' for user in USERS]
    return web.Response(text=_PAGE.format(users="".join(buttons)), content_type="text/html")


async def signed_in(request: web.Request) -> web.Response:
    """`POST /issuer/authorize`: back to the page, with a code."""
    query, user = request.query, str((await request.post()).get("user", ""))
    problem = _problem(query) or (None if user in USERS else "There is no such user.")
    if problem is not None:
        return web.Response(status=400, text=problem)
    code = request.app[PROVIDER].issuer.begin(
        client_id=query["client_id"],
        redirect_uri=query["redirect_uri"],
        challenge=query["code_challenge"],
        nonce=query.get("nonce"),
        audience=query.get("audience"),
        user=user,
    )
    back = urlencode({"code": code, "state": query.get("state", "")})
    # 303: the next request is a GET.
    return web.Response(status=303, headers={"Location": f"{query['redirect_uri']}?{back}"})


async def token(request: web.Request) -> web.Response:
    """`POST /issuer/token`: the ID token and an access token for a code."""
    form = {name: str(value) for name, value in (await request.post()).items()}
    if form.get("grant_type") != "authorization_code":
        return _refused("unsupported_grant_type")
    issuer = request.app[PROVIDER].issuer
    sign_in = issuer.finish(
        form.get("code", ""),
        client_id=form.get("client_id", ""),
        redirect_uri=form.get("redirect_uri", ""),
        verifier=form.get("code_verifier", ""),
    )
    if sign_in is None:
        return _refused("invalid_grant")
    claims = {"iss": issuer_url(request), "sub": sign_in.user, **USERS[sign_in.user]}
    access = {**claims, "aud": sign_in.audience or AUDIENCE}
    return web.json_response(
        {
            "access_token": issuer.sign(access, {"typ": "at+jwt"}),
            "id_token": issuer.sign({**claims, "aud": sign_in.client_id, "nonce": sign_in.nonce}),
            "token_type": "Bearer",
            "expires_in": TOKEN_SECONDS,
        },
        headers=_FOR_PAGES | {"Cache-Control": "no-store"},
    )


def _problem(query: Mapping[str, str]) -> str | None:
    """What is wrong with a request to sign in."""
    if query.get("response_type") != "code" or not query.get("client_id"):
        return "response_type must be code, and client_id must be there."
    if query.get("code_challenge_method") != "S256" or not query.get("code_challenge"):
        return "A page must send code_challenge with code_challenge_method S256."
    to = urlsplit(query.get("redirect_uri", ""))
    if to.scheme not in ("http", "https") or to.hostname not in _LOOPBACK or to.query or to.fragment:
        return "redirect_uri must be a page of this machine."
    return None


def _refused(code: str) -> web.Response:
    return web.json_response({"error": code}, status=400, headers=_FOR_PAGES)
