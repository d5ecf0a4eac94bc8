"""The hang-up: who is asking came before; here find the call, ask its provider, note the end, in this order.

Ending a call twice does no harm, so unlike an offer it may be sent again. It is noted only once the provider
has said that the call is over: a failed hang-up leaves no trace, and can be tried again anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal

import structlog

from app.broker.catalog import Catalog
from app.broker.settlement import Settlement
from app.errors import CallNotFound, UpstreamUnreachable
from app.models import CallRecord, Client, Deployment, HandleClaims
from app.outbound.upstream import Upstream, send_until_answered
from app.providers.base import Provider, UpstreamResponse
from app.store.calls import CallStore
from app.telemetry.timings import Timings

log = structlog.get_logger("cloakroom.hangup")

# One sentence for the unknown and for the foreign call, so that nobody can find out which ids exist.
NOT_FOUND_MESSAGE: Final = "There is no call of this id that you may end."

# Who asks: the client that the handle was minted for, or the handle itself.
Caller = Client | HandleClaims


# ``ended`` by this hang-up; ``gone`` at the provider before it; ``repeated`` after one that is on record.
Outcome = Literal["ended", "gone", "repeated"]


class Hangup:
    """Ends calls, whichever replica relayed them.

    Args:
        replica: noted on the record of a call that this process ended.
        deadline: seconds for all tries at the provider together.
        clock: returns epoch seconds.
        monotonic: returns seconds.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        providers: Mapping[str, Provider],
        upstream: Upstream,
        calls: CallStore,
        settlement: Settlement,
        replica: str,
        deadline: float,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._catalog = catalog
        self._providers = providers
        self._upstream = upstream
        self._calls = calls
        self._settlement = settlement
        self._replica = replica
        self._deadline = deadline
        self._clock = clock
        self._monotonic = monotonic

    async def find(self, call_id: str, caller: Caller, timings: Timings) -> CallRecord:
        """Return the caller's call. ``call_id`` is well-formed (``is_call_id``).

        Raises:
            CallNotFound: there is no such call, or it is not the caller's.
            StoreUnavailable: the record could not be read.
        """
        started = self._monotonic()
        try:
            call = await self._calls.get(call_id)
        finally:
            timings.store_took("find", started, self._monotonic())
        if call is None or not owns(caller, call):
            raise CallNotFound(NOT_FOUND_MESSAGE, param="call_id")
        return call

    async def hang_up(self, call: CallRecord, timings: Timings) -> Outcome:
        """End the call; the provider of one that was hung up before is not asked again.

        Raises:
            InvalidRequest: the call's provider has no hang-up.
            UpstreamError, UpstreamUnreachable, UpstreamTimeout: the call may go on; nothing was noted.
        """
        timings.model, timings.deployment = call.model, call.deployment
        if call.ended_at is not None:
            return "repeated"
        started = self._monotonic()
        try:
            ended = await self._end(self._deployment(call), call.id, timings)
        finally:
            timings.provider += self._monotonic() - started
        started = self._monotonic()
        await self._note(call)
        timings.store_took("note", started, self._monotonic())
        return "ended" if ended else "gone"

    def _deployment(self, call: CallRecord) -> Deployment:
        deployment = self._catalog.deployment(call.deployment)
        if deployment is None:
            log.error("call_not_reached", call_id=call.id, deployment=call.deployment)
            # Seen while a configuration rolls out: nothing was sent, and the next replica may know the place.
            raise UpstreamUnreachable(
                "This replica is not configured for the place where the call lives. Try again.", retry_after=1
            )
        return deployment

    async def _end(self, deployment: Deployment, call_id: str, timings: Timings) -> bool:
        provider = self._providers[deployment.provider]
        request = provider.hangup_request(deployment, call_id)

        def read(response: UpstreamResponse) -> bool:
            return provider.read_hangup(deployment, response)

        return await send_until_answered(
            self._upstream,
            request,
            read,
            deadline=self._deadline,
            monotonic=self._monotonic,
            timings=timings,
        )

    async def _note(self, call: CallRecord) -> None:
        ended_at = int(self._clock())

        async def note() -> None:
            await self._calls.mark_ended(call, ended_at=ended_at, ended_by=self._replica)

        # Should the store fail now, the call is over all the same, and the note follows.
        await self._settlement.write("ended", note, call_id=call.id)


def owns(caller: Caller, call: CallRecord) -> bool:
    """Whether the call was made by this handle, or with a handle of this client."""
    if isinstance(caller, Client):
        return call.client == caller.name
    return call.handle == caller.id
