"""What is counted before a mint: the mints of this minute, and the handles that are alive at once."""

from __future__ import annotations

from typing import Final

from app.models import value
from app.store import keys
from app.store.scripts import LIMIT, ScriptCall

# A counter outlives its minute a little, for replicas whose clocks differ.
_LIMIT_LIFE_MS: Final = 120_000


@value
class Live:
    """A handle that is to count among at most ``most``, for ``hold`` seconds until it is saved."""

    handle_id: str
    hold: float
    most: int


@value
class Minting:
    """A mint to count: of ``client``, and of its ``subject``, hashed, which may have ``most`` in a minute.

    ``most`` is None where subjects have no limit.
    """

    client: str
    subject: str = ""
    most: int | None = None

    def counting(self, minute: int) -> ScriptCall:
        """The script that counts it in this minute (epoch seconds divided by 60)."""
        names = [keys.mint_limit(self.client, minute)]
        if self.subject and self.most is not None:
            names.append(keys.mint_limit(self.client, minute, self.subject))
        return LIMIT, names, (_LIMIT_LIFE_MS, self.most or 0)


@value
class Admitted:
    """The mints in this minute of the client, and of its subject, 0 where that is not counted.

    ``wait`` is after how many seconds one of its handles expires; None where it does not have too many.
    """

    count: int
    subject_count: int
    wait: float | None
