"""Sends what is in the webhook's queue, whichever replica put it there.

Each replica takes a few messages, holds them while it sends them, and removes those that the receiver took.
So a message whose replica died is sent by another one, perhaps twice. While the receiver is away, each
replica tries one message at a time, less and less often.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass, field
from typing import Final

import structlog

from app.broker.security.messages import Message, Messages
from app.errors import StoreUnavailable
from app.handles.sealing import UnsealError
from app.models import Clocks
from app.outbound.webhook import SEND_SECONDS, SENDING_AT_ONCE, Webhook, WebhookFault
from app.store.records.notices import KEPT_SECONDS, Notices
from app.telemetry.parts.security import SecurityMetrics

log = structlog.get_logger("cloakroom.security")

LOOK_SECONDS: Final = 1.0
HOLD_SECONDS: Final = 3 * SEND_SECONDS
# Between two looks of one replica while the receiver takes nothing.
_LONGEST_PAUSE_SECONDS: Final = 60.0
_MOST_DOUBLINGS: Final = 6
# Until the same message is tried again: half of its age, within these.
_FIRST_RETRY_SECONDS: Final = 1.0
_LAST_RETRY_SECONDS: Final = 600.0


@dataclass(slots=True, kw_only=True)
class Deliveries:
    """Sends messages in the background."""

    notices: Notices
    messages: Messages
    webhook: Webhook
    metrics: SecurityMetrics
    clocks: Clocks
    # Tries since the receiver last took a message.
    _failures: int = 0
    _ending: asyncio.Event = field(default_factory=asyncio.Event)
    _task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look for messages."""
        self._task = asyncio.create_task(self._watch(), name="security-webhook")

    async def close(self, *, grace: float) -> None:
        """Send what is due for ``grace`` seconds at most, and stop. Other replicas take what is left."""
        self._ending.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=grace)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.webhook.close()

    async def _watch(self) -> None:
        while True:
            # Once more after the end has begun, for what was put into the queue until then.
            ending, sent = self._ending.is_set(), 0
            try:
                sent = await self._look()
            except StoreUnavailable:
                pass
            except Exception:
                log.exception("security_webhook_defect")
            if ending and sent < SENDING_AT_ONCE:
                return
            await self._pause()

    async def _pause(self) -> None:
        """Wait, however much there is to send: that bounds the rate."""
        least = LOOK_SECONDS * random.uniform(0.75, 1.25)  # noqa: S311 - spreads load, no secret
        if self._ending.is_set():
            await asyncio.sleep(least)
            return
        with contextlib.suppress(TimeoutError):
            pause = least * 2.0 ** min(self._failures, _MOST_DOUBLINGS)
            async with asyncio.timeout(min(pause, _LONGEST_PAUSE_SECONDS)):
                await self._ending.wait()

    async def _look(self) -> int:
        """Take what is due, send it, and return how many messages the receiver took."""
        at_most = 1 if self._failures else SENDING_AT_ONCE
        taken = await self.notices.take(hold=HOLD_SECONDS, at_most=at_most)
        return sum(await asyncio.gather(*(self._work(text) for text in taken)))

    async def _work(self, text: str) -> bool:
        try:
            return await self._deliver(text)
        except StoreUnavailable:
            # The hold runs out, and it is sent once more.
            return False

    async def _deliver(self, text: str) -> bool:
        try:
            message = self.messages.read(text)
        except UnsealError:
            await self._drop(text, "unreadable")
            return False
        age = self.clocks.now() - message.at
        if age > KEPT_SECONDS:
            await self._drop(text, "expired", id=message.id)
            return False
        try:
            await self.webhook.send(message.id, message.body)
        except WebhookFault as fault:
            await self._failed(text, message, fault, age)
            return False
        self.metrics.delivered("delivered")
        if self._failures:
            log.info("security_webhook_recovered", receiver=self.webhook.shown, failures=self._failures)
        self._failures = 0
        await self.notices.remove(text)
        return True

    async def _failed(self, text: str, message: Message, fault: WebhookFault, age: float) -> None:
        self._failures += 1
        self.metrics.delivered("refused" if fault.refused else "unreachable")
        spread = random.uniform(0.75, 1.25)  # noqa: S311 - spreads load, no secret
        pause = min(max(age / 2, _FIRST_RETRY_SECONDS), _LAST_RETRY_SECONDS) * spread
        pause = max(pause, fault.retry_after)
        log.warning("security_webhook_failed", reason=str(fault), id=message.id, again_in=round(pause, 1))
        await self.notices.postpone(text, seconds=pause)

    async def _drop(self, text: str, reason: str, **about: str) -> None:
        await self.notices.remove(text)
        self.metrics.dropped(reason)
        log.error("security_events_dropped", reason=reason, number=1, **about)
