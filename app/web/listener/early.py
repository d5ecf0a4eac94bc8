"""Which requests are refused before they are parsed, and with which answer.

Two reasons: their address sent too many bad credentials and this is one more, or there is no time for them. A
refusal is made from the bytes of the head, because a parsed request costs several times as much.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import Final, Protocol

from app.models import Client
from app.settings import Settings
from app.telemetry.metrics import Metrics
from app.telemetry.parts.protection import ProtectionMetrics
from app.web.answers import AnswerHeaders, overloaded
from app.web.listener.admission import Admission
from app.web.listener.credentials import RefusedCredentials
from app.web.listener.refusal import Head, Refusal
from app.web.listener.shares import Load, Shares

# What a credential is needed for. All other paths are open, or take it in the body.
_WITH_CREDENTIAL: Final = re.compile(rb"POST (?:/openai)?(?:/v1)?/(?:realtime|live)[/? ]")
_MINT: Final = re.compile(
    rb"POST (?:/openai)?(?:/v1)?/realtime/"
    rb"(?:client_secrets|sessions|transcription_sessions|translations/client_secrets)[? ]"
)


_CREDENTIAL: Final = (b"\r\nAuthorization:", b"\r\nauthorization:")
FORGOTTEN_AFTER_SECONDS: Final = 0.5
MOST_REMEMBERED: Final = 256


class Callers(Protocol):
    """Who sends a request, told by its head alone."""

    def address(self, peer: str, head: Head) -> str | None:
        """What its address is counted under; None where the head is unusual."""

    def is_worthless(self, head: Head) -> bool:
        """Whether its credential is certainly of no value; False where that is not certain."""

    def client(self, head: Head) -> Client | None:
        """The client whose key or token it carries."""


class Greedy:
    """The credentials of mints that were not spared a moment ago: a flood of them costs one look at each."""

    def __init__(self) -> None:
        self._lines: set[bytes] = set()
        self._until = 0.0

    def has(self, line: bytes, now: float) -> bool:
        """Whether this line was added less than ``FORGOTTEN_AFTER_SECONDS`` before ``now``."""
        if now >= self._until:
            self._lines.clear()
            self._until = now + FORGOTTEN_AFTER_SECONDS
        return line in self._lines

    def add(self, line: bytes) -> None:
        """Remember it, if there is room and it is not empty."""
        if line and len(self._lines) < MOST_REMEMBERED:
            self._lines.add(line)


@dataclass(frozen=True, slots=True)
class EarlyRefusals:
    """Decides about one request after the other.

    ``overloaded`` and ``limited`` write the answers.
    """

    admission: Admission
    credentials: RefusedCredentials
    shares: Shares
    callers: Callers
    overloaded: Refusal
    limited: Refusal
    metrics: ProtectionMetrics
    greedy: Greedy = field(default_factory=Greedy, repr=False)

    def of(self, data: bytes, peer: str, loop: asyncio.AbstractEventLoop) -> Refusal | None:
        """The refusal of the request that ``data`` begins with, whose head is whole; None to serve it.

        Ask once for each request. ``peer`` is the address of the connection's other end.
        """
        if self.credentials.over and self._is_limited(data, peer):
            return self.limited
        if self.admission.admits(loop) or self._is_spared(data, loop.time()):
            return None
        return self.overloaded

    def _is_limited(self, data: bytes, peer: str) -> bool:
        if not _WITH_CREDENTIAL.match(data):
            return False
        head = Head(data)
        address = self.callers.address(peer, head)
        return address is not None and self.credentials.limits(address) and self.callers.is_worthless(head)

    def _is_spared(self, data: bytes, now: float) -> bool:
        if not _MINT.match(data):
            return False
        credential = _raw_credential(data)
        if self.greedy.has(credential, now):
            return False
        client = self.callers.client(Head(data))
        if client is not None and self.shares.spares(client.name):
            return True
        self.greedy.add(credential)
        return False


def _raw_credential(data: bytes) -> bytes:
    """The line with the credential, as it came; empty where it is spelled unusually."""
    for name in _CREDENTIAL:
        at = data.find(name)
        if at >= 0:
            return data[at : data.find(b"\r\n", at + 2)]
    return b""


def early_refusals(
    settings: Settings, load: Load, headers: AnswerHeaders, metrics: Metrics, callers: Callers
) -> EarlyRefusals:
    """Put the parts together for one service. The gate asks the same parts about what was parsed."""
    protection = ProtectionMetrics(metrics)
    credentials = RefusedCredentials(settings.refused_credentials_per_minute, protection)
    too_many, no_time = credentials.error(), overloaded()
    count_too_many = metrics.refused_at_once(too_many)

    def limited() -> None:
        count_too_many()
        credentials.limited_at_once()

    return EarlyRefusals(
        admission=Admission(sheds=settings.shed_overload),
        credentials=credentials,
        shares=Shares(load, settings.max_in_flight, protection),
        callers=callers,
        overloaded=Refusal(no_time, headers, metrics.refused_at_once(no_time)),
        limited=Refusal(too_many, headers, limited),
        metrics=protection,
    )
