"""Checks the webhook of security events: whether it can be reached, and whether it takes a signed message."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final

from app.broker.security.messages import TEST_TYPE, body_of, new_message_id
from app.doctor.finding import FIX_REACH_FIRST, Finding
from app.models import Clocks
from app.outbound.egress import Egress
from app.outbound.reach import Unreachable, reach
from app.outbound.webhook import WebhookFault, shown_webhook_url
from app.settings import Settings
from app.wiring import build_webhook, reveal

_FINDING: Final = partial(Finding, "webhook")
_URL: Final = "CLOAKROOM_SECURITY_WEBHOOK_URL"
_SECRET: Final = "CLOAKROOM_SECURITY_WEBHOOK_SECRET"  # noqa: S105 - the name of a setting


async def examine_webhook(
    settings: Settings, *, egress: Egress, seconds: float, send: bool, clock: Callable[[], float]
) -> list[Finding]:
    """The rows ``reach`` and ``message``.

    Args:
        seconds: for each stage of connecting.
        send: whether to send a test message.
    """
    url = reveal(settings.security_webhook_url)
    shown = shown_webhook_url(url)
    try:
        found = await reach(url, seconds=seconds, egress=egress)
    except Unreachable as failure:
        fix = f"check the host in {_URL}, and that this host may connect there"
        return [
            _FINDING("reach", "fail", f"{shown}: {failure}", fix),
            _FINDING("message", "skipped", "not sent", FIX_REACH_FIRST),
        ]
    way = f"through the proxy {found.proxy}" if found.proxy is not None else f"at {found.address}"
    rows = [_FINDING("reach", "ok", f"{shown} {way}")]
    if not send:
        return [*rows, _FINDING("message", "skipped", "not asked for", "add --webhook: one test message")]
    return [*rows, await _message(settings, egress, clock)]


async def _message(settings: Settings, egress: Egress, clock: Callable[[], float]) -> Finding:
    webhook = build_webhook(settings, egress, Clocks(clock, time.monotonic))
    now = clock()
    body = body_of(TEST_TYPE, {"replica": settings.replica}, at=now)
    started = time.perf_counter()
    try:
        await webhook.send(new_message_id(), body)
    except WebhookFault as fault:
        fix = f"check {_URL}, and that the receiver has a secret of {_SECRET}"
        return _FINDING("message", "fail", str(fault), fix)
    finally:
        await webhook.close()
    return _FINDING("message", "ok", f"taken after {(time.perf_counter() - started) * 1000:.0f} ms")
