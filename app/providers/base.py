"""What a provider is to us: a dialect of plain functions that build a request and read an answer.

A dialect is made of four parts: how it mints, how it relays an offer, how it hangs up, and how a server
attaches to a call. Its ``traits`` say which settings a deployment of it may and must have.
``app.providers.registry`` knows the dialects by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol, runtime_checkable
from urllib.parse import SplitResult, urlsplit

from app.errors import UpstreamError
from app.models import (
    USUAL_FAMILIES,
    Answer,
    Deployment,
    EphemeralKey,
    Family,
    MintRequest,
    Offer,
    Secret,
    StandardCall,
    value,
)
from app.providers.ice import IceServer

SDP_TYPE: Final = "application/sdp"
JSON_TYPE: Final = "application/json"
# OpenAI's label, which the others have copied.
USUAL_CHANNEL: Final = "oai-events"

# A name, an IPv4 or an IPv6 address; a name in another script must be in its ASCII form.
_HOST = re.compile(r"[A-Za-z0-9.:_-]{1,253}\Z")
# Some releases of Python read ``x[::1]`` as the host ``::1``; other readers refuse it.
_ONE_HOST = re.compile(r"(?:\[[^\[\]]*\]|[^\[\]]*)\Z")
_THIS_MACHINE = re.compile(r"(?:localhost|127(?:\.[0-9]{1,3}){3}|::1)\Z")
_CALL_ID = re.compile(r"[A-Za-z0-9_-]{1,128}\Z")


@dataclass(frozen=True, slots=True)
class Exchange:
    """What answers a request over a WebSocket: a message of one of these types; all before it are skipped.

    After one of ``answered_by``, which has an SDP and may name the call, the socket stays open for the call.
    """

    answered_by: frozenset[str]
    refused_by: frozenset[str]
    sdp_field: str
    call_field: str


@value
class UpstreamRequest:
    """One request to a provider, or a WebSocket's handshake, which has no body.

    Only a POST sends its body. With ``exchange``, ``body`` is the first message after the handshake.
    ``headers`` hold a credential, so they are not shown.
    """

    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    method: str = "POST"
    exchange: Exchange | None = None


@value
class UpstreamResponse:
    """What came back: ``headers`` are case-insensitive, ``body`` is whole and within the size limit.

    Of an exchange, ``status`` is 101 and ``body`` the message that answers; else the handshake was refused.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Traits:
    """What the settings of a deployment may and must have.

    ``is_azure``: it needs the resource's endpoint and a deployment's name, and may sign in with Microsoft
    Entra ID. ``regions``: the URL of each region that a deployment can be in, by the region's name; where
    ``base_url`` is one of them, it tells the region. ``has_front_end``: they are front ends for offers, one
    must be named by ``region`` or ``webrtc_url``, and the paths take an ``api_version``. ``takes_filter``:
    it knows ``webrtc_filter``. ``mints``: it mints ephemeral keys. ``takes_standard_call``: a call can be
    created with the standard key instead. ``needs_credential``: it serves nobody without one, except that a
    server at another ``base_url`` may, where ``is_copied``: others keep this API's paths.
    ``takes_session``: a call is created with its session; else a page sends that over the data channel.
    ``needs_model``: a deployment must name its model. ``may_split_hosts``: it may have a ``webrtc_url``.
    ``federates``: it may sign in with a workload's own token. ``tells_ends``: its models have the names and
    the ends of ``app.providers.retirement``, and it lists them. ``families``: the kinds of sessions that it
    serves. ``takes_api_version``: its URLs have one. ``holds_socket``: a call lasts as long as the WebSocket
    that its offer went over. ``data_channel``: the label of the channel that a page must make for its events.
    """

    is_azure: bool = False
    regions: Mapping[str, str] = field(default_factory=dict)
    has_front_end: bool = False
    takes_filter: bool = False
    mints: bool = True
    takes_standard_call: bool = False
    needs_credential: bool = True
    is_copied: bool = False
    takes_session: bool = True
    needs_model: bool = False
    may_split_hosts: bool = False
    tells_ends: bool = False
    federates: bool = False
    takes_api_version: bool = False
    holds_socket: bool = False
    data_channel: str = USUAL_CHANNEL
    families: tuple[Family, ...] = USUAL_FAMILIES


class Mints(Protocol):
    """Mints ephemeral keys."""

    def mint_request(self, deployment: Deployment, mint: MintRequest) -> UpstreamRequest:
        """The request that mints an ephemeral key for this session.

        Raises:
            InvalidRequest: the session cannot be sent.
            UpstreamError: the dialect has no such sessions, or there is no credential at present.
        """

    def read_mint(self, deployment: Deployment, response: UpstreamResponse) -> EphemeralKey:
        """Read the minted key.

        Raises:
            UpstreamError: the provider refused, or answered with something else.
        """


class Relays(Protocol):
    """Presents offers."""

    def relay_request(self, deployment: Deployment, key: Secret, offer: Offer) -> UpstreamRequest:
        """The request that presents the offer with the ephemeral key.

        Raises:
            InvalidRequest: the dialect has no ephemeral keys.
        """

    def kept_call(self, deployment: Deployment, mint: MintRequest) -> StandardCall:
        """What to keep of a mint where the standard credential is to create the call.

        Where a deployment has no ephemeral keys, this is the whole mint: the provider is asked nothing.

        Raises:
            InvalidRequest: the session cannot be sent.
            UpstreamError: the dialect has no such sessions.
        """

    def standard_call_request(
        self, deployment: Deployment, call: StandardCall, offer: Offer
    ) -> UpstreamRequest:
        """The request that presents the offer with the deployment's standard credential, if it has one.

        Raises:
            InvalidRequest: calls are created with ephemeral keys only.
            UpstreamError: there is no credential at present.
        """

    def read_answer(self, deployment: Deployment, key: Secret | None, response: UpstreamResponse) -> Answer:
        """Read the SDP answer; ``key`` is the one that presented the offer, None where none did.

        Raises:
            UpstreamError: the provider refused; no call was created.
            OutcomeUnknown: it accepted, but with something that is no SDP answer.
        """


class HangsUp(Protocol):
    """Ends calls."""

    def hangup_request(self, deployment: Deployment, call_id: str) -> UpstreamRequest:
        """The request that ends a call, with the standard credential. It may be sent twice.

        Raises:
            InvalidRequest: this provider has no such request; says what to do instead.
            UpstreamError: there is no credential at present.
        """

    def read_hangup(self, deployment: Deployment, response: UpstreamResponse) -> bool:
        """Read that the call is over: True if this request ended it, False if it was gone before.

        Raises:
            UpstreamError: the provider refused, or answered with something else; the call may go on.
        """


class Attaches(Protocol):
    """Lets a server follow a call by its events."""

    def sideband_request(self, deployment: Deployment, call_id: str) -> UpstreamRequest:
        """The handshake of a call's sideband, with the standard credential; its URL begins with ``ws``.

        Raises:
            InvalidRequest: this provider has no sidebands; says what to do instead.
            UpstreamError: there is no credential at present.
        """

    def read_no_sideband(self, deployment: Deployment, response: UpstreamResponse) -> UpstreamError | None:
        """Read why there is no sideband: the provider's refusal, or None where it knows no such call."""


@runtime_checkable
class SplitsHosts(Protocol):
    """May present offers at another URL than it mints at; its ``traits`` tell whether it must."""

    def webrtc_url(self, pasted: str) -> str:
        """Reduce what an operator pasted to the URL that offers go to.

        Raises:
            ValueError: it is no such URL; says what is expected.
        """


@runtime_checkable
class NamesIceServers(Protocol):
    """Names the ICE servers to use for its calls. Most dialects have no such part."""

    def ice_servers_request(self, deployment: Deployment) -> UpstreamRequest:
        """The GET that asks for them, with the standard credential; it has no body.

        Raises:
            UpstreamError: there is no credential at present.
        """

    def read_ice_servers(self, deployment: Deployment, response: UpstreamResponse) -> tuple[IceServer, ...]:
        """Read them.

        Raises:
            UpstreamError: the provider refused, or answered with something else.
        """


class Provider(Mints, Relays, HangsUp, Attaches, Protocol):
    """A whole dialect. One whose provider mints no keys is a ``MintsNothing``."""

    @property
    def traits(self) -> Traits:
        """What the settings of its deployments may and must have."""

    def base_url(self, pasted: str | None) -> str:
        """Reduce what an operator pasted to the URL that the dialect's paths follow.

        Raises:
            ValueError: it is no URL of this provider; says what is expected.
        """


def http_url(text: str) -> SplitResult | None:
    """Split an http or https URL; None for anything else, also for one with a user or a password."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return None
    plain = host is not None and _HOST.match(host) is not None and "@" not in parts.netloc
    plain = plain and _is_one_host(parts.netloc)
    return parts if plain and parts.scheme in ("http", "https") else None


def _is_one_host(netloc: str) -> bool:
    """Whether brackets stand around the whole host or nowhere, so that all readers see the same one."""
    user, _, host = netloc.rpartition("@")
    return _ONE_HOST.match(re.sub(r":[0-9]*\Z", "", host)) is not None and not {"[", "]"} & set(user)


def on_this_machine(host: str | None) -> bool:
    """Whether a URL's host is this machine, so that nobody on the way can read what is sent to it."""
    return host is not None and _THIS_MACHINE.match(host) is not None


def is_call_id(text: str) -> bool:
    """Whether this can be a call's id: such text is safe in a path, in a log line and in a Redis key."""
    return _CALL_ID.match(text) is not None


def standard_key_header(deployment: Deployment, *, key_header: str | None = None) -> dict[str, str]:
    """The header that carries the deployment's standard credential; none where it has none.

    ``key_header`` is the header in which a provider takes a key. Without it the key is a bearer token, as
    access tokens always are.

    Raises:
        UpstreamError: its issuer has given no token.
    """
    if key_header is not None and deployment.api_key is not None:
        return {key_header: deployment.api_key.reveal()}
    bearer = deployment.bearer()
    return {"Authorization": f"Bearer {bearer.reveal()}"} if bearer is not None else {}
