"""The issuers whose tokens are accepted, and what each token stands for: a user, or a client's backend.

Pure. Only ``app.identity.tokens.verify`` makes a ``VerifiedToken``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final, Literal

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]

# Seconds by which an issuer's clock and ours may differ.
USUAL_LEEWAY_SECONDS: Final = 30.0
DISCOVERY_PATH: Final = "/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True)
class Users:
    """Who signs in at an issuer may mint for himself.

    ``claim`` is the one that picks the client, by ``clients``, in whose order its values are looked for;
    ``client`` is for a token that has none of them, and None refuses it.
    """

    client: str | None = None
    claim: str | None = None
    clients: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rule:
    """A workload whose token is exchanged for a token of ``client``.

    ``subject`` is its ``sub``, in which ``*`` stands for any text; ``audience`` is one of the issuer's, None
    for any of them.
    """

    subject: str
    client: str
    audience: str | None = None


@dataclass(frozen=True, slots=True)
class Issuer:
    """One identity provider.

    ``name`` is the setting's, ``url`` what its tokens have in ``iss``. A token must be for one of the
    ``audiences``, and be signed with one of the ``algorithms``. ``leeway`` is in seconds. ``keys_url`` is
    where its keys are, None where its discovery document tells. ``token_file`` holds the token that is shown
    there, None where none is needed.
    """

    name: str
    url: str
    audiences: tuple[str, ...]
    algorithms: tuple[Algorithm, ...]
    leeway: float = USUAL_LEEWAY_SECONDS
    keys_url: str | None = None
    token_file: str | None = None
    users: Users | None = None
    rules: tuple[Rule, ...] = ()

    @property
    def place(self) -> str:
        """The setting's name, for messages."""
        return f"issuers.{self.name}"

    @property
    def discovery_url(self) -> str:
        """Where OpenID Connect Discovery 1.0, section 4, has the issuer's document."""
        return self.url.rstrip("/") + DISCOVERY_PATH


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A token whose signature, issuer, audience, type and times were all verified.

    ``expires_at`` is epoch seconds by the issuer's clock.
    """

    issuer: Issuer
    subject: str
    expires_at: float
    claims: Mapping[str, Any] = field(repr=False)


def client_of_user(users: Users, token: VerifiedToken) -> str | None:
    """The client whose policy a user has; None where he may not mint."""
    if users.claim is not None:
        held = _values(token.claims, users.claim)
        for value, client in users.clients.items():
            if value in held:
                return client
    return users.client


def client_of_workload(token: VerifiedToken) -> str | None:
    """The client of the first rule that fits; None where none does."""
    audiences = _as_list(token.claims.get("aud"))
    for rule in token.issuer.rules:
        for_it = rule.audience is None or rule.audience in audiences
        if for_it and fits(rule.subject, token.subject):
            return rule.client
    return None


def fits(pattern: str, subject: str) -> bool:
    """Whether the whole subject fits; ``*`` stands for any text, all else for itself."""
    # The settings refuse the other signs of ``fnmatch``.
    return fnmatchcase(subject, pattern)


def _values(claims: Mapping[str, Any], name: str) -> frozenset[str]:
    """The texts of a claim, by its name or, where none has that name, by its path: ``realm_access.roles``."""
    found: Any = claims.get(name)
    if found is None:
        found = claims
        for part in name.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
    return frozenset(value for value in _as_list(found) if isinstance(value, str))


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
