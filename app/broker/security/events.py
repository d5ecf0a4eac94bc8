"""What a security event is, and where it is reported: it is counted and logged, and the rest follows later.

Reporting never waits. A task of the background writes to the store, which may be slow or away: a note on the
handle's record, and a message for the webhook. Both are bounded, and what has no room is counted.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from app.broker.security.delivery import Deliveries
from app.broker.security.messages import Messages
from app.errors import StoreUnavailable
from app.models import Clocks, Secret
from app.store.records.notices import Notices
from app.store.records.suspicions import Suspicion, Suspicions
from app.telemetry.parts.security import SecurityMetrics
from app.telemetry.redaction import one_safe_line

log = structlog.get_logger("cloakroom.security")

# ``wrong_certificate``, ``wrong_origin``: a bound handle came with another one. ``spent_elsewhere``,
# ``revoked_elsewhere``: a handle that is of no more use came from elsewhere than at its first use.
# ``record_refused``: a record in the store is not as it was written.
KINDS: Final = ("wrong_certificate", "wrong_origin", "spent_elsewhere", "revoked_elsewhere", "record_refused")
# The keys of ``expected`` and ``seen``. ``record`` is for ``record_refused``, and says what is wrong with it.
FACTS: Final = ("origin", "fingerprint", "address", "user_agent", "record")

# The same event of the same handle is logged and told once in so many seconds.
FOLD_SECONDS: Final = 60.0
# Events of one process that are logged and told in a second.
MOST_A_SECOND: Final = 100
# Those that wait for the store, or are remembered to fold the next one.
MOST_WAITING: Final = 1000
_AT_ONCE: Final = 100
# After each write, so that a flood of events costs the store little.
_PAUSE_SECONDS: Final = 0.2
_RETRY_SECONDS: Final = 1.0
_LONGEST_FACT: Final = 200
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")


@dataclass(frozen=True, slots=True)
class SecurityEvent:
    """Something that an honest caller does not do.

    ``kind`` is one of ``KINDS``. ``handle`` is the handle's id. ``expected`` and ``seen`` hold both sides'
    facts by ``FACTS``; one that is not known is left out. ``seen`` is what the caller sent, as it came.
    """

    kind: str
    handle: str
    client: str | None
    subject: str | None
    model: str | None
    expected: Mapping[str, str]
    seen: Mapping[str, str]


def record_refused(handle_id: str, whose: tuple[str, ...], what: str) -> SecurityEvent:
    """The event of a record that is not as it was written.

    Args:
        whose: client, subject and model as the record has them; empty where they are not known.
        what: says what is wrong, in a word.
    """
    client, subject, model = whose or (None, None, None)
    return SecurityEvent(
        "record_refused", handle_id, client or None, subject or None, model or None, {}, {"record": what}
    )


class SecurityLog:
    """Takes security events. Make it inside the running loop.

    Args:
        metrics: counts events.
        suspicions: notes them on the records of their handles.
        clocks: for the times of events.
        messages: writes the webhook's messages; None without a webhook, as with the two that follow.
        notices: the webhook's queue.
        deliveries: sends what is in the queue.
    """

    def __init__(
        self,
        *,
        metrics: SecurityMetrics,
        suspicions: Suspicions,
        clocks: Clocks,
        messages: Messages | None = None,
        notices: Notices | None = None,
        deliveries: Deliveries | None = None,
    ) -> None:
        self._metrics = metrics
        self._suspicions = suspicions
        self._clocks = clocks
        self._messages = messages
        self._notices = notices
        self._deliveries = deliveries
        self._told: dict[tuple[object, ...], float] = {}
        # By handle and kind: when the last one was, and how many are not on the record yet.
        self._to_note: dict[tuple[str, str], tuple[int, int]] = {}
        self._to_send: deque[str] = deque()
        self._overrun = 0
        self._second, self._told_in_second = 0, 0
        self._wake = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None

    def sign_with(self, secrets: Sequence[Secret]) -> None:
        """Sign the webhook's messages with these from now on, where there is a webhook."""
        if self._deliveries is not None:
            self._deliveries.webhook.use(secrets)

    def start(self) -> None:
        """Begin to write and to send in the background."""
        self._writer = asyncio.create_task(self._write(), name="security-events")
        if self._deliveries is not None:
            self._deliveries.start()

    def report(self, event: SecurityEvent) -> None:
        """Count and log the event, and leave the rest to the background. Never waits and never raises."""
        self._metrics.reported(event.kind)
        self._note(event.handle, event.kind)
        if self._is_told(event):
            return
        facts = {
            "kind": event.kind,
            # An id is never masked by chance. A record that was changed may hold any text.
            "handle": event.handle if _ID.match(event.handle) else _safe(event.handle),
            "client": _safe(event.client),
            "subject": _safe(event.subject),
            "model": _safe(event.model),
            "expected": _safe_facts(event.expected),
            "seen": _safe_facts(event.seen),
        }
        log.warning("security_event", **facts)
        if self._messages is not None:
            self._to_send.append(self._messages.written(facts, at=self._clocks.now()))
        self._wake.set()

    async def close(self, *, grace: float) -> None:
        """Write what waits, and send what is due; give both ``grace`` seconds together.

        What is in the store by then is sent by another replica, or after the next start.
        """
        started = self._clocks.monotonic()
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        try:
            async with asyncio.timeout(grace):
                while await self._written():
                    pass
        except (StoreUnavailable, TimeoutError):
            self._lost("shutdown", len(self._to_send) if self._to_send else len(self._to_note))
        if self._deliveries is not None:
            left = grace - (self._clocks.monotonic() - started)
            await self._deliveries.close(grace=max(left, 0.0))

    def _note(self, handle: str, kind: str) -> None:
        if (handle, kind) not in self._to_note and len(self._to_note) >= MOST_WAITING:
            return
        _, times = self._to_note.get((handle, kind), (0, 0))
        self._to_note[handle, kind] = int(self._clocks.now()), times + 1
        self._wake.set()

    def _is_told(self, event: SecurityEvent) -> bool:
        """Whether the same was told a moment ago, or cannot be told, since too much waits."""
        key = (event.kind, event.handle, *(event.seen.get(name) for name in FACTS))
        now = self._clocks.monotonic()
        if now - self._told.get(key, -FOLD_SECONDS) < FOLD_SECONDS:
            return True
        if self._is_too_much(int(now)):
            self._overrun += 1
            return True
        self._told.pop(key, None)
        if len(self._told) >= MOST_WAITING:
            # The first one is the oldest.
            self._told.pop(next(iter(self._told)))
        self._told[key] = now
        return False

    def _is_too_much(self, second: int) -> bool:
        if second != self._second:
            self._second, self._told_in_second = second, 0
        if self._told_in_second >= MOST_A_SECOND or len(self._to_send) >= MOST_WAITING:
            return True
        self._told_in_second += 1
        return False

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            pause = _PAUSE_SECONDS
            try:
                if await self._written():
                    self._wake.set()
            except StoreUnavailable:
                pause = _RETRY_SECONDS
                self._wake.set()
            except Exception:
                log.exception("security_events_not_written")
            await asyncio.sleep(pause)

    async def _written(self) -> bool:
        """Write a part of what waits, and return whether there was any.

        Raises:
            StoreUnavailable: it still waits.
        """
        overrun, self._overrun = self._overrun, 0
        self._lost("overrun", overrun)
        messages = [self._to_send[at] for at in range(min(len(self._to_send), _AT_ONCE))]
        if messages and self._notices is not None:
            # First what a webhook was promised. A repeat after a lost reply adds nothing.
            self._lost("queue_full", await self._notices.put(messages))
            for _ in messages:
                self._to_send.popleft()
        noted = dict(list(self._to_note.items())[:_AT_ONCE])
        if noted:
            await self._suspicions.note(
                [Suspicion(handle, kind, at, times) for (handle, kind), (at, times) in noted.items()]
            )
            for key, (_, times) in noted.items():
                at, all_times = self._to_note.pop(key)
                if all_times > times:
                    self._to_note[key] = at, all_times - times
        return bool(messages or noted)

    def _lost(self, reason: str, number: int) -> None:
        if number:
            self._metrics.dropped(reason, number)
            log.error("security_events_dropped", reason=reason, number=number)


def _safe_facts(facts: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name in FACTS if (text := _safe(facts.get(name)))}


def _safe(text: str | None) -> str | None:
    return one_safe_line(text, limit=_LONGEST_FACT) if text else None
