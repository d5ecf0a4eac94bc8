"""Keeps an access token fresh in the background, so that a request finds one and never waits for one.

One task for each deployment fetches, sleeps until the token's refresh time, and fetches again, so two
refreshes never overlap. While a refresh fails, the old token serves for as long as it is valid.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog

from app.errors import UpstreamError
from app.models import Secret

log = structlog.get_logger("cloakroom.tokens")

# A token that ends while the request travels would be refused, so its last seconds are not used.
_MARGIN_SECONDS: Final = 5.0
# The least time between two fetches, whatever a token's times say.
_LEAST_SECONDS: Final = 1.0
_FIRST_RETRY_SECONDS: Final = 1.0
_LONGEST_RETRY_SECONDS: Final = 30.0
# Long sleeps go in pieces, so that a machine that was suspended, or whose clock was set, notices in time.
_LONGEST_SLEEP_SECONDS: Final = 60.0
# A token that is refused is renewed before its time, at most once in so long: one that never works must not
# make every request ask for another.
_EARLY_EVERY_SECONDS: Final = 60.0
# Replicas that started together should not all ask in the same second.
_SPREAD: Final = 0.1


@dataclass(frozen=True, slots=True)
class FreshToken:
    """A token as it was given. Times are epoch seconds on our own clock."""

    value: Secret
    expires_at: float
    refresh_at: float


class TokenFault(Exception):
    """No token was given. The message is safe to show, and says what to change."""


Fetch = Callable[[], Awaitable[FreshToken]]


class TokenKeeper:
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
        self._deployment = deployment
        self._fetch = fetch
        self._issuer = issuer
        self._fetch_seconds = fetch_seconds
        self._clock = clock
        self._token: FreshToken | None = None
        self._fault = "none was given yet"
        self._asked = asyncio.Event()
        self._early = asyncio.Event()
        self._early_at = -_EARLY_EVERY_SECONDS
        self._task: asyncio.Task[None] | None = None

    def current(self) -> Secret:
        """The token to send now.

        Raises:
            UpstreamError: no valid token is there; says why, as far as it is known.
        """
        token = self._token
        if token is not None and self._clock() < token.expires_at - _MARGIN_SECONDS:
            return token.value
        raise UpstreamError(
            f"Deployment '{self._deployment}' has no access token of {self._issuer}: {self._fault}.",
            retry_after=int(_FIRST_RETRY_SECONDS),
        )

    def held(self) -> tuple[Secret, ...]:
        return (self._token.value,) if self._token is not None else ()

    def refused(self) -> None:
        """The provider refused the token: ask for the next one now, unless that was done a moment ago."""
        now = self._clock()
        if self._token is None or now - self._early_at < _EARLY_EVERY_SECONDS:
            return
        self._early_at = now
        self._early.set()
        log.warning("access_token_refused", deployment=self._deployment, issuer=self._issuer)

    async def start(self, *, wait: float) -> None:
        """Begin, and wait up to ``wait`` seconds for the first fetch, so that the first caller finds a token.

        If no token comes, the service starts all the same: its other deployments work.
        """
        self._task = asyncio.create_task(self._keep())
        try:
            async with asyncio.timeout(wait):
                await self._asked.wait()
        except TimeoutError:
            log.warning(
                "access_token_late", deployment=self._deployment, issuer=self._issuer, waited_seconds=wait
            )

    async def close(self) -> None:
        """Stop; the token is not used again."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _keep(self) -> None:
        failures = 0
        while True:
            try:
                async with asyncio.timeout(self._fetch_seconds):
                    self._token = token = await self._fetch()
            except Exception as fault:
                # Any error: if the keeper died, the token would end unnoticed.
                failures += 1
                self._note(self._told(fault))
                pause = min(_FIRST_RETRY_SECONDS * 2 ** (failures - 1), _LONGEST_RETRY_SECONDS)
            else:
                failures = 0
                seconds = round(token.expires_at - self._clock())
                log.info(
                    "access_token_refreshed",
                    deployment=self._deployment,
                    issuer=self._issuer,
                    valid_seconds=seconds,
                )
                pause = max(token.refresh_at - self._clock(), _LEAST_SECONDS)
            self._asked.set()
            # What was refused while this fetch was under way is the token before.
            self._early.clear()
            await self._sleep_until(self._clock() + pause * random.uniform(1 - _SPREAD, 1))  # noqa: S311 - no secret

    def _told(self, fault: Exception) -> str:
        """A clause; another library's message is left out, since it could quote a secret."""
        if isinstance(fault, TokenFault):
            return str(fault)
        if isinstance(fault, TimeoutError):
            return f"no answer within {self._fetch_seconds:g} seconds"
        return f"asking for it failed with {type(fault).__name__}"

    def _note(self, fault: str) -> None:
        self._fault = fault
        left = max(self._token.expires_at - self._clock(), 0) if self._token is not None else 0
        log.warning(
            "access_token_not_refreshed",
            deployment=self._deployment,
            issuer=self._issuer,
            reason=fault,
            valid_seconds=round(left),
        )

    async def _sleep_until(self, moment: float) -> None:
        """Sleep, or until the token is refused."""
        while (left := moment - self._clock()) > 0 and not self._early.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, _LONGEST_SLEEP_SECONDS)):
                    await self._early.wait()
