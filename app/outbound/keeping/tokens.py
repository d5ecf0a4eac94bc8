"""Keeps the access token of a deployment fresh (``app.outbound.keeping.keeper``).

While a renewal fails, the old token serves for as long as it is valid.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog

from app.errors import UpstreamError
from app.models import Secret
from app.outbound.keeping.keeper import FIRST_RETRY_SECONDS, FetchFault, Keeper

log = structlog.get_logger("cloakroom.tokens")

# A token that ends while the request travels would be refused, so its last seconds are not used.
_MARGIN_SECONDS: Final = 5.0
# A token that is refused is renewed before its time, at most once in so long: one that never works must not
# make every request ask for another.
_EARLY_EVERY_SECONDS: Final = 60.0

TokenFault = FetchFault


@dataclass(frozen=True, slots=True)
class FreshToken:
    """A token as it was given. Times are epoch seconds on our own clock."""

    value: Secret
    expires_at: float
    refresh_at: float


Fetch = Callable[[], Awaitable[FreshToken]]


class TokenKeeper(Keeper[FreshToken]):
    """Keeps the access token of one deployment.

    Args:
        deployment: its name, for messages and the log.
        fetch: asks once for a new token; raises ``TokenFault``.
        issuer: who gives it, in words, for messages and the log.
        fetch_seconds: how long one fetch may take.
        clock: returns epoch seconds.
    """

    def __init__(
        self,
        deployment: str,
        fetch: Fetch,
        *,
        issuer: str,
        fetch_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(fetch, fetch_seconds=fetch_seconds, early_every=_EARLY_EVERY_SECONDS, clock=clock)
        self._names = {"deployment": deployment, "issuer": issuer}
        self._whose = f"Deployment '{deployment}' has no access token of {issuer}"

    def current(self) -> Secret:
        """The token to send now.

        Raises:
            UpstreamError: no valid token is there; says why, as far as it is known.
        """
        token = self.kept
        if token is not None and self._clock() < token.expires_at - _MARGIN_SECONDS:
            return token.value
        reason = self.fault or "it has ended"
        raise UpstreamError(f"{self._whose}: {reason}.", retry_after=int(FIRST_RETRY_SECONDS))

    def held(self) -> tuple[Secret, ...]:
        return (self.kept.value,) if self.kept is not None else ()

    def refused(self) -> None:
        """The provider refused the token: ask for the next one now, unless that was done a moment ago."""
        if self.hurry():
            log.warning("access_token_refused", **self._names)

    async def start(self, *, wait: float) -> bool:
        """Begin, and wait up to ``wait`` seconds, so that the first caller finds a token."""
        in_time = await super().start(wait=wait)
        if not in_time:
            log.warning("access_token_late", **self._names, waited_seconds=wait)
        return in_time

    def due(self, kept: FreshToken) -> float:
        return kept.refresh_at

    def tell_fetched(self, kept: FreshToken) -> None:
        seconds = round(kept.expires_at - self._clock())
        log.info("access_token_refreshed", **self._names, valid_seconds=seconds)

    def tell_failed(self) -> None:
        left = max(self.kept.expires_at - self._clock(), 0) if self.kept is not None else 0
        log.warning("access_token_not_refreshed", **self._names, reason=self.fault, valid_seconds=round(left))
