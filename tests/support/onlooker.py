"""Clients of the tests themselves, which look into the store or break it as its default user.

The driver gives up on a server after five seconds. A busy machine needs longer, so these are patient.
"""

from __future__ import annotations

from typing import Any, Final

import redis
import redis.asyncio

from tests.support.clocks import PATIENCE

_PATIENT: Final[dict[str, Any]] = {"socket_timeout": PATIENCE, "socket_connect_timeout": PATIENCE}


def onlooker(url: str, *, decode: bool = True, **more: Any) -> redis.Redis:
    """A client for code that blocks; a context that closes itself. ``decode``: replies are str."""
    return redis.Redis.from_url(url, decode_responses=decode, **_PATIENT, **more)


def async_onlooker(url: str, *, decode: bool = True, **more: Any) -> Any:
    """The same for a loop. Untyped, since the driver's types are those of both kinds at once."""
    return redis.asyncio.Redis.from_url(url, decode_responses=decode, **_PATIENT, **more)
