"""A place to mint at, its credential, and the kinds of sessions that it serves."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal, Protocol

from app.models.base import Secret


class Family(StrEnum):
    """A kind of session; a handle opens only the family that it was minted for."""

    REALTIME = "realtime"
    TRANSCRIPTION = "transcription"
    TRANSLATION = "translation"
    LIVE = "live"


# All but GPT-Live, which has paths of another kind.
USUAL_FAMILIES: Final = (Family.REALTIME, Family.TRANSCRIPTION, Family.TRANSLATION)


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

    async def start(self, *, wait: float) -> bool:
        """Begin to keep a token; return whether the first one was asked for within ``wait`` seconds."""

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
    families: tuple[Family, ...] = USUAL_FAMILIES

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
