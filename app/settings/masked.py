"""The settings as plain values without a secret: what is one by its type, what could hold one, what looks so.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, SecretStr

from app.outbound.egress import parse_proxy
from app.settings.model import Settings
from app.store.address import parse_address
from app.telemetry.redaction import redact, redact_labels

MASK: Final = "***"
# Rings and pairs: the labels are shown, they tell which key is meant.
_LABELLED: Final = frozenset({"signing_keys", "sealing_keys", "api_keys", "admin_keys"})
# Session fields that callers never see: instructions, tools and the headers of their servers.
_OPAQUE: Final = frozenset({"defaults", "locked"})


def masked_settings(settings: Settings) -> dict[str, Any]:
    """Every field with its value, fit for JSON and for any screen."""
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
    if name in _LABELLED:
        labels = [entry.partition(":")[0].strip() for entry in text.split(",") if ":" in entry]
        # A pair that was written the wrong way round has its secret for a label.
        shown = [redact_labels(f"'{label}'").strip("'") for label in labels]
        return ", ".join(f"{label}:{MASK}" for label in shown) or MASK
    return MASK


def _without_query(text: str) -> str:
    """A URL's query may hold a signature."""
    address, mark, _ = text.partition("?")
    return f"{address}?{MASK}" if mark and "://" in address else text
