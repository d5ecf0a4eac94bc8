"""Frozen values that the parts share. Of ours it imports only ``app.reports``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Literal, Protocol

# OpenAI's bounds on ``expires_after.seconds`` (its API reference, "Create client secret"), in seconds.
MIN_KEY_SECONDS: Final = 10
MAX_KEY_SECONDS: Final = 7200
# OpenAI's default of it; where no provider mints, ours.
USUAL_KEY_SECONDS: Final = 600
# OpenAI ends a session after an hour (its guide "Realtime conversations"), in seconds.
LONGEST_CALL_SECONDS: Final = 3600
# A call that may last less than this is of no use.
SHORTEST_CALL_SECONDS: Final = 10

# The default wherever a model is needed and none is named: it has no announced end.
USUAL_MODEL: Final = "gpt-realtime-2.1"

# Where calls live: ``Location`` leads with it whatever the family, because hanging up is the same for all.
CALLS_PATH: Final = "/v1/realtime/calls"
TRANSLATION_CALLS_PATH: Final = "/v1/realtime/translations/calls"
# The same for callers that speak GPT-Live's own form.
LIVE_PATH: Final = "/v1/live/sessions"


@dataclass(frozen=True, slots=True)
class Clocks:
    """``now`` returns epoch seconds, ``monotonic`` seconds that never jump. Tests pass their own."""

    now: Callable[[], float]
    monotonic: Callable[[], float]


class Secret:
    """A string that never shows itself: ``repr``, ``str`` and ``format`` are masked.

    It has no ``__dict__`` and refuses to be pickled, so it cannot slip into a log or a cache
    by way of a generic dump. Call ``reveal()`` where the value goes on the wire, nowhere else.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return format("***", spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError("a Secret is not serialised")


class Family(StrEnum):
    """A kind of session; a handle opens only the family that it was minted for."""

    REALTIME = "realtime"
    TRANSCRIPTION = "transcription"
    TRANSLATION = "translation"
    LIVE = "live"


# All but GPT-Live, which has paths of another kind.
USUAL_FAMILIES: Final = frozenset({Family.REALTIME, Family.TRANSCRIPTION, Family.TRANSLATION})


class BearerTokens(Protocol):
    """A standard credential that is renewed by itself: access tokens of an issuer."""

    def current(self) -> Secret:
        """The token to send now.

        Raises:
            UpstreamError: there is none; says which setting to look at.
        """

    def held(self) -> tuple[Secret, ...]:
        """The token of this moment, if any, to be masked wherever the provider repeats it."""

    def refused(self) -> None:
        """The provider refused the current token, which may have been revoked: get the next one early."""

    async def start(self, *, wait: float) -> None:
        """Begin to keep a token, and give the first one ``wait`` seconds to come."""

    async def close(self) -> None:
        """Stop."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """One configured place to mint at: provider, base URL, credential and upstream model name.

    ``base_url`` has no trailing slash and ends where ``/realtime/...`` begins. The standard credential is
    ``api_key`` or ``tokens``, never both. ``upstream_model`` is the provider's name for the model (Azure:
    the deployment's name); None means that the alias asked for is the provider's name too.
    ``ephemeral_keys`` says that the provider mints. Where it does not, the standard credential creates the
    call, and a server that asks for none has none. ``call_key`` is which key creates the call.
    ``webrtc_filter`` keeps instructions and tool calls off the browser's data channel (Azure GA).
    ``api_version`` and ``webrtc_url``, where offers go, belong to Azure's preview. ``region`` is where the
    provider serves it, None where that is not known. ``families`` are the kinds of sessions that it serves.
    """

    name: str
    provider: str
    base_url: str
    api_key: Secret | None = None
    upstream_model: str | None = None
    tokens: BearerTokens | None = field(default=None, repr=False)
    webrtc_filter: bool = False
    call_key: Literal["ephemeral", "standard"] = "ephemeral"
    api_version: str | None = None
    webrtc_url: str | None = None
    region: str | None = None
    ephemeral_keys: bool = True
    families: frozenset[Family] = USUAL_FAMILIES

    def __post_init__(self) -> None:
        if self.api_key is not None and self.tokens is not None:
            raise ValueError("a deployment has either an api_key or tokens")
        if self.ephemeral_keys and not self.has_credential:
            raise ValueError("a deployment that mints has an api_key or tokens")

    @property
    def has_credential(self) -> bool:
        """Whether there is a standard credential at all."""
        return self.api_key is not None or self.tokens is not None

    def bearer(self) -> Secret | None:
        """The current standard credential; None where the provider asks for none.

        Raises:
            UpstreamError: its issuer has given no token.
        """
        return self.tokens.current() if self.tokens is not None else self.api_key

    def held_secrets(self) -> tuple[Secret, ...]:
        """The standard credential, to be masked wherever the provider repeats it; never raises."""
        if self.tokens is not None:
            return self.tokens.held()
        return (self.api_key,) if self.api_key is not None else ()

    def credential_refused(self) -> None:
        """The provider answered 401 to the standard credential; a token is renewed early then."""
        if self.tokens is not None:
            self.tokens.refused()


@dataclass(frozen=True, slots=True)
class CallLimits:
    """What a client's calls may come to over all replicas; None for no limit.

    The first two are calls at once, the others seconds of calls on one day of UTC.
    """

    max_open_calls: int | None = None
    max_open_calls_per_subject: int | None = None
    max_call_seconds_per_day: int | None = None
    max_call_seconds_per_day_per_subject: int | None = None

    @property
    def any(self) -> bool:
        """Whether there is any limit."""
        return self != NO_LIMITS

    @property
    def by_day(self) -> bool:
        """Whether the seconds of a day are limited."""
        return bool(self.max_call_seconds_per_day or self.max_call_seconds_per_day_per_subject)


NO_LIMITS: Final = CallLimits()


@dataclass(frozen=True, slots=True)
class Client:
    """A configured caller of the mint endpoint.

    ``models`` are the aliases that it may mint for, None for all; ``mints_per_minute`` is its limit
    across all replicas, None for none. ``max_call_seconds`` is the longest that one of its calls may last,
    ``max_live_handles`` how many handles it has at once; None for no limit.
    """

    name: str
    models: frozenset[str] | None = None
    mints_per_minute: int | None = None
    max_call_seconds: int | None = None
    max_live_handles: int | None = None
    call_limits: CallLimits = NO_LIMITS

    def may_use(self, alias: str) -> bool:
        return self.models is None or alias in self.models


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class EphemeralKey:
    """What the provider minted. ``expires_at`` is epoch seconds on the provider's own clock.

    None where the provider names none: then the key lives ``seconds`` from its mint.
    """

    value: Secret
    expires_at: int | None
    session: Mapping[str, Any] = field(repr=False)
    seconds: int = 0


@dataclass(frozen=True, slots=True)
class StandardCall:
    """What a call needs that the standard credential creates: the session as JSON, as it was minted.

    ``model`` is the provider's name for it; "" in records of releases that did not keep it.
    """

    session: bytes = field(repr=False)
    safety_identifier: str | None = None
    model: str = ""


@dataclass(frozen=True, slots=True)
class HandleClaims:
    """The claims of a handle whose signature, type, audience and times were all verified.

    ``owner`` is sealed: who may have how many calls, "" where none of that is limited.
    Only ``handles.HandleIssuer`` makes one. ``expires_at`` is epoch seconds; it lies in the past only where
    the verifier was asked for ``allow_expired``.
    """

    id: str
    expires_at: int
    owner: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Answer:
    """The provider's SDP answer. ``call_id`` is None where the provider named none."""

    sdp: bytes = field(repr=False)
    call_id: str | None = None
