"""The parts of a dialect that its provider does not have, each to be inherited.

``name`` is what messages call the provider.
"""

from __future__ import annotations

from typing import ClassVar, Final

from app.errors import InvalidRequest, UpstreamError
from app.models import Deployment, EphemeralKey, MintRequest, Offer, Secret
from app.providers.answers import read_hangup, read_no_sideband
from app.providers.base import UpstreamRequest, UpstreamResponse

_NO_KEYS: Final = "This deployment's provider has no ephemeral keys. Mint a new handle."


class MintsNothing:
    """The provider mints no ephemeral keys; the dialect's ``traits.mints`` is false.

    Nothing asks for these, but where a deployment's provider was changed while its handles were alive.
    """

    def mint_request(self, deployment: Deployment, mint: MintRequest) -> UpstreamRequest:
        raise InvalidRequest(_NO_KEYS)

    def read_mint(self, deployment: Deployment, response: UpstreamResponse) -> EphemeralKey:
        raise InvalidRequest(_NO_KEYS)

    def relay_request(self, deployment: Deployment, key: Secret, offer: Offer) -> UpstreamRequest:
        raise InvalidRequest(_NO_KEYS)


class NoHangup:
    """The provider documents no hang-up, and a guess would be a promise."""

    name: ClassVar[str]

    def hangup_request(self, deployment: Deployment, call_id: str) -> UpstreamRequest:
        raise InvalidRequest(
            f"This call runs on {self.name}, which cannot hang up. Close the browser's peer connection.",
            param="call_id",
        )

    def read_hangup(self, deployment: Deployment, response: UpstreamResponse) -> bool:
        return read_hangup(deployment, response)


class NoSideband:
    """The provider documents no way to attach to a call."""

    name: ClassVar[str]

    def sideband_request(self, deployment: Deployment, call_id: str) -> UpstreamRequest:
        raise InvalidRequest(
            f"This call runs on {self.name}, which has no sideband. Use the browser's data channel.",
            param="call_id",
        )

    def read_no_sideband(self, deployment: Deployment, response: UpstreamResponse) -> UpstreamError | None:
        return read_no_sideband(deployment, response)
