"""What a security event is, and where it is reported: counted and logged at once, all else in the background."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from app.telemetry.redaction import one_safe_line

log = structlog.get_logger("cloakroom.security")

# ``wrong_certificate``, ``wrong_origin``: a bound handle came with another one. ``spent_elsewhere``,
# ``revoked_elsewhere``: a handle that is of no more use came from elsewhere than its first use.
# ``record_refused``: the record of a handle or a call is not as it was written.
KINDS: Final = ("wrong_certificate", "wrong_origin", "spent_elsewhere", "revoked_elsewhere", "record_refused")
# The keys of ``expected`` and ``seen``; ``record`` is of ``record_refused`` and says what is wrong with it.
FACTS: Final = ("origin", "fingerprint", "address", "user_agent", "record")
_LONGEST_FACT: Final = 200


@dataclass(frozen=True, slots=True)
class SecurityEvent:
    """Something that an honest caller does not do.

    ``kind`` is one of ``KINDS``. ``handle`` is the handle's id. ``expected`` and ``seen`` hold both sides' facts, by
    ``FACTS``; a fact that is not known is left out. ``seen`` is what the caller sent, unchecked.
    """

    kind: str
    handle: str
    client: str | None
    subject: str | None
    model: str | None
    expected: Mapping[str, str]
    seen: Mapping[str, str]


class SecurityLog:
    """Takes security events.

    Args:
        count: counts an event by its kind.
    """

    def __init__(self, *, count: Callable[[str], None]) -> None:
        self._count = count

    def report(self, event: SecurityEvent) -> None:
        """Count and log the event, and leave the rest to the background. Never waits and never raises."""
        self._count(event.kind)
        log.warning(
            "security_event",
            kind=event.kind,
            handle=event.handle,
            client=_safe(event.client),
            subject=_safe(event.subject),
            model=_safe(event.model),
            expected=_safe_facts(event.expected),
            seen=_safe_facts(event.seen),
        )


def _safe_facts(facts: Mapping[str, str]) -> dict[str, str]:
    return {name: one_safe_line(facts[name], limit=_LONGEST_FACT) for name in FACTS if facts.get(name)}


def _safe(text: str | None) -> str | None:
    return one_safe_line(text, limit=_LONGEST_FACT) if text else None
