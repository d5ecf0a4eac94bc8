"""The short form of ``make test-faults DRILLS=providers``: one of two deployments fails, at two replicas."""

from __future__ import annotations

from tests.faults.drill import Progress
from tests.faults.providers import AT_ONCE, run


async def test_while_one_deployment_fails_the_other_mints_and_no_offer_is_sent_twice() -> None:
    seen, _ = await run(Progress("providers"), AT_ONCE, deadline=60, seconds=2)
    assert seen.offers.total() >= seen.sent > 0
