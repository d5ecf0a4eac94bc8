"""What a ring's rotation may do while handles live, as one process knows it. Pure: times are passed in.

The steps are: the new key last, then first, then the old one out. A ring that skips a step loses handles: a
replica that has not read it yet refuses what another one signed, or nobody can verify what lives still.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from app.handles.keyring import SealingRing, SigningRing

SEALING_ALGORITHM: Final = "AES-256-GCM"
_FINGERPRINT_DIGITS: Final = 16  # 64 bits: enough to tell keys apart, and far too few to find one
_FINGERPRINT_OF: Final = b"cloakroom-key-fingerprint\0"
_AFTER_A_LEAK: Final = "after a leak, restart the replicas, since a start takes any ring"

SIGNING: Final = ("signs", "verifies")
SEALING: Final = ("seals", "unseals")


@dataclass(frozen=True, slots=True)
class RingKey:
    """A key of a ring as it may be shown. ``fingerprint`` is the same at every replica that has this key."""

    kid: str
    algorithm: str
    fingerprint: str


def signing_keys(ring: SigningRing) -> tuple[RingKey, ...]:
    """The keys of the ring in its order; the first one signs."""
    return tuple(
        RingKey(
            key.kid,
            key.algorithm,
            fingerprint(
                key.verify_with if isinstance(key.verify_with, bytes) else key.verify_with.public_bytes_raw()
            ),
        )
        for key in ring.by_kid.values()
    )


def sealing_keys(ring: SealingRing) -> tuple[RingKey, ...]:
    """The keys of the ring in its order; the first one seals."""
    return tuple(RingKey(key.kid, SEALING_ALGORITHM, fingerprint(key.key)) for key in ring.by_kid.values())


def fingerprint(secret: bytes) -> str:
    """What tells one strong secret from another: the beginning of a SHA-256, in hexadecimal."""
    return hashlib.sha256(_FINGERPRINT_OF + secret).hexdigest()[:_FINGERPRINT_DIGITS]


class RingUse:
    """The ring in force, and until when each of its keys may be needed.

    Args:
        verbs: what the first key does, and what the others do: ``("signs", "verifies")``.
        keys: the ring at the start. Which key another process used before that is not known, so each of
            them may have been in use until now.
        longest: for how many seconds what was made with a key may need it.
        clock: returns epoch seconds.
    """

    def __init__(
        self, verbs: tuple[str, str], keys: Sequence[RingKey], *, longest: float, clock: Callable[[], float]
    ) -> None:
        self.keys: tuple[RingKey, ...] = tuple(keys)
        self._verbs = verbs
        self.longest: Final = longest
        self._clock = clock
        # Epoch seconds; the first key's is always now.
        self._last_use: dict[str, float] = {key.kid: clock() for key in keys}

    def problem(self, keys: Sequence[RingKey]) -> str | None:
        """Why this ring may not take the place of the one in force; None where it may."""
        known = {key.kid: key for key in self.keys}
        for key in keys:
            if key.kid in known and known[key.kid] != key:
                return f"{key.kid!r} is another key than before; give the new one another id"
        if keys[0].kid not in known:
            return (
                f"its first key {keys[0].kid!r} is new, and replicas that do not have it yet would refuse "
                "what it makes; put it last now, and first when every replica has it"
            )
        staying, now = {key.kid for key in keys}, self._clock()
        if self.keys[0].kid not in staying:
            return (
                f"it has no key {self.keys[0].kid!r}, which {self._verbs[0]} now; put another key first, and "
                f"take this one out {self.longest:.0f} s later; {_AFTER_A_LEAK}"
            )
        for key in self.keys:
            until = self._last_use[key.kid] + self.longest
            if key.kid not in staying and now < until:
                return (
                    f"it has no key {key.kid!r}, and what it made may be needed until {_shown(until)}; "
                    f"keep it until then; {_AFTER_A_LEAK}"
                )
        return None

    def change(self, keys: Iterable[RingKey]) -> None:
        """This ring is in force from now on."""
        now, before = self._clock(), self._last_use
        self._last_use = {}
        was_first = self.keys[0].kid
        self.keys = tuple(keys)
        for key in self.keys:
            # A key that came while we ran has made nothing yet.
            self._last_use[key.kid] = now if key.kid == was_first else before.get(key.kid, 0.0)

    def document(self) -> list[dict[str, Any]]:
        """The keys in their order, for operators."""
        return [
            {
                "kid": key.kid,
                "algorithm": key.algorithm,
                "fingerprint": key.fingerprint,
                "use": self._verbs[min(number, 1)],
            }
            for number, key in enumerate(self.keys)
        ]


def _shown(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M:%S} UTC"
