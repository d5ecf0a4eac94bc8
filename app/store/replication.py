"""Writes that count only once replicas of the store have them, so that a failover does not undo them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import structlog

from app.errors import StoreNotReplicated, StoreUnavailable
from app.store.connection import StoreConnection
from app.store.errors import NoScriptError
from app.store.execution import Acknowledgement, Command, ReplicasBehind, Written
from app.store.faults import DRIVER_ERRORS, RETRY_AFTER_SECONDS, fault_of
from app.store.scripts import ScriptCall, by_sha1, in_full

log = structlog.get_logger("cloakroom.store")

_BEHIND: Final = "Too few replicas of the token store keep up just now. Try again shortly."
_NO_REPLY: Final = "The token store did not take the write in time. Try again shortly."


class Replication:
    """Runs scripts, and waits for replicas to have what they wrote.

    Args:
        connection: its health is asked for here, and never changed.
        wanted: what is waited for, and for how long.
        timeout: of the primary's replies, in seconds.

    Raises:
        ValueError: the store has no replicas.
    """

    def __init__(self, connection: StoreConnection, wanted: Acknowledgement, *, timeout: float) -> None:
        self._connection = connection
        self._wanted = wanted
        self._writes = connection.acknowledged(wanted)
        self._timeout = timeout
        self._short = False

    def require_replicas(self) -> None:
        """Do nothing unless it is known that a write would fail now.

        Raises:
            StoreNotReplicated: too few replicas have an earlier write; raised at once.
        """
        if self._writes.behind:
            raise _not_replicated(nothing_written=True)

    async def run(self, call: ScriptCall, *beside: ScriptCall, undo: Command | None = None) -> Any:
        """Run a script whose write has to be on enough replicas, and return its reply.

        Args:
            beside: scripts that run along. They are not waited for.
            undo: is tried once, where too few replicas have the write in time.

        Raises:
            StoreNotReplicated: too few replicas have it, or too few had an earlier write and nothing was run.
            StoreUnavailable: no reply in time, or none that makes sense.
        """
        self._connection.require_up()
        if beside and self._writes.spread:
            await self._connection.run_beside(*beside)
            beside = ()
        try:
            replies, replicas = await self._run((call, *beside))
        except ReplicasBehind:
            raise _not_replicated(nothing_written=True) from None
        except DRIVER_ERRORS as error:
            # Whether the store is down, the connection's probe and all other requests find out.
            log.warning("store_write_failed", error=fault_of(error).text)
            raise StoreUnavailable(_NO_REPLY, retry_after=RETRY_AFTER_SECONDS) from error
        if not self._enough(replicas):
            if undo is not None:
                await self._connection.tell(undo)
            raise _not_replicated()
        return replies[0]

    async def close(self) -> None:
        """End the connections."""
        await self._writes.close()

    async def _run(self, calls: Sequence[ScriptCall]) -> Written:
        _, (key, *_), _ = calls[0]
        written = await self._writes.run(key, [by_sha1(call) for call in calls], timeout=self._timeout)
        if any(isinstance(reply, NoScriptError) for reply in written.replies):
            # Those that the server knew run once more, as after a lost reply.
            try:
                written = await self._writes.run(
                    key, [in_full(call) for call in calls], timeout=self._timeout
                )
            except ReplicasBehind:
                if isinstance(written.replies[0], NoScriptError):
                    raise
        for reply in written.replies:
            if isinstance(reply, Exception):
                raise reply
        return written

    def _enough(self, replicas: int) -> bool:
        """Whether so many are enough. Logs when replicas fall behind, and when they keep up again."""
        enough = replicas >= self._wanted.replicas
        if enough is self._short:
            self._short = not enough
            log.warning("store_replicated" if enough else "store_not_replicated", replicas=replicas)
        return enough


def _not_replicated(*, nothing_written: bool = False) -> StoreNotReplicated:
    return StoreNotReplicated(_BEHIND, nothing_written=nothing_written, retry_after=RETRY_AFTER_SECONDS)
