"""Making an ephemeral key and the answer that carries it: the same for both providers."""

from __future__ import annotations

import secrets
from typing import Any

from aiohttp import web

from .keys import Family
from .provider import FAULT, Provider
from .refusals import Flavour
from .sessions import session_defaults


def mint_key(
    request: web.Request,
    provider: Provider,
    flavour: Flavour,
    family: Family,
    asked: dict[str, Any],
    seconds: int,
) -> tuple[str, int, dict[str, Any]]:
    """Mint, obeying a fault that spoils the key. Returns the key, its expiry (epoch seconds), its session.

    The session carries an `id` and a `client_secret` of its own, as OpenAI's has been seen to: whoever
    passes the session on to a browser without looking has leaked the key.
    """
    session = session_defaults(family, asked)
    fault = request.get(FAULT)
    early = fault.seconds if fault is not None and fault.kind == "expire_early" else None
    value, key = provider.keys.mint(flavour, family, session, seconds, early)
    expires_at = key.expires_at
    if fault is not None and fault.kind == "past_expiry":
        expires_at = int(provider.clock.time() - fault.seconds)
    shown = {
        "id": f"sess_{secrets.token_urlsafe(15)}",
        "expires_at": 0,
        **session,
        "client_secret": {"value": value, "expires_at": expires_at},
    }
    return value, expires_at, shown
