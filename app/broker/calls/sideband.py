"""The sideband of a call: attach to it at its provider, and find out what the end of the socket means.

Any replica may attach, and several may at once: each socket gets all events. Closing one never ends the call.

What is not verified against the real services, all in one place:

- which close code a provider sends when a call is over, or whether it then closes the socket at all. So no
  code is trusted: a socket that ends makes us attach once more, and only a call that the provider then no
  longer knows (404 ``call_id_not_found``) is over;
- that this 404 comes for every call that is over. It comes for one that an ephemeral key created as well, so
  before a call was ever attached to it proves nothing;
- whether sidebands carry audio (``app.providers.events``), and what their first event is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import structlog

from app.broker.calls.hangup import Hangup
from app.broker.upgrades import newer_release
from app.errors import CallNotAttachable, CallNotFound, CloakroomError, UpstreamError
from app.models import Client
from app.outbound.sideband import (
    ABNORMAL,
    FAILED,
    NORMAL,
    RESTART,
    AttachRefused,
    Closed,
    EventSocket,
)
from app.outbound.upstream import NoAnswer, NotConnected, failure_of
from app.providers.base import Provider, UpstreamRequest
from app.store.keys import knows_version
from app.store.records.calls import CallStore
from app.store.records.record import CallRecord
from app.telemetry.timings import Timings

log = structlog.get_logger("cloakroom.sideband")

# Codes that tell of the connection or of the server, not of the call: going away, none, broken, failed,
# restarts, try again, bad gateway, TLS (RFC 6455, section 7.4.1, and IANA's registry).
LOST: Final = frozenset({1001, 1005, ABNORMAL, FAILED, RESTART, 1013, 1014, 1015})
# A hang-up of ours notes the end just after the provider closed the sideband, and knows why.
NOTED_SECONDS: Final = 1.0
_OVER: Final = "This call is over."
# On the record of a call that its provider ended, and of one that has no sideband.
REMOTE: Final = "remote"
NOT_FOUND: Final = "not_found"

# ``over``: the call is; ``lost``: the connection to the provider broke; ``provider``: it closed the socket.
Cause = Literal["over", "lost", "provider"]


class Attacher(Protocol):
    """Opens sockets at providers: ``app.outbound.sideband.SidebandClient``."""

    async def attach(self, request: UpstreamRequest, *, timeout: float, timings: Timings) -> EventSocket:
        """Open one within ``timeout`` seconds.

        Raises:
            NotConnected, NoAnswer, AttachRefused
        """


@dataclass(frozen=True, slots=True)
class Ending:
    """Why the provider's end of a sideband closed, and the code and reason to close the other end with."""

    cause: Cause
    closed: Closed


class _NoSuchCall(Exception):
    """The provider knows no such call by the standard key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidebands:
    """Attaches to calls that any replica relayed. ``deadline`` is for one handshake, in seconds."""

    hangup: Hangup
    providers: Mapping[str, Provider]
    sockets: Attacher
    calls: CallStore
    deadline: float

    async def find(self, call_id: str, client: Client, timings: Timings) -> CallRecord:
        """Return the client's call. ``call_id`` is well-formed (``is_call_id``).

        Raises:
            CallNotFound: there is no such call, or it is not the client's.
            StoreUnavailable: the record could not be read.
        """
        return await self.hangup.find(call_id, client, timings)

    async def attach(
        self, call: CallRecord, timings: Timings, *, left_at: float | None = None
    ) -> EventSocket:
        """Open a sideband; the caller closes it.

        ``left_at``: where the provider closed an earlier one, when it did, in epoch seconds. A call that
        proves to be over ended then.

        Raises:
            CallNotFound: the call is over.
            CallNotAttachable: its provider does not know it by the standard key. That is noted.
            InvalidRequest: its provider has no sidebands.
            Draining: only replicas of a newer release can read its record.
            UpstreamError, UpstreamUnreachable, UpstreamTimeout: the provider refused, or did not answer.
        """
        if not knows_version(call.version):
            raise newer_release("call", call.id, call.version)
        timings.model, timings.deployment = call.model, call.deployment
        if call.ended_at is not None:
            raise CallNotFound(_OVER, param="call_id")
        started = self.hangup.clocks.monotonic()
        try:
            socket = await self._open(call, timings)
        except _NoSuchCall:
            raise await self._not_attachable(call, left_at) from None
        finally:
            timings.provider += self.hangup.clocks.monotonic() - started
        if call.attached_at is None:
            self._note_attached(call)
        return socket

    async def ending(self, call: CallRecord, closed: Closed, *, said_over: bool = False) -> Ending:
        """Find out what the end of an attached socket means; a call that is over is noted as ended.

        ``said_over``: the provider sent the last event of the session before, so it is not asked. That may be
        the work of a hang-up of ours, which has no answer yet and knows why: its note has time to come first.
        """
        if said_over:
            self._note_over_later(call)
            return Ending("over", closed if _final(closed) else Closed(NORMAL, _OVER))
        if await self._is_over(call):
            await self.note_over(call)
            return Ending("over", closed if _final(closed) else Closed(NORMAL, _OVER))
        if _final(closed):
            return Ending("provider", closed)
        said = f": {closed.reason}" if closed.reason else ""
        told = f"Reconnect: the provider's connection ended ({closed.code}{said})."
        return Ending("lost", Closed(RESTART, told))

    async def note_over(self, call: CallRecord, *, at: float | None = None) -> None:
        """Note that the call ended at its provider, ``at`` in epoch seconds, by default now."""
        await self.hangup.note_end(call, REMOTE, at=at)

    def _note_over_later(self, call: CallRecord) -> None:
        at = self.hangup.clocks.now()

        async def note() -> None:
            await asyncio.sleep(NOTED_SECONDS)
            await self.note_over(call, at=at)

        self.hangup.settlement.write_soon("ended", note, call_id=call.id)

    async def _is_over(self, call: CallRecord) -> bool:
        try:
            socket = await self._open(call, Timings())
        except _NoSuchCall:
            return True
        except CloakroomError:
            return False
        await socket.close(NORMAL, "")
        return False

    async def _open(self, call: CallRecord, timings: Timings) -> EventSocket:
        deployment = self.hangup.deployment_of(call)
        provider = self.providers[deployment.provider]
        request = provider.sideband_request(deployment, call.id)
        refusal: UpstreamError | None
        try:
            return await self.sockets.attach(request, timeout=self.deadline, timings=timings)
        except (NotConnected, NoAnswer) as failure:
            raise failure_of(failure) from failure
        except AttachRefused as refused:
            refusal = provider.read_no_sideband(deployment, refused.response)
        raise refusal or _NoSuchCall

    async def _not_attachable(self, call: CallRecord, left_at: float | None) -> CloakroomError:
        if call.attached_at is not None:
            # It was known by the standard key before.
            await self.note_over(call, at=left_at)
            return CallNotFound(_OVER, param="call_id")

        async def note() -> None:
            await self.calls.mark_no_sideband(call.id, because=NOT_FOUND)

        await self.hangup.settlement.write("no_sideband", note, call_id=call.id)
        log.warning("sideband_not_found", call_id=call.id, deployment=call.deployment)
        if self.hangup.deployment_of(call).call_key == "standard":
            return CallNotAttachable(
                "The provider does not know this call by the standard key: it is over, or an ephemeral key "
                "created it, as for translations.",
                param="call_id",
            )
        return CallNotAttachable(
            "The provider does not know this call by the standard key: it is over, or an ephemeral key "
            "created it, and it has no sideband. The operator can set "
            f"deployments.{call.deployment}.call_key: standard for further calls.",
            param="call_id",
        )

    def _note_attached(self, call: CallRecord) -> None:
        at = int(self.hangup.clocks.now())

        async def note() -> None:
            await self.calls.mark_attached(call.id, at=at)

        self.hangup.settlement.write_soon("attached", note, call_id=call.id)


def _final(closed: Closed) -> bool:
    """Whether the provider closed the socket on purpose, so that its code and reason are passed on."""
    return closed.sendable and closed.code not in LOST
