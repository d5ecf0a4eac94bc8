"""The hang-up: the caller is known; here find the call, ask its provider and note the end, in this order.

Ending a call twice does no harm, so unlike an offer it may be sent again. It is noted only once the provider
has said that the call is over: a failed hang-up leaves no trace, and can be tried again anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import structlog

from app.broker.routing.catalog import Catalog
from app.broker.security.events import SecurityLog, record_refused
from app.broker.settlement import Settlement
from app.broker.upgrades import newer_release
from app.errors import CallNotFound, UpstreamUnreachable
from app.handles.sealing import Sealer
from app.models import Client, Clocks, Deployment, HandleClaims
from app.outbound.upstream import Upstream, send_until_answered
from app.providers.base import Provider, UpstreamResponse
from app.store.keys import knows_version
from app.store.records.calls import CallStore
from app.store.records.record import CallRecord
from app.telemetry.timings import Timings

log = structlog.get_logger("cloakroom.hangup")

# One sentence for an unknown and a foreign call, so that ids cannot be probed.
NOT_FOUND_MESSAGE: Final = "There is no call of this id, or it is not yours."


@dataclass(frozen=True, slots=True)
class CallProofs:
    """Judges the records of calls. ``required``: one without a proof, as of an older release, is refused."""

    sealer: Sealer
    required: bool

    def hold(self, call: CallRecord) -> bool:
        """Whether the record is as its relay wrote it."""
        if not call.proof:
            return not self.required
        return self.sealer.proves(call.proof, *call.stated)


# Who asks: the client that the handle was minted for, or the handle itself.
Caller = Client | HandleClaims


# ``ended`` by this hang-up; ``gone`` at the provider before it; ``repeated`` after one that is on record.
Outcome = Literal["ended", "gone", "repeated"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hangup:
    """Ends calls that any replica relayed.

    ``replica`` is noted on the record of a call that this process ended. ``deadline`` is for all tries at the
    provider together, in seconds. ``end_held`` closes the socket of a call that lasts as long as one of this
    replica (``HeldCalls``).
    """

    catalog: Catalog
    providers: Mapping[str, Provider]
    upstream: Upstream
    calls: CallStore
    settlement: Settlement
    security: SecurityLog
    proofs: CallProofs
    replica: str
    deadline: float
    clocks: Clocks
    end_held: Callable[[str], bool] = lambda _call_id: False

    async def find(self, call_id: str, caller: Caller, timings: Timings) -> CallRecord:
        """Return the caller's call. ``call_id`` is well-formed (``is_call_id``).

        Raises:
            CallNotFound: there is no such call, or it is not the caller's.
            StoreUnavailable: the record could not be read.
        """
        started = self.clocks.monotonic()
        try:
            call = await self.calls.get(call_id)
        finally:
            timings.store_took("find", started, self.clocks.monotonic())
        if call is None or not owns(caller, call):
            raise CallNotFound(NOT_FOUND_MESSAGE, param="call_id")
        self.require_proven(call)
        return call

    async def hang_up(
        self, call: CallRecord, timings: Timings, *, because: str = "", operator: str = ""
    ) -> Outcome:
        """End the call; the provider of one that was hung up before is not asked again.

        ``because`` goes on the record: the reason of a deadline, empty where a caller asks. So does
        ``operator``, the name of the operator who asks, if one does.

        Raises:
            InvalidRequest: the call's provider has no hang-up.
            Draining: only replicas of a newer release can read the call's record; nothing was sent.
            UpstreamError, UpstreamUnreachable, UpstreamTimeout: the call may go on; nothing was noted.
        """
        if not knows_version(call.version):
            raise newer_release("call", call.id, call.version)
        timings.model, timings.deployment = call.model, call.deployment
        if call.ended_at is not None:
            return "repeated"
        started = self.clocks.monotonic()
        try:
            ended = await self._end(self.deployment_of(call), call.id, timings)
        finally:
            timings.provider += self.clocks.monotonic() - started
        started = self.clocks.monotonic()
        await self.note_end(call, because, operator)
        timings.store_took("note", started, self.clocks.monotonic())
        return "ended" if ended else "gone"

    def require_proven(self, call: CallRecord) -> None:
        """Do nothing where the record is as its relay wrote it, or of a version that is not read here.

        Raises:
            CallNotFound: it was changed in the store. It may be another one's call.
        """
        if knows_version(call.version) and not self.proofs.hold(call):
            log.error("call_not_proven", call_id=call.id, deployment=call.deployment)
            whose = (call.client, call.subject, call.model)
            self.security.report(record_refused(call.handle, whose, "call_not_proven"))
            raise CallNotFound(NOT_FOUND_MESSAGE, param="call_id")

    def deployment_of(self, call: CallRecord) -> Deployment:
        """Where the call lives.

        Raises:
            CallNotFound: as ``require_proven``.
            UpstreamUnreachable: this replica's configuration has no such place.
        """
        self.require_proven(call)
        deployment = self.catalog.deployment(call.deployment)
        if deployment is None:
            log.error("call_not_reached", call_id=call.id, deployment=call.deployment)
            # Seen while a configuration rolls out: nothing was sent, and the next replica may know the place.
            raise UpstreamUnreachable(
                "This replica is not configured for the place where the call lives. Try again.", retry_after=1
            )
        return deployment

    async def _end(self, deployment: Deployment, call_id: str, timings: Timings) -> bool:
        provider = self.providers[deployment.provider]
        if provider.traits.holds_socket:
            # Where another replica holds it, that one closes it when it sees the note of the end.
            self.end_held(call_id)
            return True
        request = provider.hangup_request(deployment, call_id)

        def read(response: UpstreamResponse) -> bool:
            return provider.read_hangup(deployment, response)

        return await send_until_answered(
            self.upstream,
            request,
            read,
            deadline=self.deadline,
            monotonic=self.clocks.monotonic,
            timings=timings,
        )

    async def note_end(
        self, call: CallRecord, because: str, operator: str = "", *, at: float | None = None
    ) -> None:
        """Note that the call is over, since ``at`` in epoch seconds, by default since now.

        Should the store fail, the note follows later.
        """
        ended_at = int(self.clocks.now() if at is None else at)

        async def note() -> None:
            await self.calls.mark_ended(
                call, ended_at=ended_at, ended_by=self.replica, because=because, operator=operator
            )

        # Should the store fail now, the call is over all the same, and the note follows.
        await self.settlement.write("ended", note, call_id=call.id)


def owns(caller: Caller, call: CallRecord) -> bool:
    """Whether the call was made by this handle, or with a handle of this client."""
    if isinstance(caller, Client):
        return call.client == caller.name
    return call.handle == caller.id
