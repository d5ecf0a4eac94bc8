"""What a claim on a handle is, and what may come of it."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Final

from app.models import value
from app.store import keys
from app.store.keys import knows_version, number_of, version_of
from app.store.records.bearers import NO_CERTIFICATE, NO_ORIGIN, packed, unpacked
from app.store.records.record import handle_statement

# Between a nonce's random part and the process that made it. No replica's name has this character.
MADE_BY: Final = "@"


@value
class Won:
    """The claim succeeded: the offer may be sent. ``calls`` counts this use.

    ``max_call_seconds`` is how long the call may last, 0 for no limit.
    """

    sealed_key: str = field(repr=False)
    deployment: str
    model: str
    client: str
    subject: str
    expires_at: str
    calls: int
    max_call_seconds: int = 0
    family: str = ""
    max_calls: str = ""
    proof: str = field(default="", repr=False)
    # As the record has them.
    bind_origin: str = ""
    bind_fingerprint: str = ""

    def stated(self, handle_id: str) -> tuple[str, ...]:
        """What the record's proof must be about."""
        return _stated(handle_id, self)


@value
class Held:
    """A handle's record as it stands: whose it is, what it is good for, how far it is used.

    Texts are as the record has them, "" where it has none. ``max_calls`` "": no limit of ours.
    """

    calls: str
    revoked_at: str
    version: str = field(repr=False)
    deployment: str
    model: str
    client: str
    subject: str
    family: str
    expires_at: str
    max_calls: str
    max_call_seconds: str
    bind_origin: str
    bind_fingerprint: str
    proof: str = field(repr=False)

    def stated(self, handle_id: str) -> tuple[str, ...]:
        """What the record's proof must be about."""
        return _stated(handle_id, self)

    @property
    def whose(self) -> tuple[str, str, str]:
        """Client, subject and model."""
        return self.client, self.subject, self.model

    @property
    def revoked(self) -> bool:
        return bool(self.revoked_at)

    @property
    def uses_left(self) -> int | None:
        """None without a limit of ours."""
        most = number_of(self.max_calls)
        return max(most - number_of(self.calls), 0) if most else None


@value
class Answered:
    """The same offer was answered a moment ago: the sealed answer, and the call that it belongs to."""

    call_id: str
    sealed_answer: str = field(repr=False)


@value
class Pending:
    """Another relay of the same offer is under way: ask again shortly. ``nonce`` is that one's."""

    nonce: str

    @property
    def holder(self) -> str:
        """The process that relays it; "" for a release that did not say so."""
        return self.nonce.partition(MADE_BY)[2]


@value
class Unknown:
    """The same offer was sent, and it is not known what became of it."""


@value
class Whose:
    """Whose handle it is, and by what its bearer is known: its binding, else its first use.

    ``origin`` and ``fingerprint`` are "" where that is not known, as before the first use.
    """

    client: str
    subject: str
    model: str
    origin: str
    fingerprint: str


@value
class Spent:
    """All uses are taken."""

    max_calls: int
    whose: Whose | None = None


@value
class Revoked:
    """An operator revoked the handle."""

    whose: Whose | None = None


@value
class OtherCertificate:
    """The handle is bound to another certificate than the offer carries."""

    whose: Whose


@value
class OtherOrigin:
    """The handle is bound to another origin than the offer comes from."""

    whose: Whose


@value
class Older:
    """An earlier state of the record was put back: uses, or its revocation, are missing."""

    client: str
    subject: str
    model: str


@value
class Gone:
    """There is no such record: it expired, or the store lost it."""


@value
class OtherFamily:
    """The handle was minted for another kind of session."""

    family: str


@value
class NewerVersion:
    """A newer release wrote the record, in a form that this one does not read. Nothing was changed."""

    version: str


Refused = Spent | Revoked | OtherCertificate | OtherOrigin | OtherFamily | Older | Gone | NewerVersion
Claim = Won | Answered | Pending | Unknown | Refused

_UNKNOWN, _GONE = Unknown(), Gone()


@value
class Keep:
    """How long, in seconds: an answer for the same offer, and a call on record."""

    window: float
    retention: float


@value
class Attempt:
    """One try of one relay to send one offer with one handle; ``nonce`` tells it from every other try.

    ``origin`` and ``fingerprint`` are those of the offer, "" where it has none or they are not clear.
    """

    handle_id: str
    offer_sha256: str
    nonce: str
    origin: str = ""
    fingerprint: str = ""

    @property
    def keys(self) -> tuple[str, str, str]:
        """The handle's record, the claim on this offer, and what the record must not fall behind."""
        handle_id = self.handle_id
        return keys.handle(handle_id), keys.claim(handle_id, self.offer_sha256), keys.uses(handle_id)

    @property
    def bearer(self) -> tuple[str, str]:
        """Origin and certificate as the record names them."""
        return self.origin or NO_ORIGIN, packed(self.fingerprint) or NO_CERTIFICATE


# In the order of ``Held``, for ``look.lua``.
HELD_FIELDS: Final = (
    *("calls", "revoked_at", "v", "deployment", "model", "client", "subject", "family"),
    *("expires_at", "max_calls", "max_call_seconds", "bind_origin", "bind_fingerprint", "proof"),
)


def read_look(reply: list[Any]) -> Held | Older | Gone | NewerVersion:
    """Read the reply of ``look.lua`` for ``HELD_FIELDS``."""
    behind, *values = reply
    if not any(value is not None for value in values):
        return _GONE
    held = Held(*(text or "" for text in values))
    # First, since a newer version may have other fields.
    if not knows_version(version_of(held.version or None)):
        return NewerVersion(held.version)
    return Older(*held.whose) if behind else held


def read_claim(reply: list[Any]) -> Claim:
    """Read the reply of ``claim.lua``."""
    match reply:
        case ["won", sealed_key, deployment, model, client, subject, expires_at, calls, seconds, *more]:
            uses, leash = int(calls), number_of(seconds)
            return Won(sealed_key, deployment, model, client, subject, expires_at, uses, leash, *more)
        case ["answered", value]:
            call_id, _, sealed = value.partition(":")
            return Answered(call_id=call_id, sealed_answer=sealed)
        case ["pending", nonce]:
            return Pending(nonce)
        case ["unknown"]:
            return _UNKNOWN
        case ["spent", max_calls, *whose]:
            return Spent(number_of(max_calls), _whose(*whose))
        case ["revoked" | "certificate" | "origin" as why, *whose]:
            return _refused_for(why, _whose(*whose))
        case ["older", client, subject, model]:
            return Older(client, subject, model)
        case ["family", family]:
            return OtherFamily(family)
        case ["gone"]:
            return _GONE
        case ["version", version]:
            return NewerVersion(version)
        case _:
            raise ValueError("claim.lua and its reader do not belong together")


def _refused_for(why: str, whose: Whose) -> Revoked | OtherCertificate | OtherOrigin:
    if why == "revoked":
        return Revoked(whose)
    return OtherCertificate(whose) if why == "certificate" else OtherOrigin(whose)


def _stated(handle_id: str, record: Won | Held) -> tuple[str, ...]:
    names = (record.model, record.deployment, record.family, record.client, record.subject)
    leash = str(record.max_call_seconds or "")
    bound = (record.bind_origin, record.bind_fingerprint)
    return handle_statement(handle_id, names, record.expires_at, record.max_calls, leash, bound)


def _whose(client: str, subject: str, model: str, origin: str, fingerprint: str) -> Whose:
    return Whose(client, subject, model, origin, unpacked(fingerprint))
