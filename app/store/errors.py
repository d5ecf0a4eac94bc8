"""What a server answers in place of a reply, and how a connection fails: redis-py's errors, by its names.

They are our own because a replica loads redis-py, which takes 6 MB, only for what goes through its client.
There ``redis_py`` makes these of its errors.
"""

from __future__ import annotations


class RedisError(Exception):
    """The store failed, or refused a command."""


class ConnectionError(RedisError):  # noqa: A001 - logs and doctor show it by redis-py's name
    """There is no connection, or it was lost."""


class TimeoutError(RedisError):  # noqa: A001 - shown by redis-py's name, too
    """The driver's own deadline has passed."""


class AuthenticationError(ConnectionError):
    """The server refuses the user or the password."""


class BusyLoadingError(ConnectionError):
    """The server reads its data from the disk."""


class MaxConnectionsError(ConnectionError):
    """The driver's pool has no connection left."""


class ResponseError(RedisError):
    """The server refused a command."""


class NoPermissionError(ResponseError):
    """The user may not do that."""


class NoScriptError(ResponseError):
    """The server does not have the script, or has forgotten it."""


class OutOfMemoryError(ResponseError):
    """The server's memory is full."""


class ReadOnlyError(ResponseError):
    """The server is a replica."""


class ClusterCrossSlotError(ResponseError):
    """The keys of a command lie in several slots."""


class TryAgainError(ResponseError):
    """The keys' slot is just moving."""


class ClusterDownError(ResponseError):
    """The Cluster does not serve the slot."""


class MasterDownError(ClusterDownError):
    """The server is a replica without its primary."""


class AskError(ResponseError):
    """For this command the slot is at ``address``: host and port. The text is ``slot host:port``."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        host, _, port = text.partition(" ")[2].rpartition(":")
        self.address = host, int(port)


class MovedError(AskError):
    """From now on the slot is there."""


class RedisClusterException(RedisError):
    """The driver finds no Cluster."""


class SlotNotCoveredError(RedisClusterException):
    """No node that the driver knows has the slot."""
