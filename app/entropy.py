"""Random bytes from the operating system, fetched some thousands at once. A leaf module.

A request wants three small portions (an id, a nonce, a claim's nonce), and asking the kernel for each costs
more than what is then done with it. Every byte is handed out once: to one thread, since a lock stands before
the store, and to one process, since a child begins with an empty one.
"""

from __future__ import annotations

import base64
import os
import threading
from typing import Final

_FETCHED_AT_ONCE: Final = 4096


class _Store:
    """Bytes that were fetched and not handed out yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.forget()

    def forget(self) -> None:
        """Begin anew. A child of ``fork`` must not hand out what its parent hands out, too."""
        self._lock = threading.Lock()
        self._bytes = b""
        self._used = 0

    def take(self, count: int) -> bytes:
        if count > _FETCHED_AT_ONCE:
            return os.urandom(count)
        with self._lock:
            start, end = self._used, self._used + count
            if end > len(self._bytes):
                self._bytes = os.urandom(_FETCHED_AT_ONCE)
                start, end = 0, count
            self._used = end
            return self._bytes[start:end]


_store = _Store()
os.register_at_fork(after_in_child=_store.forget)


def random_bytes(count: int) -> bytes:
    """``count`` bytes that are as good as ``os.urandom``'s."""
    return _store.take(count)


def random_text(count: int) -> str:
    """``count`` random bytes in base64 for URLs, without padding."""
    return base64.urlsafe_b64encode(_store.take(count)).rstrip(b"=").decode("ascii")
