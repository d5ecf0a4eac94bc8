"""Every Redis key that the service uses. Tests and scripts of operators import these, nobody writes one out.

The braces are Redis Cluster's hash tag: all keys of one handle lie in one slot, so one script may touch them.
"""

from __future__ import annotations

from typing import Final

PREFIX: Final = "cloakroom"
_OFFER_DIGITS: Final = 32  # half of a SHA-256 in hexadecimal: 128 bits


def handle(handle_id: str) -> str:
    """Hash: the handle's record."""
    return f"{PREFIX}:handle:{{{handle_id}}}"


def claim(handle_id: str, offer_sha256: str) -> str:
    """String: how far the relay of this offer with this handle has got; see ``scripts/claim.lua``."""
    return f"{PREFIX}:claim:{{{handle_id}}}:{offer_sha256[:_OFFER_DIGITS]}"


def call(call_id: str) -> str:
    """Hash: a call that was relayed."""
    return f"{PREFIX}:call:{{{call_id}}}"


def mint_limit(client: str, minute: int) -> str:
    """Counter: mints of one client in one minute (epoch seconds divided by 60)."""
    return f"{PREFIX}:limit:{{{client}}}:{minute}"


def probe(replica: str) -> str:
    """String: written by the health check, to see that the store takes writes."""
    return f"{PREFIX}:probe:{{{replica}}}"
