"""Why a store refuses, for people: the kind of trouble, and a line that is safe to show.

The store's errors end here, as in ``connection``. People need to know which one it was; to a request each of
them is ``StoreUnavailable``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from app.errors import StoreUnavailable
from app.store.errors import (
    AuthenticationError,
    MaxConnectionsError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
)
from app.telemetry.redaction import one_safe_line

Trouble = Literal[
    "name",
    "refused",
    "timeout",
    "tls",
    "auth",
    "permission",
    "topology",
    "readonly",
    "full",
    "database",
    "other",
]

# The driver's cluster client can leak an AttributeError while it rebuilds its topology.
DRIVER_ERRORS: Final = (RedisError, OSError, AttributeError)
_IN_A_PIPELINE: Final = "of pipeline caused error: "
# redis-py puts the system's errors into texts. These words in them say which error it was.
_WORDS: Final[Mapping[str, Trouble]] = {
    "name or service not known": "name",
    "nodename nor servname": "name",
    "name resolution": "name",
    "no address associated": "name",
    "certificate": "tls",
    "ssl": "tls",
    "error 111": "refused",
    "error 61 ": "refused",
    "connect call failed": "refused",
    "timeout": "timeout",
    "timed out": "timeout",
    "without any password configured": "auth",
    "noauth": "auth",
    "already authenticated": "auth",
    "db index": "database",
    "select is not allowed in cluster": "database",
    "no master found": "topology",
    "cluster": "topology",
    "no permissions": "permission",
    # What a script was refused, in the words of Redis 7.0.
    "can't run this command": "permission",
    "can't access at least one of the keys": "permission",
}


# What callers are told of every one of them.
RETRY_AFTER_SECONDS: Final = 1
_DOWN_MESSAGE: Final = "The token store cannot be reached just now. Try again shortly."


class StoreFault(Exception):
    """A step of an inspection failed. ``text`` is one line that is safe to show."""

    def __init__(self, trouble: Trouble, text: str) -> None:
        super().__init__(text)
        self.trouble: Final = trouble
        self.text: Final = text


def unavailable() -> StoreUnavailable:
    """The error of an operation that the store did not take."""
    return StoreUnavailable(_DOWN_MESSAGE, retry_after=RETRY_AFTER_SECONDS)


def fault_of(error: BaseException) -> StoreFault:
    """What an error of the store means."""
    # A pipeline puts its command in front, values and all, and the server's words into a tuple's repr.
    text = str(error).rpartition(_IN_A_PIPELINE)[2].strip("(),\"'").replace("\\'", "'")
    if isinstance(error, NoPermissionError):
        return StoreFault("permission", _shown(text))
    if isinstance(error, ReadOnlyError):
        return StoreFault("readonly", "the server is a read-only replica")
    if isinstance(error, OutOfMemoryError):
        return StoreFault("full", "the server's memory is full")
    if isinstance(error, AuthenticationError):
        return StoreFault("auth", "the server refuses the user or the password")
    if isinstance(error, MovedError):
        return StoreFault("topology", "the server is one node of a Cluster")
    if isinstance(error, MaxConnectionsError):
        return StoreFault("other", "the server takes no more connections")
    lowered = text.lower()
    trouble: Trouble = next((kind for words, kind in _WORDS.items() if words in lowered), "other")
    return StoreFault(trouble, _TEXTS.get(trouble) or f"{type(error).__name__}: {_shown(text)}")


# Shown in place of the driver's texts: those name addresses, and Sentinel's prints a connection pool.
_TEXTS: Final[Mapping[Trouble, str]] = {
    "name": "the host's name is not known",
    "refused": "nothing accepts connections there",
    "timeout": "no connection, or no answer, in time",
    "tls": "the TLS handshake failed",
    "auth": "the server wants a user or a password",
    "database": "the server has no database of that number",
}


def _shown(text: str) -> str:
    return one_safe_line(text.partition(" : <")[0], limit=160)
