"""OpenAI's token exchange (its API reference, "Workload identity token exchange").

The words and codes of its refusals are not verified: OAuth's own are used here (RFC 6749, section 5.2).
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from ..federation import verified_claims
from ..provider import PROVIDER

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange"
TOKEN_TYPES = ("urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token")
FIELDS = ("grant_type", "subject_token", "subject_token_type", "identity_provider_id", "service_account_id")


async def exchange(request: web.Request) -> web.Response:
    """`POST /oauth/token`: 200 with `{access_token, expires_in}` for a token of the configured issuer."""
    provider = request.app[PROVIDER]
    identity = provider.config.identity
    body = await _body(request)
    if isinstance(body, web.Response):
        return body
    if body["grant_type"] != GRANT_TYPE:
        return _refused("unsupported_grant_type", f"grant_type must be {GRANT_TYPE}")
    if body["subject_token_type"] not in TOKEN_TYPES:
        return _refused("invalid_request", f"subject_token_type must be one of {', '.join(TOKEN_TYPES)}")
    if identity is None or body["identity_provider_id"] != identity.identity_provider_id:
        return _refused("invalid_client", "There is no such identity provider.", status=401)
    claims = verified_claims(body["subject_token"], identity.issuer_key, provider.clock.time())
    if claims is None:
        return _refused("invalid_grant", "The subject token is not valid.")
    if body["service_account_id"] != identity.service_account_id:
        return _refused("unauthorized_client", "No mapping fits the subject token.", status=403)
    return web.json_response(
        {
            "access_token": provider.tokens.give(str(claims.get("jti", "")), identity.life),
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "token_type": "Bearer",
            "expires_in": identity.life,
        }
    )


async def _body(request: web.Request) -> dict[str, Any] | web.Response:
    if request.content_type != "application/json":
        return _refused("invalid_request", "The body must be JSON.", status=415)
    if "Authorization" in request.headers:
        return _refused("invalid_request", "The exchange takes no Authorization.")
    try:
        body = await request.json()
    except ValueError:
        return _refused("invalid_request", "The body is no JSON.")
    if not isinstance(body, dict) or set(body) != set(FIELDS):
        return _refused("invalid_request", f"The body must have these fields: {', '.join(FIELDS)}.")
    if not all(isinstance(value, str) and value for value in body.values()):
        return _refused("invalid_request", "Every field must be text.")
    return body


def _refused(code: str, description: str, status: int = 400) -> web.Response:
    return web.json_response({"error": code, "error_description": description}, status=status)
