"""What passes through in one request: the mint, the key, the offer and its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any, Final, NamedTuple

from app.models.base import Secret, value
from app.models.deployment import Family


@value
class Binding:
    """Whose offers a handle opens calls for: those of pages of ``origin``, and of one certificate.

    ``fingerprint`` has the certificate's fingerprint, or several, as ``app.handles.bindings`` writes them.
    "" binds to none.
    """

    origin: str = ""
    fingerprint: str = ""

    def __bool__(self) -> bool:
        return bool(self.origin or self.fingerprint)


NOT_BOUND: Final = Binding()


@value
class MintRequest:
    """What a caller asked for, checked. ``session`` holds the caller's fields untouched.

    ``model`` and ``nested_model`` are aliases until the request is made ready for one deployment; then the
    session names the provider's. ``safety_identifier`` is what the provider may tell abusers apart by.
    ``max_call_seconds`` is the longest that a call may last.
    """

    model: str
    family: Family
    session: Mapping[str, Any]
    seconds: int | None = None
    subject: str | None = None
    origin: str | None = None
    nested_model: str | None = None
    safety_identifier: str | None = None
    max_call_seconds: int | None = None
    binding: Binding = NOT_BOUND

    def ready(
        self, model: str, session: Mapping[str, Any], *, seconds: int | None, identifier: str | None
    ) -> MintRequest:
        """The request as one deployment is to get it. (``dataclasses.replace`` costs 3 us of a mint.)"""
        return MintRequest(
            model=model,
            family=self.family,
            session=session,
            seconds=seconds,
            subject=self.subject,
            origin=self.origin,
            nested_model=self.nested_model,
            safety_identifier=identifier,
            max_call_seconds=self.max_call_seconds,
            binding=self.binding,
        )


@value
class EphemeralKey:
    """What the provider minted. ``expires_at`` is epoch seconds on the provider's own clock.

    None where the provider names none: then the key lives ``seconds`` from its mint.
    """

    value: Secret
    expires_at: int | None
    session: Mapping[str, Any] = field(repr=False)
    seconds: int = 0


@value
class StandardCall:
    """What a call needs that the standard credential creates: the session as JSON, as it was minted.

    ``model`` is the provider's name for it; "" in records of releases that did not keep it.
    """

    session: bytes = field(repr=False)
    safety_identifier: str | None = None
    model: str = ""


@value
class HandleClaims:
    """The claims of a handle whose signature, type, audience and times were all verified.

    ``owner`` is sealed: who may have how many calls, "" where none of that is limited.
    Only ``handles.HandleIssuer`` makes one. ``expires_at`` is epoch seconds; it lies in the past only where
    the verifier was asked for ``allow_expired``.
    """

    id: str
    expires_at: int
    owner: str = field(default="", repr=False)


@value
class Offer:
    """A browser's SDP offer: the bytes as they came, and a SHA-256 in hexadecimal by which it is known again.

    ``path`` is the family whose own path it was sent to; None for the path that serves the others too.
    ``session`` is what its sender says of a Live session, which must be what the mint fixed.
    """

    sdp: bytes = field(repr=False)
    sha256: str = ""
    path: Family | None = None
    session: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def families(self) -> tuple[Family, ...]:
        """The families of handles that open a call with this offer."""
        usual = (Family.REALTIME, Family.TRANSCRIPTION, Family.LIVE)
        return (self.path,) if self.path is not None else usual


class Sender(NamedTuple):
    """Who sends an offer, as far as that can be told.

    ``origin`` is its page's, in lower case, "" where it named none. ``facts`` returns its ``address`` and
    ``user_agent``, which only an event needs.
    """

    origin: str = ""
    facts: Callable[[], Mapping[str, str]] = dict


@value
class Answer:
    """The provider's SDP answer. ``call_id`` is None where the provider named none."""

    sdp: bytes = field(repr=False)
    call_id: str | None = None
