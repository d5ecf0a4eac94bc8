"""What a page reports of its call: here put it on the call's record and count it, in this order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from app.broker.upgrades import newer_release
from app.errors import CallNotFound, RateLimited
from app.models import Clocks, HandleClaims
from app.reports import CallReport
from app.store.records.calls import MAX_REPORTS, CallStore, ReportTaken
from app.telemetry.timings import Timings

# One sentence for an unknown and a foreign call, so that ids cannot be probed.
NOT_YOURS_MESSAGE: Final = "This handle made no call of this id."


@dataclass(frozen=True, slots=True, kw_only=True)
class Reports:
    """Takes the reports of pages, at any replica.

    ``count`` is called for each report that changed its call's record, with its outcome.
    """

    calls: CallStore
    count: Callable[[str, Timings], None]
    clocks: Clocks

    async def take(
        self, call_id: str, handle: HandleClaims, report: CallReport, timings: Timings
    ) -> ReportTaken:
        """Keep the report of a call. ``call_id`` is well-formed (``is_call_id``).

        Raises:
            CallNotFound: there is no such call, or another handle made it.
            RateLimited: the call has had its reports; no later one is taken.
            Draining: only replicas of a newer release can read the call's record.
            StoreUnavailable: the record could not be written.
        """
        started = self.clocks.monotonic()
        dated = replace(report, at=int(self.clocks.now()))
        try:
            taken = await self.calls.take_report(call_id, handle.id, dated)
        finally:
            timings.store_took("report", started, self.clocks.monotonic())
        if taken.how == "none":
            raise CallNotFound(NOT_YOURS_MESSAGE, param="call_id")
        if taken.how == "version":
            raise newer_release("call", call_id, taken.version)
        if taken.how == "limited":
            raise RateLimited(f"This call has had its {MAX_REPORTS} reports. Send no more.")
        timings.model, timings.deployment = taken.model, taken.deployment
        if taken.how != "more":
            self.count(report.outcome, timings)
        return taken
