"""Handles, calls and tokens for the tests of the commands for operators."""

from __future__ import annotations

import base64
import json
from typing import Any

from app.store.listing.views import HandleView
from app.store.records.record import CallRecord

NOW = 1_800_000_000.0
HANDLE_ID = "Mh2ztRj1zsnsG61hQEfDiw"
SIGNATURE = "a" * 42 + "A"


def view(**changes: Any) -> HandleView:
    """A live handle, minted a minute ago, with nine minutes and one of two calls left."""
    fields: dict[str, Any] = {
        "id": HANDLE_ID,
        "model": "gpt-realtime-2.1",
        "deployment": "sweden",
        "provider": "azure",
        "family": "realtime",
        "client": "shop",
        "subject": "user 17",
        "origin": "https://app.example",
        "minted_at": int(NOW) - 60,
        "expires_at": int(NOW) + 540,
        "minted_by": "replica-a",
        "life": 540.25,
        "max_calls": 2,
        "calls": 1,
        "last_call_at": int(NOW) - 30,
        "last_call_by": "replica-b",
    }
    return HandleView(**{**fields, **changes})


def call(**changes: Any) -> CallRecord:
    fields: dict[str, Any] = {
        "id": "rtc_1",
        "handle": HANDLE_ID,
        "deployment": "sweden",
        "model": "gpt-realtime-2.1",
        "client": "shop",
        "subject": "user 17",
        "relayed_at": int(NOW) - 30,
        "relayed_by": "replica-b",
    }
    return CallRecord(**{**fields, **changes})


def token(payload: Any, prefix: str = "ek_") -> str:
    """A handle's text with these claims, signed by nobody."""
    parts = [json.dumps({"alg": "HS256", "typ": "handle+jwt", "kid": "k1"}), json.dumps(payload)]
    encoded = [base64.urlsafe_b64encode(part.encode()).rstrip(b"=").decode() for part in parts]
    return f"{prefix}{'.'.join(encoded)}.{SIGNATURE}"
