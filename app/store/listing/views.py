"""What an operator sees of handles and calls: everything that the store keeps except the sealed key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from app.reports import ReportChoice, fits
from app.store.keys import RECORD_VERSION, knows_version
from app.store.records.record import CallRecord

# ``unknown``: a newer release wrote the record, and this one cannot tell.
HandleState = Literal["live", "spent", "revoked", "unknown"]
CallState = Literal["open", "ended", "unknown"]


@dataclass(frozen=True, slots=True)
class RelayNote:
    """What came of one relay. ``at`` is epoch seconds; ``outcome`` is ``answered`` or an error's code.

    ``call_id`` is empty where there is no call, or where the provider named none.
    """

    at: int
    outcome: str
    call_id: str = ""


@dataclass(frozen=True, slots=True)
class HandleView:
    """A handle that is still on record. Times are epoch seconds on the clock of the replica that wrote them.

    ``calls_revoked_by``: who revoked it together with its calls.
    ``life`` is the seconds left on the store's clock. ``region`` is empty where none is known.
    ``max_call_seconds`` is how long each of its calls may last, 0 for no limit.
    ``bind_origin`` and ``bind_fingerprint`` are what it is bound to, empty for nothing; ``used_origin`` and
    ``used_fingerprint`` are of its first use, empty before that. The fingerprints are in the form of
    ``app.handles.bindings``.
    ``max_calls`` 0: as often as the provider allows until expiry. ``relays_count`` counts all outcomes,
    ``relays`` has the last twenty of them, oldest first. ``refusals`` counts claims that were refused,
    ``last_refusal`` is the last one of them. ``suspicions`` counts its security events, ``suspicion`` is the
    kind of the last one (``app.broker.security.events``), and ``suspected_at`` its time.

    Of a record whose ``version`` this release does not know, only the fields that every version has are read:
    the others have their defaults, and a time that is missing is 0.
    """

    id: str
    model: str
    deployment: str
    provider: str
    family: str
    client: str
    subject: str
    origin: str
    minted_at: int
    expires_at: int
    minted_by: str
    life: float
    region: str = ""
    max_calls: int = 0
    max_call_seconds: int = 0
    bind_origin: str = ""
    bind_fingerprint: str = ""
    used_origin: str = ""
    used_fingerprint: str = ""
    calls: int = 0
    last_call_at: int | None = None
    last_call_by: str = ""
    revoked_at: int | None = None
    revoked_by: str = ""
    calls_revoked_by: str = ""
    refusals: int = 0
    last_refusal: RelayNote | None = None
    suspicions: int = 0
    suspected_at: int | None = None
    suspicion: str = ""
    relays_count: int = 0
    relays: tuple[RelayNote, ...] = ()
    version: int = RECORD_VERSION

    @property
    def known_version(self) -> bool:
        """False for a record that a newer release wrote."""
        return knows_version(self.version)

    @property
    def state(self) -> HandleState:
        """Revoked comes before spent: a revocation is final, but a spent handle may get its use back."""
        if not self.known_version:
            return "unknown"
        if self.revoked_at is not None:
            return "revoked"
        return "spent" if self.max_calls and self.calls >= self.max_calls else "live"

    @property
    def uses_left(self) -> int | None:
        """None: no limit of ours, or none that this release can read."""
        return max(self.max_calls - self.calls, 0) if self.max_calls else None


@dataclass(frozen=True, slots=True)
class HandleFilter:
    """Which handles are meant; None matches all. ``suspected``: with a security event, or without one."""

    client: str | None = None
    subject: str | None = None
    model: str | None = None
    deployment: str | None = None
    state: HandleState | None = None
    suspected: bool | None = None

    def matches(self, view: HandleView) -> bool:
        return self.suspected in (None, view.suspicions > 0) and _fits(self, view, view.state)


@dataclass(frozen=True, slots=True)
class CallFilter:
    """Which calls are meant; None matches all. ``open``: not hung up through us. ``handle`` is an id.

    ``report`` is the outcome that their pages reported, or ``failed`` for any failure.
    """

    client: str | None = None
    subject: str | None = None
    model: str | None = None
    deployment: str | None = None
    state: CallState | None = None
    report: ReportChoice | None = None
    handle: str | None = None

    def matches(self, call: CallRecord) -> bool:
        mine = self.handle in (None, call.handle) and fits(self.report, call.report)
        return mine and _fits(self, call, call_state(call))


def call_state(call: CallRecord) -> CallState:
    """What is known of a call; ``open`` means only that it was not hung up through us."""
    if not knows_version(call.version):
        return "unknown"
    return "open" if call.ended_at is None else "ended"


def _fits(wanted: HandleFilter | CallFilter, found: HandleView | CallRecord, state: str) -> bool:
    return wanted.state in (None, state) and all(
        getattr(wanted, name) in (None, getattr(found, name))
        for name in ("client", "subject", "model", "deployment")
    )


Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """One page of a listing. ``next_cursor`` is None at the end.

    A page may be short, or empty, without being the last: what limits a page is the number of records that it
    reads, ``examined``, not the number that match.
    """

    items: tuple[Item, ...]
    next_cursor: str | None
    examined: int


@dataclass(frozen=True, slots=True)
class Stopped:
    """What one step did to calls that are to end.

    ``ids`` are the open calls that it found. ``noted`` of them are noted now, the others were before. The
    replicas hang up what is noted. ``newer`` are those that a newer release wrote: they are not touched.
    """

    ids: tuple[str, ...] = ()
    noted: int = 0
    newer: int = 0
    examined: int = 0
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Revoked:
    """What one page of a revocation did: revoked now, revoked before, records read, and the next page.

    ``newer`` are those that a newer release wrote and that this one does not touch. ``calls`` is what was
    done to the calls, None where they go on.
    """

    revoked: int
    already: int
    examined: int
    next_cursor: str | None
    newer: int = 0
    calls: Stopped | None = None


@dataclass(frozen=True, slots=True)
class Alive:
    """How many handles have not expired, to the minute, and how many calls may still be open.

    ``calls`` are those relayed within an hour, the longest that a provider lets one last, and not hung up
    through us. A call that ended by itself counts until its hour is over.
    """

    handles: int
    calls: int
