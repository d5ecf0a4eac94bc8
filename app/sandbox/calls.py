"""The calls that this provider has open, and the memory of those that ended."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from .keys import ProviderClock
from .refusals import Flavour, Refusal, call_id_not_found, too_many_calls

# Close codes of RFC 6455, section 7.4.1.
NORMAL = 1000
GOING_AWAY = 1001

# Bounds what a long load test can make the sandbox remember.
REMEMBERED_CALLS = 10_000


@dataclass(frozen=True, slots=True)
class CallTerms:
    """On what terms a call is opened: whose key, which session, and whether Azure's event filter is on.

    `standard`: the standard key created it, not an ephemeral one. `channel` is its data channel's label.
    `gpt_live`: it is a session of GPT-Live.
    `fault` is what goes wrong after the answer, one of `faults.MEDIA`; empty where nothing does.
    """

    provider: Flavour
    key_digest: str
    model: str
    session: Mapping[str, Any]
    filtered: bool = False
    fault: str = ""
    standard: bool = False
    channel: str = "oai-events"
    gpt_live: bool = False


class Peer(Protocol):
    """The provider's end of one call."""

    @property
    def state(self) -> str:
        """The connection's state, in the words of `RTCPeerConnection.connectionState`."""

    async def answer(self, offer: str) -> str:
        """The SDP answer. Raises Refusal (400 `invalid_offer`) when the offer cannot be answered."""

    def attach(self, sink: Callable[[str], None]) -> None:
        """Give the text of each server event to this sideband too."""

    def detach(self, sink: Callable[[str], None]) -> None:
        """Give it no more."""

    def received(self, message: str, sink: Callable[[str], None]) -> None:
        """Act on a client event of this sideband."""

    def ending(self, reason: str) -> None:
        """The call is over: tell the sidebands what a session tells of its end."""

    async def close(self) -> None:
        """End the connection; a second call does nothing."""


class Sideband(Protocol):
    """One attached WebSocket."""

    def send(self, text: str) -> None:
        """Send one event soon."""

    def end(self, code: int, reason: str) -> None:
        """Close it soon, after what was sent before."""


# Given the terms and what to call, with a reason, when the connection ends by itself.
PeerFactory = Callable[[CallTerms, Callable[[str], None]], Peer]


@dataclass(slots=True)
class Call:
    """One call. Times are the provider's epoch seconds; `ended_at` is None while it lives."""

    call_id: str
    terms: CallTerms
    created_at: float
    peer: Peer
    ended_at: float | None = None
    end_reason: str | None = None
    sidebands: list[Sideband] = field(default_factory=list)

    def report(self) -> dict[str, object]:
        """What the control API tells of it."""
        return {
            "call_id": self.call_id,
            "provider": self.terms.provider,
            "key_sha256": self.terms.key_digest[:16],
            "model": self.terms.model,
            "filtered": self.terms.filtered,
            "created_at": self.created_at,
            "connection_state": self.peer.state,
            "sidebands": len(self.sidebands),
            "ended_at": self.ended_at,
            "end_reason": self.end_reason,
        }


@dataclass(slots=True)
class CallBook:
    """Opens, finds and ends calls. `cap` is how many may live at once; None is no limit."""

    clock: ProviderClock
    make_peer: PeerFactory
    cap: int | None
    _calls: dict[str, Call] = field(default_factory=dict)
    _live: int = 0
    _opened: int = 0
    _closing: set[asyncio.Task[None]] = field(default_factory=set)

    async def open(self, terms: CallTerms, offer: str) -> tuple[Call, str]:
        """Answer the offer and register its call.

        Raises Refusal: 429 at the cap, 400 `invalid_offer` when no peer can be made of the offer.
        """
        if self.cap is not None and self._live >= self.cap:
            raise too_many_calls(self.cap)
        # Counted before the first await, or a burst of offers would all pass the check above.
        self._live += 1
        call_id = f"{'live' if terms.gpt_live else 'rtc'}_{secrets.token_hex(16)}"
        if terms.gpt_live:
            # Its events name it.
            terms = replace(terms, session={"id": call_id, **terms.session})
        peer = self.make_peer(terms, lambda reason: self._ended(call_id, reason))
        call = Call(call_id, terms, self.clock.time(), peer)
        self._calls[call_id] = call
        try:
            answer = await peer.answer(offer)
        except Refusal:
            await self._end(call, "refused")
            del self._calls[call_id]
            raise
        except BaseException:
            await self._end(call, "failed")
            raise
        self._opened += 1
        self._forget_old()
        return call, answer

    def live(self, call_id: str) -> Call:
        """The call. Raises Refusal (404 `call_id_not_found`) when none of this id lives."""
        call = self._calls.get(call_id)
        if call is None or call.ended_at is not None:
            raise call_id_not_found(call_id)
        return call

    async def hang_up(self, call_id: str) -> None:
        """End the call. Raises Refusal (404 `call_id_not_found`) when none of this id lives."""
        await self._end(self.live(call_id), "hangup")

    async def leave(self, call_id: str) -> None:
        """End the call, if it lives: the socket that made it was closed, which is how it is hung up."""
        call = self._calls.get(call_id)
        if call is not None:
            await self._end(call, "hangup")

    def tell(self, event: str, call_ids: Collection[str] | None) -> int:
        """Send an event to every sideband of these calls, None for all. Returns how many got it."""
        told = [
            sideband
            for call in self._calls.values()
            if call.ended_at is None and (call_ids is None or call.call_id in call_ids)
            for sideband in call.sidebands
        ]
        for sideband in told:
            sideband.send(event)
        return len(told)

    def leave_sidebands(self) -> None:
        """Close every sideband as a server that goes away does; the calls live on."""
        for call in self._calls.values():
            for sideband in call.sidebands:
                sideband.end(GOING_AWAY, "the server restarts")

    async def close(self) -> None:
        """End every call, at the provider's shutdown."""
        live = [call for call in self._calls.values() if call.ended_at is None]
        await asyncio.gather(*(self._end(call, "shutdown") for call in live))
        await asyncio.gather(*self._closing)

    def counts(self) -> dict[str, int]:
        """How many calls were opened, live, and ended so far."""
        return {"opened": self._opened, "live": self._live, "ended": self._opened - self._live}

    def reports(self) -> list[dict[str, object]]:
        """Every remembered call, oldest first."""
        return [call.report() for call in self._calls.values()]

    async def _end(self, call: Call, reason: str) -> None:
        if call.ended_at is not None:
            return
        call.ended_at = self.clock.time()
        call.end_reason = reason
        self._live -= 1
        call.peer.ending(reason)
        # After the call is on record as ended: who attaches again now finds no call.
        for sideband in call.sidebands:
            sideband.end(NORMAL, f"the call is over: {reason}")
        await call.peer.close()

    def _ended(self, call_id: str, reason: str) -> None:
        # Called from the connection's own event, which cannot wait for the connection's end.
        call = self._calls.get(call_id)
        if call is not None and call.ended_at is None:
            task = asyncio.get_running_loop().create_task(self._end(call, reason))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _forget_old(self) -> None:
        while len(self._calls) > REMEMBERED_CALLS:
            oldest = next(iter(self._calls.values()))
            # A peer that is alive is never forgotten: it must still be possible to hang it up.
            if oldest.ended_at is None and self.cap is not None:
                return
            self._live -= oldest.ended_at is None
            del self._calls[oldest.call_id]
