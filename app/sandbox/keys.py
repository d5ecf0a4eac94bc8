"""The ephemeral keys that this provider has minted, and the clock by which they expire."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any, Literal

from .refusals import Flavour, expired_key, wrong_key

Family = Literal["realtime", "transcription", "translation", "preview"]

# Swept when the ring has grown by this many keys, so that a load test of an hour does not fill memory.
SWEEP_EVERY = 1000
# An expired key is remembered this long, in seconds, so that it is told from one that never existed.
REMEMBER_EXPIRED = 600.0


class ProviderClock:
    """Epoch seconds as the provider sees them: the host's, plus a skew that may change at any time."""

    def __init__(self, now: Callable[[], float] = time.time, skew: float = 0.0) -> None:
        self._now = now
        self.skew = skew

    def time(self) -> float:
        """The provider's time in epoch seconds."""
        return self._now() + self.skew

    def http_date(self) -> str:
        """The provider's time as an HTTP `Date` (RFC 9110, section 5.6.7)."""
        return formatdate(self.time(), usegmt=True)


def digest(key: str) -> str:
    """SHA-256 of a key, hexadecimal: how the control API names a key without showing it."""
    return hashlib.sha256(key.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class EphemeralKey:
    """What is remembered of one key. Times are the provider's epoch seconds.

    `dies_at` differs from `expires_at` only when a fault made the key die before its stated time.
    """

    key_digest: str
    provider: Flavour
    family: Family
    model: str
    session: Mapping[str, Any]
    expires_at: int
    dies_at: float


class KeyRing:
    """Mints and knows ephemeral keys."""

    def __init__(self, clock: ProviderClock) -> None:
        self._clock = clock
        self._keys: dict[str, EphemeralKey] = {}
        self._swept_at = 0
        self.minted = 0

    def mint(
        self,
        provider: Flavour,
        family: Family,
        session: Mapping[str, Any],
        seconds: int,
        early: float | None = None,
    ) -> tuple[str, EphemeralKey]:
        """Make a key that lives `seconds`; with `early` it dies after so many seconds, unannounced."""
        value = f"{'st-' if provider == 'qwen' else 'ek_'}{secrets.token_hex(16)}"
        now = self._clock.time()
        key = EphemeralKey(
            key_digest=digest(value),
            provider=provider,
            family=family,
            model=str(session.get("model", "")),
            session=session,
            expires_at=int(now) + seconds,
            dies_at=int(now) + seconds if early is None else now + early,
        )
        self._keys[key.key_digest] = key
        self.minted += 1
        if self.minted - self._swept_at >= SWEEP_EVERY:
            self._sweep(now)
        return value, key

    def open(self, value: str, provider: Flavour, families: tuple[Family, ...]) -> EphemeralKey:
        """The live key with this text.

        Raises Refusal (401) for a foreign key, one of another provider or family, and an expired one.
        """
        key = self._keys.get(digest(value))
        if key is None or key.provider != provider or key.family not in families:
            raise wrong_key(value)
        if self._clock.time() >= key.dies_at:
            raise expired_key()
        return key

    def live(self) -> int:
        """How many keys would be accepted now."""
        now = self._clock.time()
        return sum(1 for key in self._keys.values() if now < key.dies_at)

    def _sweep(self, now: float) -> None:
        self._swept_at = self.minted
        self._keys = {d: k for d, k in self._keys.items() if now < k.dies_at + REMEMBER_EXPIRED}
