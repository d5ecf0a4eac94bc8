"""Who may mint: clients by their API key or a client token. Keys are kept as SHA-256 only, also in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Final

from app.errors import InvalidApiKey
from app.handles.client_tokens import ClientTokens
from app.handles.rotation import fingerprint
from app.models import Client

_SHA256_PREFIX: Final = "sha256:"
_MESSAGE = "This endpoint needs a client key of this service: send 'Authorization: Bearer <key>'."
_OR_EXCHANGED = " A client token of /oauth/token does too; one that has expired is exchanged anew."


class ClientRegistry:
    """The configured clients.

    Args:
        clients: pairs of a client and its key, the key in clear or as ``sha256:<64 hex digits>``; None for a
            client that has no key.
        tokens: verifies client tokens; None where there are none.
    """

    def __init__(
        self, clients: Iterable[tuple[Client, str | None]], *, tokens: ClientTokens | None = None
    ) -> None:
        self._by_digest: Mapping[bytes, Client] = {}
        self._by_name: dict[str, Client] = {}
        self._tokens = tokens
        self.use(clients)

    @property
    def by_name(self) -> Mapping[str, Client]:
        """The clients that there are now; other parts may keep this mapping."""
        return self._by_name

    def use(self, clients: Iterable[tuple[Client, str | None]]) -> None:
        """Know these clients and their keys from now on, and no others."""
        known = list(clients)
        by_digest = {key_digest(key): client for client, key in known if key is not None}
        by_name = {client.name: client for client, _ in known}
        # No caller comes between these lines.
        self._by_digest = by_digest
        self._by_name.clear()
        self._by_name.update(by_name)

    def fingerprints(self) -> dict[str, str]:
        """What tells one key from another, by the client's name. Clients without a key are left out."""
        return {client.name: fingerprint(digest) for digest, client in self._by_digest.items()}

    def authenticate(self, unverified_key: str | None) -> Client:
        """Return the client that this key belongs to.

        The key is looked up by its hash, so the time taken tells nothing about a stored key.

        Raises:
            InvalidApiKey: no key, or an unknown one.
        """
        client = self.find(unverified_key)
        if client is None:
            raise self.unknown()
        return client

    def unknown(self) -> InvalidApiKey:
        """The error for a credential that is no client's."""
        return InvalidApiKey(_MESSAGE if self._tokens is None else _MESSAGE + _OR_EXCHANGED)

    def find(self, unverified_key: str | None) -> Client | None:
        """The client that this key or client token belongs to; None without one and for an unknown one."""
        if not unverified_key:
            return None
        # aiohttp hands over a header's bytes that are no UTF-8 as surrogates.
        key = unverified_key.encode("utf-8", "surrogateescape")
        found = self._by_digest.get(hashlib.sha256(key).digest())
        if found is None and self._tokens is not None:
            # A client that was removed has no tokens any more.
            return self.by_name.get(self._tokens.client_of(unverified_key) or "")
        return found


def key_digest(key: str) -> bytes:
    """The SHA-256 of a configured key: in clear, or as ``sha256:`` and 64 hexadecimal digits."""
    if key.startswith(_SHA256_PREFIX):
        return bytes.fromhex(key.removeprefix(_SHA256_PREFIX))
    return hashlib.sha256(key.encode()).digest()
