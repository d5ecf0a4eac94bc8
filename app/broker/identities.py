"""Tokens of other issuers in the place of a client key: a user signs in, a workload exchanges its token.

The order of steps: the issuer by its name, its key, PyJWT's verification, then whose policy the bearer has.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from app.errors import InvalidToken, SignInUnavailable, UserNotAllowed
from app.handles.client_tokens import ClientToken, ClientTokens
from app.identity.issuers import Issuer, VerifiedToken, client_of_user, client_of_workload
from app.identity.keys import Key
from app.identity.tokens import TokenRefused, UnverifiedToken, read_unverified, verify, wanted_key
from app.models import Client

_AGAIN: Final = "This token is not accepted here. Sign in again, and send the token meant for this service."
_EXPIRED: Final = "This token has expired. Sign in again, or renew it, and send the new one."
_EXCHANGE: Final = "This token does not mint by itself. Exchange it at /oauth/token, and send what you get."
_NOT_ALLOWED: Final = "You are signed in, but may not mint here. Ask the service's operator for access."
# A client token that lives shorter than this is of no use.
LEAST_SECONDS: Final = 5


class KeySource(Protocol):
    """The public keys of one issuer."""

    async def key(self, kid: str, algorithm: str) -> Key | None:
        """The key with this id, for this algorithm; None where the issuer has none.

        Raises:
            SignInUnavailable: that is not known just now.
        """


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A user: the client whose policy he has, and his ``sub``."""

    client: Client
    subject: str


@dataclass(frozen=True, slots=True)
class Exchanged:
    """A workload: the client that it now is, its token for that, and what it was told by."""

    client: str
    token: ClientToken
    issuer: str
    subject: str


class NotExchanged(Exception):
    """A token is not exchanged. ``reason`` is for the log, the message for its bearer."""

    def __init__(self, message: str, reason: str, *, issuer: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.issuer = issuer


class Identities:
    """The configured issuers with their keys.

    Args:
        issuers: each with its keys.
        clients: by name.
        tokens: signs client tokens; None where nothing is exchanged.
        token_seconds: how long a client token lives at most.
        count: is told each verdict: the issuer's name, and a reason or ``accepted``.
        clock: returns epoch seconds.
    """

    def __init__(
        self,
        issuers: Mapping[str, tuple[Issuer, KeySource]],
        *,
        clients: Mapping[str, Client],
        tokens: ClientTokens | None,
        token_seconds: int,
        count: Callable[[str, str], None],
        clock: Callable[[], float],
    ) -> None:
        self._by_url = {issuer.url: (issuer, keys) for issuer, keys in issuers.values()}
        self._clients = clients
        self._tokens = tokens
        self._token_seconds = token_seconds
        self._count = count
        self._clock = clock

    @property
    def exchanges(self) -> bool:
        """Whether any workload's token is exchanged."""
        return self._tokens is not None

    def known(self, unverified_text: str) -> UnverifiedToken | None:
        """The token, where it says that it is of a configured issuer; None for any other text."""
        unverified = read_unverified(unverified_text)
        return unverified if unverified is not None and unverified.issuer in self._by_url else None

    async def sign_in(self, unverified: UnverifiedToken, fields: dict[str, Any]) -> SignedIn:
        """Return the user whom the token of a configured issuer stands for.

        ``fields`` of the log line get the issuer, and why the token is refused.

        Raises:
            InvalidToken, UserNotAllowed, SignInUnavailable
        """
        issuer, _ = self._by_url[unverified.issuer]
        fields["issuer"] = issuer.name
        try:
            if issuer.users is None:
                raise TokenRefused("use")
            token = await self._verified(unverified)
        except TokenRefused as refused:
            fields["reason"] = refused.reason
            self._count(issuer.name, refused.reason)
            if refused.reason == "use":
                raise InvalidToken(_EXCHANGE) from None
            raise InvalidToken(_EXPIRED if refused.reason == "expired" else _AGAIN) from None
        client = self._clients.get(client_of_user(issuer.users, token) or "")
        if client is None:
            fields["reason"] = "not_allowed"
            self._count(issuer.name, "not_allowed")
            raise UserNotAllowed(_NOT_ALLOWED)
        self._count(issuer.name, "accepted")
        return SignedIn(client, token.subject)

    async def exchange(self, unverified_text: str) -> Exchanged:
        """Exchange a workload's token for a client token. It lives no longer than the workload's.

        Raises:
            NotExchanged, SignInUnavailable
        """
        unverified = self.known(unverified_text)
        if unverified is None or self._tokens is None:
            raise NotExchanged("The subject token is of no issuer that is accepted here.", "issuer")
        issuer, _ = self._by_url[unverified.issuer]
        try:
            token = await self._verified(unverified)
        except TokenRefused as refused:
            self._count(issuer.name, refused.reason)
            told = "has expired" if refused.reason == "expired" else "is not accepted here"
            raise NotExchanged(f"The subject token {told}.", refused.reason, issuer=issuer.name) from None
        client = client_of_workload(token)
        if client is None or client not in self._clients:
            self._count(issuer.name, "not_allowed")
            raise NotExchanged("No rule fits the subject token.", "not_allowed", issuer=issuer.name)
        seconds = min(self._token_seconds, math.floor(token.expires_at - self._clock()))
        if seconds < LEAST_SECONDS:
            self._count(issuer.name, "expired")
            raise NotExchanged("The subject token has expired.", "expired", issuer=issuer.name)
        self._count(issuer.name, "accepted")
        return Exchanged(client, self._tokens.issue(client, seconds=seconds), issuer.name, token.subject)

    async def _verified(self, unverified: UnverifiedToken) -> VerifiedToken:
        issuer, keys = self._by_url[unverified.issuer]
        kid, algorithm = wanted_key(issuer, unverified)
        try:
            key = await keys.key(kid, algorithm)
        except SignInUnavailable:
            self._count(issuer.name, "unavailable")
            raise
        if key is None:
            raise TokenRefused("key")
        return verify(issuer, unverified, key)
