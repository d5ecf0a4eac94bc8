"""The provider's whole state, and how handlers reach it."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from .calls import CallBook
from .clock import ProviderClock
from .config import SandboxConfig
from .faults import Fault, FaultBook
from .journal import Journal
from .keys import KeyRing
from .static_peer import StaticPeer


@dataclass(frozen=True, slots=True)
class Provider:
    """Everything that one sandbox knows."""

    config: SandboxConfig
    clock: ProviderClock
    keys: KeyRing
    calls: CallBook
    journal: Journal
    faults: FaultBook


PROVIDER = web.AppKey("provider", Provider)
FAULT = web.RequestKey("fault", Fault)


def make_provider(config: SandboxConfig) -> Provider:
    """A provider that has minted nothing yet."""
    clock = ProviderClock(config.now, config.clock_skew)
    if config.peer == "static":
        calls = CallBook(clock, lambda _terms, _ended: StaticPeer(), cap=None)
    else:
        # aiortc comes with the extra `sandbox`; static mode must not need it.
        from .rtc_peer import PeerLimits, RtcPeer

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
        calls=calls,
        journal=Journal(config.journal_size),
        faults=FaultBook(),
    )
