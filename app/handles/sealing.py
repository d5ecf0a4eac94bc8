"""AES-256-GCM around everything secret that leaves the process. Pure: keys and nonces come from outside.

A sealed value is text: ``<kid>.<base64 of nonce + ciphertext + tag>``, so an SRE sees at a glance
which key sealed it, and nothing else.
"""

from __future__ import annotations

import binascii
import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.handles.keyring import SealingRing

# NIST SP 800-38D section 8.2: 96-bit random nonces are good for 2^32 messages a key. Rotating the key
# each quarter leaves room for 500 mints a second.
NONCE_BYTES: Final = 12
_VERSION: Final = b"cloakroom-seal-1"


class UnsealError(Exception):
    """The value cannot be opened: another key, another record, or not one of ours. Carries no detail."""


class Sealer:
    """Seals with the ring's active key and opens with any of its keys."""

    def __init__(self, ring: SealingRing) -> None:
        self.use(ring)

    def use(self, ring: SealingRing) -> None:
        """Seal and open with this ring from now on."""
        ciphers = {kid: AESGCM(key.key) for kid, key in ring.by_kid.items()}
        self._active_kid, self._ciphers, self._active = ring.active.kid, ciphers, ciphers[ring.active.kid]

    def seal(self, plain: bytes, *context: str) -> str:
        """Encrypt ``plain`` so that it opens only with the same ``context``, in the same order.

        The context is what must not be swapped between records: purpose, handle id, client, expiry.
        It is authenticated, not stored.
        """
        nonce = secrets.token_bytes(NONCE_BYTES)
        data = _additional_data(self._active_kid, context)
        sealed = binascii.b2a_base64(nonce + self._active.encrypt(nonce, plain, data), newline=False)
        return f"{self._active_kid}.{sealed.decode('ascii')}"

    def unseal(self, sealed: str, *context: str) -> bytes:
        """Return what ``seal`` was given.

        Raises:
            UnsealError: the key id is unknown, the text is malformed, or the context differs.
        """
        kid, _, text = sealed.partition(".")
        cipher = self._ciphers.get(kid)
        if cipher is None:
            raise UnsealError
        try:
            raw = binascii.a2b_base64(text, strict_mode=True)
            return cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], _additional_data(kid, context))
        except (binascii.Error, ValueError, InvalidTag):
            raise UnsealError from None


def _additional_data(kid: str, context: tuple[str, ...]) -> bytes:
    """Join the parts with their lengths, so that no two different contexts give the same bytes."""
    parts = [_VERSION]
    for part in (kid, *context):
        encoded = part.encode()
        parts.append(b"%d:%b" % (len(encoded), encoded))
    return b"|".join(parts)
