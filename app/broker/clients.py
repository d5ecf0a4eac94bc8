"""Who may mint: clients by their API key. Keys are kept as SHA-256 only, also in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Final

from app.errors import InvalidApiKey
from app.models import Client

_SHA256_PREFIX: Final = "sha256:"
_MESSAGE = "This endpoint needs a client key of this service: send 'Authorization: Bearer <key>'."


class ClientRegistry:
    """The configured clients.

    Args:
        clients: pairs of a client and its key, the key in clear or as ``sha256:<64 hex digits>``.
    """

    def __init__(self, clients: Iterable[tuple[Client, str]]) -> None:
        self._by_digest: Mapping[bytes, Client] = {key_digest(key): client for client, key in clients}
        self.by_name: Mapping[str, Client] = {client.name: client for client in self._by_digest.values()}

    def authenticate(self, unverified_key: str | None) -> Client:
        """Return the client that this key belongs to.

        The key is looked up by its hash, so the time taken tells nothing about a stored key.

        Raises:
            InvalidApiKey: no key, or an unknown one.
        """
        client = self.find(unverified_key)
        if client is None:
            raise InvalidApiKey(_MESSAGE)
        return client

    def find(self, unverified_key: str | None) -> Client | None:
        """The client that this key belongs to; None without a key and for an unknown one."""
        if not unverified_key:
            return None
        # aiohttp hands over a header's bytes that are no UTF-8 as surrogates.
        key = unverified_key.encode("utf-8", "surrogateescape")
        return self._by_digest.get(hashlib.sha256(key).digest())


def key_digest(key: str) -> bytes:
    """The SHA-256 of a configured key: in clear, or as ``sha256:`` and 64 hexadecimal digits."""
    if key.startswith(_SHA256_PREFIX):
        return bytes.fromhex(key.removeprefix(_SHA256_PREFIX))
    return hashlib.sha256(key.encode()).digest()
