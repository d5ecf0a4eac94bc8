"""Secrets in the settings: which client and admin keys are accepted, and the settings shown without a secret.

Client and admin keys are ``name:key`` pairs; a key is written in clear or as its SHA-256. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, SecretStr

from app.outbound.egress import parse_proxy
from app.outbound.webhook import shown_webhook_url
from app.store.address import parse_address
from app.telemetry.redaction import redact, redact_labels

MAKE_KEYS: Final = "run 'cloakroom keys new' to make one"
NAME_PATTERN: Final = r"[A-Za-z0-9._-]{1,64}"

_NAME = re.compile(NAME_PATTERN + r"\Z")
_SHA256_KEY = re.compile(r"sha256:[0-9a-f]{64}\Z")
_MIN_API_KEY_CHARS: Final = 24
_MIN_DISTINCT_CHARS: Final = 8

MASK: Final = "***"
# Rings and pairs: their labels are shown, to tell which key is meant.
_LABELLED: Final = frozenset({"signing_keys", "sealing_keys", "api_keys", "admin_keys"})
# Session fields that callers never see: instructions, tools and the headers of their servers.
_OPAQUE: Final = frozenset({"defaults", "locked"})


def parse_key_pairs(text: str) -> dict[str, str]:
    """Parse ``name:key,name:key``; a key is 24 characters or more, or ``sha256:`` and 64 hex digits.

    Raises:
        ValueError: a pair is malformed, a key is weak or a name appears twice; the message holds no key.
    """
    pairs: dict[str, str] = {}
    for number, entry in enumerate(filter(None, (part.strip() for part in text.split(","))), start=1):
        name, colon, key = entry.partition(":")
        if not colon or not _NAME.match(name):
            raise ValueError(f"entry {number} is not of the form name:key")
        if name in pairs:
            raise ValueError(f"the name {name!r} appears twice")
        try:
            check_api_key(key)
        except ValueError as error:
            raise ValueError(f"{name!r}: {error}") from None
        pairs[name] = key
    if not pairs:
        raise ValueError("it holds no name:key pair")
    return pairs


def check_api_key(key: str) -> None:
    """Raise ``ValueError`` for a key that could be guessed."""
    if _SHA256_KEY.match(key):
        return
    if len(key) < _MIN_API_KEY_CHARS or len(set(key)) < _MIN_DISTINCT_CHARS:
        raise ValueError(f"the key is weak (at least {_MIN_API_KEY_CHARS} random characters); {MAKE_KEYS}")


def masked_settings(settings: BaseModel) -> dict[str, Any]:
    """Every field with its value, without a secret and ready for JSON."""
    return {name: _field(name, getattr(settings, name)) for name in type(settings).model_fields}


def _field(name: str, value: Any) -> Any:
    if isinstance(value, SecretStr):
        return _secret(name, value.get_secret_value())
    if isinstance(value, BaseModel):
        return {inner: _field(inner, getattr(value, inner)) for inner in type(value).model_fields}
    if isinstance(value, Mapping):
        if name in _OPAQUE:
            return dict.fromkeys(map(str, value), MASK)
        return {redact(str(key)): _field(name, item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_field(name, item) for item in value]
    return _without_query(redact(value)) if isinstance(value, str) else value


def _secret(name: str, text: str) -> str:
    if name == "redis_url":
        try:
            return parse_address(text).shown
        except ValueError:
            return MASK
    if name == "provider_proxy":
        proxy = parse_proxy(text)
        credentials = f"{MASK}@" if proxy.authorization is not None else ""
        return f"{'https' if proxy.origin.secure else 'http'}://{credentials}{proxy}"
    if name == "security_webhook_url":
        return f"{shown_webhook_url(text)}/{MASK}"
    if name in _LABELLED:
        labels = [entry.partition(":")[0].strip() for entry in text.split(",") if ":" in entry]
        # If a pair is swapped, its label is the secret.
        shown = [redact_labels(f"'{label}'").strip("'") for label in labels]
        return ", ".join(f"{label}:{MASK}" for label in shown) or MASK
    return MASK


def _without_query(text: str) -> str:
    """A URL's query may hold a signature."""
    address, mark, _ = text.partition("?")
    return f"{address}?{MASK}" if mark and "://" in address else text
