"""AES-256-GCM around everything secret that leaves the process, and proofs of what is kept in clear.

Pure: keys come from outside.

A sealed value is text: ``<kid>.<base64 of nonce + ciphertext + tag>``, so an SRE sees at a glance
which key sealed it, and nothing else. A proof is ``<kid>.<base64 of a MAC>``: it shows that what stands
beside it was written by a replica, and was not changed.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import secrets
from typing import Final

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.handles.keyring import SealingRing

# NIST SP 800-38D section 8.2: 96-bit random nonces are good for 2^32 messages a key. Rotating the key
# each quarter leaves room for 500 mints a second.
NONCE_BYTES: Final = 12
_VERSION: Final = b"cloakroom-seal-1"
# Proofs have keys apart, made of the sealing keys, so that a new sealing key is also one for proofs.
_PROOF_VERSION: Final = b"cloakroom-proof-1"
_PROOF_BYTES: Final = 16
# In base64 without the padding.
_PROOF_CHARS: Final = 22


class UnsealError(Exception):
    """The value cannot be opened: another key, another record, or not one of ours. Carries no detail."""


class Sealer:
    """Seals and proves with the ring's active key; opens and checks with any of its keys."""

    def __init__(self, ring: SealingRing) -> None:
        self.use(ring)

    def use(self, ring: SealingRing) -> None:
        """Use this ring from now on."""
        ciphers = {kid: AESGCM(key.key) for kid, key in ring.by_kid.items()}
        proof_keys = {kid: _proof_key(key.key) for kid, key in ring.by_kid.items()}
        self._active_kid, self._active = ring.active.kid, ciphers[ring.active.kid]
        self._ciphers, self._proof_keys = ciphers, proof_keys

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

    def knows(self, sealed: str) -> bool:
        """Whether the ring has the key that this names."""
        return sealed.partition(".")[0] in self._ciphers

    def prove(self, *stated: str) -> str:
        """A short proof of these texts, in this order: 128 bits. They are authenticated, not stored."""
        kid = self._active_kid
        return f"{kid}.{_proof(self._proof_keys[kid], kid, stated)}"

    def proves(self, proof: str, *stated: str) -> bool:
        """Whether ``prove`` made this proof of the same texts."""
        kid, _, shown = proof.partition(".")
        key = self._proof_keys.get(kid)
        if key is None:
            return False
        try:
            expected = _proof(key, kid, stated)
        except orjson.JSONEncodeError:  # no text that we wrote
            return False
        return hmac.compare_digest(expected.encode(), shown.encode(errors="replace"))


def _proof_key(key: bytes) -> bytes:
    return hmac.digest(key, _PROOF_VERSION, "sha256")


def _proof(key: bytes, kid: str, stated: tuple[str, ...]) -> str:
    # A mint and a relay wait for it: keyed BLAKE2b (RFC 7693) takes half the time of OpenSSL's HMAC.
    # No two lists of texts are the same JSON.
    mac = hashlib.blake2b(orjson.dumps((kid, *stated)), key=key, digest_size=_PROOF_BYTES).digest()
    return binascii.b2a_base64(mac, newline=False)[:_PROOF_CHARS].decode("ascii")


def _additional_data(kid: str, context: tuple[str, ...]) -> bytes:
    """Join the parts with their lengths, so that no two different contexts give the same bytes."""
    parts = [_VERSION]
    for part in (kid, *context):
        encoded = part.encode()
        parts.append(b"%d:%b" % (len(encoded), encoded))
    return b"|".join(parts)
