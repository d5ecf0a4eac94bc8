"""How many keys a model should have in stock. Pure.

The goal follows the demand: as many keys as were wanted in the last minute, or in an average minute of the
last five. So a burst of ten times the usual finds keys for six seconds. Where a key serves for a short time,
the goal is smaller, since keys are used in the order of their age.

A session that was wanted once has no goal: it may be some caller's own, which no one will ever want again.
"""

from __future__ import annotations

import math
from typing import Final

from app.broker.session_policy import PoolPolicy
from app.store.pools import PoolBill, PoolLevel

# The stock lasts so long at the usual demand, in seconds.
COVER_SECONDS: Final = 60.0
# A key should be used after this share of the time for which it can be handed out: then few become too old.
_SHARE_OF_SERVING: Final = 0.5
# Takes of one session that show that it is wanted again and again.
REPEATED: Final = 2
# While fewer keys than this were minted in the last hour, their waste counts as if it were so many. The first
# keys could not be minted otherwise.
LEAST_MINTED: Final = 20
# What a burst took is minted again within so many seconds.
CATCH_UP_SECONDS: Final = 5.0
# Mints of one model that a replica has in flight for its pool, at least and at most.
FEW_AT_ONCE: Final = 4
MOST_AT_ONCE: Final = 16


def goal_of(level: PoolLevel, *, target: int) -> int:
    """How many keys of a shape should be in stock, by its demand alone."""
    if level.takes < REPEATED or level.idle > level.serves:
        return 0
    usual = max(float(level.minute), level.five / 5)
    share = min(level.serves * _SHARE_OF_SERVING / COVER_SECONDS, 1.0)
    return min(max(math.ceil(usual * share), 1), target)


def bound_of(bill: PoolBill, policy: PoolPolicy) -> int:
    """How many keys of a model there may be at once, so that no more than its share is wasted.

    Even if all that lie there became too old, the waste of the last hour would stay within ``max_waste`` of
    what was minted in it. Whatever the share, one key may lie there while none was wasted.
    """
    may_waste = math.floor(max(bill.hour_minted, LEAST_MINTED) * policy.max_waste) - bill.hour_wasted
    least = 0 if bill.hour_wasted else 1
    return min(max(may_waste, least), policy.target)


def at_once(level: PoolLevel, goal: int, *, mint_seconds: float) -> int:
    """How many keys a replica mints at once, to keep up with twice the demand and catch up with a burst."""
    a_second = 2 * level.minute / 60 + max(goal - level.stock - level.pending, 0) / CATCH_UP_SECONDS
    return min(max(math.ceil(a_second * mint_seconds), FEW_AT_ONCE), MOST_AT_ONCE)
