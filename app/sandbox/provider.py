"""The provider's whole state: its journal, its keys and calls, and how handlers reach it."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from dataclasses import dataclass

from aiohttp import web

from .calls import CallBook
from .config import SandboxConfig
from .faults import Fault, FaultBook
from .federation import AccessTokens
from .keys import KeyRing, ProviderClock
from .peer.static import StaticPeer

# --- What was asked of the provider: a bounded ring of requests, and counts that are never dropped ---


@dataclass(slots=True)
class Entry:
    """One request. `time` is the provider's epoch seconds; `status` is None while it is unanswered.

    Header values are kept whole, keys included: this is how a test proves which credential arrived.
    """

    method: str
    path: str
    query: str
    operation: str
    headers: list[tuple[str, str]]
    body_size: int
    body_sha256: str
    time: float
    fault: str | None = None
    status: int | None = None

    def report(self) -> dict[str, object]:
        """The entry as the control API shows it."""
        return {name: getattr(self, name) for name in self.__slots__}


class Journal:
    """Remembers the last `size` requests."""

    def __init__(self, size: int) -> None:
        self._ring: deque[Entry] = deque(maxlen=size)
        self._counts: Counter[str] = Counter()

    def begin(self, request: web.Request, operation: str, body: bytes, now: float) -> Entry:
        """Note that a request arrived, before anything is done about it."""
        entry = Entry(
            method=request.method,
            path=request.path,
            query=request.query_string,
            operation=operation,
            headers=list(request.headers.items()),
            body_size=len(body),
            body_sha256=hashlib.sha256(body).hexdigest(),
            time=now,
        )
        self._ring.append(entry)
        self._counts[request.path] += 1
        return entry

    def reports(self) -> list[dict[str, object]]:
        """The remembered requests, oldest first."""
        return [entry.report() for entry in self._ring]

    def counts(self) -> dict[str, int]:
        """How many requests each path has had since the last clearing."""
        return dict(self._counts)

    def clear(self) -> None:
        """Forget requests and counts."""
        self._ring.clear()
        self._counts.clear()


# --- all of it ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Provider:
    """Everything that one sandbox knows."""

    config: SandboxConfig
    clock: ProviderClock
    keys: KeyRing
    tokens: AccessTokens
    calls: CallBook
    journal: Journal
    faults: FaultBook


PROVIDER = web.AppKey("provider", Provider)
FAULT = web.RequestKey("fault", Fault)


def make_provider(config: SandboxConfig) -> Provider:
    """A provider that has minted nothing yet."""
    clock = ProviderClock(config.now, config.clock_skew)
    if config.peer == "static":
        calls = CallBook(clock, lambda terms, _ended: StaticPeer(terms), cap=None)
    else:
        # aiortc comes with the extra `sandbox`; static mode must not need it.
        from .peer.rtc import PeerLimits, RtcPeer

        limits = PeerLimits(config.ice_seconds, config.call_seconds)

        calls = CallBook(
            clock,
            lambda terms, ended: RtcPeer(
                terms, ended, now=clock.time(), limits=limits, greeting=config.greeting
            ),
            cap=config.peer_cap,
        )
    return Provider(
        config=config,
        clock=clock,
        keys=KeyRing(clock),
        tokens=AccessTokens(clock),
        calls=calls,
        journal=Journal(config.journal_size),
        faults=FaultBook(),
    )
