"""Whether one secret serves two purposes: a leak of one is then a leak of both. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import combinations

from app.doctor.finding import Finding
from app.settings import Settings
from app.settings.secrets import parse_key_pairs


def shared_secret_findings(settings: Settings) -> Iterator[Finding]:
    """A row a pair of settings that hold the same secret, or one row that says that none do."""
    places: dict[str, list[str]] = {}
    for place, value in _secrets(settings):
        places.setdefault(_digest(value), []).append(place)
    pairs = [pair for names in places.values() for pair in combinations(dict.fromkeys(names), 2)]
    for first, second in pairs:
        text = f"{first} and {second} hold the same secret"
        yield Finding("settings", "secrets", "warn", text, "give each its own: cloakroom keys new")
    if not pairs:
        yield Finding("settings", "secrets", "ok", "each serves one purpose")


def _secrets(settings: Settings) -> Iterator[tuple[str, str]]:
    for name, ring in (("SIGNING", settings.signing_keys), ("SEALING", settings.sealing_keys)):
        for entry in ring.get_secret_value().split(",") if ring is not None else ():
            yield f"CLOAKROOM_{name}_KEYS", entry.partition(":")[2].strip()
    for name, pairs in (("API", settings.api_keys), ("ADMIN", settings.admin_keys)):
        for holder, key in parse_key_pairs(pairs.get_secret_value()).items() if pairs is not None else ():
            yield f"CLOAKROOM_{name}_KEYS ({holder})", key
    for holder, client in settings.clients.items():
        yield f"clients.{holder}.api_key", client.api_key.get_secret_value()
    # Deployments may share a key: it is the provider's, and one account has many of them.
    for deployment in settings.deployments.values():
        if deployment.api_key is not None:
            yield "a deployment's api_key", deployment.api_key.get_secret_value()


def _digest(value: str) -> str:
    """What a key in clear and the same key given as its SHA-256 have in common."""
    if value.startswith("sha256:"):
        return value
    return "sha256:" + hashlib.sha256(value.encode()).hexdigest()
