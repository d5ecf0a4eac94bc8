"""Looks into handles, and forges them, with an independent JWT library call for each."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import jwt

from app.store.records.record import HandleRecord

PREFIX = "ek_"


def claims_of(handle: str) -> dict[str, Any]:
    """The claims, unverified."""
    claims: dict[str, Any] = jwt.decode(handle.removeprefix(PREFIX), options={"verify_signature": False})
    return claims


def header_of(handle: str) -> dict[str, Any]:
    """The header, unverified."""
    header: dict[str, Any] = jwt.get_unverified_header(handle.removeprefix(PREFIX))
    return header


def key_of(ring: str) -> bytes:
    """The first key of a ring as it is configured."""
    secret = ring.partition(",")[0].partition(":")[2]
    return base64.urlsafe_b64decode(secret + "=" * (-len(secret) % 4))


def forge(
    handle: str,
    key: Any,
    *,
    algorithm: str | None = "HS256",
    header: dict[str, Any] | None = None,
    **claims: Any,
) -> str:
    """The same handle with other claims or header fields, signed anew; a value of None drops the field."""
    changed = {**claims_of(handle), **claims}
    kept = {name: value for name, value in changed.items() if value is not None}
    fields = {**header_of(handle), **(header or {})}
    fields.pop("alg", None)
    # PyJWT drops a ``typ`` of None itself, and would put its own where there is none.
    fields = {name: value for name, value in fields.items() if value is not None or name == "typ"}
    return PREFIX + jwt.encode(kept, key, algorithm=algorithm or "none", headers=fields)


def aged(handle: str, signing_ring: str, *, seconds: int) -> str:
    """The handle as it is ``seconds`` after its expiry, whenever that will be."""
    claims, now = claims_of(handle), int(time.time())
    life = claims["exp"] - claims["iat"]
    return forge(handle, key_of(signing_ring), iat=now - seconds - life, exp=now - seconds)


def unsigned(handle: str) -> str:
    """The handle with ``alg: none`` and no signature, written out by hand."""

    def segment(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{PREFIX}{segment({**header_of(handle), 'alg': 'none'})}.{segment(claims_of(handle))}."


def bad_handles(handle: str, signing_ring: str) -> dict[str, tuple[str, str]]:
    """Handles that must be refused: what is wrong, the text, and the code that it gets."""
    key, now = key_of(signing_ring), int(time.time())
    token = handle.removeprefix(PREFIX)
    head, body, signature = token.split(".")
    invalid = {
        "empty": "",
        "prefix only": PREFIX,
        "prose": "not-a-handle",
        "a provider's key": "ek_68af296e8e408191a1120ab6383263c2",
        "truncated signature": handle[:-1],
        "half": handle[: len(handle) // 2],
        "no signature": f"{PREFIX}{head}.{body}.",
        "a fourth segment": f"{handle}.{signature}",
        "padded signature": f"{handle}=",
        "padded header": f"{PREFIX}{head}=.{body}.{signature}",
        "another spelling of the last character": handle[:-1] + _respelt(handle[-1]),
        "prefix twice": PREFIX + handle,
        "white space inside": f"{PREFIX}{head}. {body}.{signature}",
        "alg none": unsigned(handle),
        "alg none, signature kept": unsigned(handle) + signature,
        "forged with another key": forge(handle, b"k" * 32),
        "another algorithm": forge(handle, key * 2, algorithm="HS512"),
        "another typ": forge(handle, key, header={"typ": "JWT"}),
        "no typ": forge(handle, key, header={"typ": None}),
        "unknown kid": forge(handle, key, header={"kid": "nobody"}),
        "no kid": forge(handle, key, header={"kid": None}),
        "another audience": forge(handle, key, aud="somebody-else"),
        "audience in a list": forge(handle, key, aud=["cloakroom"]),
        "another issuer": forge(handle, key, iss="somebody-else"),
        "no exp": forge(handle, key, exp=None),
        "no jti": forge(handle, key, jti=None),
        "an id that is no id": forge(handle, key, jti="../../etc"),
        "a century of life": forge(handle, key, exp=now + 3_000_000_000),
        "from the future": forge(handle, key, iat=now + 3600, exp=now + 4000),
        "one claim more": forge(handle, key, admin="true"),
        "another id, old signature": f"{PREFIX}{head}.{_other_id(handle)}.{signature}",
    }
    bad = {what: (text, "invalid_handle") for what, text in invalid.items()}
    bad["expired"] = (forge(handle, key, iat=now - 600, exp=now - 1), "handle_expired")
    bad["never stored"] = (forge(handle, key, jti="A" * 22), "handle_expired")
    return bad


def _respelt(last: str) -> str:
    """Another base64url character whose meaningful bits are the same: lax decoders take either."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return alphabet[alphabet.index(last) + 1]


def _other_id(handle: str) -> str:
    claims = {**claims_of(handle), "jti": "B" * 22}
    return base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()


def handle_record(handle_id: str, *, subject: str = "", max_calls: int = 0) -> HandleRecord:
    """A record to save where its fields do not matter, but for these."""
    return HandleRecord(
        id=handle_id,
        model="gpt-realtime-2.1",
        deployment="openai",
        provider="openai",
        family="realtime",
        client="shop",
        subject=subject,
        origin="",
        minted_at=1_000,
        expires_at=2_000,
        minted_by="replica-a",
        max_calls=max_calls,
        sealed_key="seal1.AAAA",
    )
