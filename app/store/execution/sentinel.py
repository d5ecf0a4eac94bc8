"""Asks Sentinels where the primary is, all of them at once.

The driver asks one after another, and one that is gone ten times with growing pauses. A Sentinel that is
silent, or died together with the primary beside it, then costs more time than a request has, at every try.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from app.store.errors import ConnectionError as RedisConnectionError
from app.store.execution.multiplexed import MultiplexedConnection, packed
from app.store.execution.reconnecting import Address
from app.store.faults import DRIVER_ERRORS

# For one Sentinel's answer.
_ANSWER_SECONDS: Final = 0.5
# Once a Sentinel has answered, the others get this long: one may have heard of a later switch.
_MORE_SECONDS: Final = 0.05
# Not "disconnected": for a second after a switch a Sentinel has no link to the new primary yet.
_NOT_WELL: Final = frozenset({"s_down", "o_down"})


class SentinelPrimary:
    """Where the primary of a service is.

    Args:
        sentinels: any of those that watch the service.
    """

    def __init__(self, sentinels: Sequence[Address], service: str) -> None:
        self._sentinels = sentinels
        self._question = packed([("SENTINEL", "MASTER", service)])
        self._service = service

    async def find(self) -> Address:
        """The primary's address, by the latest configuration that a Sentinel knows.

        Raises:
            ConnectionError: the driver's; no Sentinel knows a primary that is well.
        """
        asked = [asyncio.create_task(self._ask(sentinel)) for sentinel in self._sentinels]
        found: list[tuple[int, Address]] = []
        pending = set(asked)
        try:
            wait = _ANSWER_SECONDS
            while pending:
                answered, pending = await asyncio.wait(
                    pending, timeout=wait, return_when=asyncio.FIRST_COMPLETED
                )
                if not answered:
                    break
                news = [task.result() for task in answered]
                found += [one for one in news if one is not None]
                if found:
                    wait = _MORE_SECONDS
        finally:
            for task in pending:
                task.cancel()
        if not found:
            raise RedisConnectionError(f"No master found for {self._service!r}")
        return max(found)[1]

    async def _ask(self, sentinel: Address) -> tuple[int, Address] | None:
        """The configuration's epoch and the primary; None where this Sentinel knows none that is well."""
        connection: MultiplexedConnection | None = None
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                loop = asyncio.get_running_loop()
                _, connection = await loop.create_connection(MultiplexedConnection, *sentinel)
                (reply,) = await connection.send(self._question, 1, deadline=loop.time() + _ANSWER_SECONDS)
        except DRIVER_ERRORS:
            return None
        finally:
            if connection is not None:
                connection.close()
        return _read(reply)


def _read(reply: Any) -> tuple[int, Address] | None:
    """The fields come as a flat list: name, value, and so on."""
    if not isinstance(reply, list):
        return None
    told: Mapping[str, str] = dict(zip(reply[::2], reply[1::2], strict=False))
    flags = set(told.get("flags", "").split(","))
    if "master" not in flags or flags & _NOT_WELL:
        return None
    return int(told.get("config-epoch", 0)), (told["ip"], int(told["port"]))
