"""Whether a handle that is refused came from its own bearer. Where it did not, that is a security event."""

from __future__ import annotations

from typing import Final

from app.broker.security.events import SecurityEvent
from app.models import Sender
from app.store.records.bearers import NO_CERTIFICATE, NO_ORIGIN
from app.store.records.claims import Attempt, Claim, OtherCertificate, OtherOrigin, Revoked, Spent

_KINDS: Final[dict[type[Claim], str]] = {
    OtherCertificate: "wrong_certificate",
    OtherOrigin: "wrong_origin",
    Spent: "spent_elsewhere",
    Revoked: "revoked_elsewhere",
}


def event_of(attempt: Attempt, result: Claim, sender: Sender) -> SecurityEvent | None:
    """The event to report of a claim that came to ``result``; None where an honest caller may have made it.

    Whoever repeats an offer, or uses a handle that he used before, is known by his certificate and his page.
    """
    if not isinstance(result, OtherCertificate | OtherOrigin | Spent | Revoked) or result.whose is None:
        return None
    whose = result.whose
    seen = {
        "origin": attempt.origin or NO_ORIGIN,
        "fingerprint": attempt.fingerprint or NO_CERTIFICATE,
    }
    known = {"origin": whose.origin, "fingerprint": whose.fingerprint}
    expected = {name: text for name, text in known.items() if text}
    if expected.items() <= seen.items():
        return None
    return SecurityEvent(
        kind=_KINDS[type(result)],
        handle=attempt.handle_id,
        client=whose.client or None,
        subject=whose.subject or None,
        model=whose.model or None,
        expected=expected,
        seen={**seen, **sender.facts()},
    )
