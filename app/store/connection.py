"""The connection to the store: its deadline, its breaker, and the edge where driver errors end.

Nothing above ``app.store`` imports redis or sees its exceptions: every failure of the store is
``StoreUnavailable``. After one failed operation the store is *known to be down*: further operations fail at
once, until the watcher's probe has written to the store again.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Sequence
from typing import Any, Final

import structlog
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import NoScriptError, ResponseError

from app.errors import StoreUnavailable
from app.store import keys
from app.store.driver import Client, close, subscription
from app.store.execution import AcknowledgedWrites, Acknowledgement, Command, acknowledged_for, executor_for
from app.store.faults import DRIVER_ERRORS
from app.store.scripts import Script
from app.telemetry.redaction import one_safe_line

log = structlog.get_logger("cloakroom.store")

# A script, its KEYS and its ARGV.
ScriptCall = tuple[Script, Sequence[str], Sequence[str | int]]

# Seconds between two probes: more while the store is up, fewer while callers get 503s. Each probe renews the
# lease, and ``leases.SILENCE_SECONDS`` is made of this.
WATCH_UP_SECONDS: Final = 0.75
WATCH_DOWN_SECONDS: Final = 0.25
RETRY_AFTER_SECONDS: Final = 1
# A lease outlives the switch to a new primary. That its process has died is seen long before its end.
_LEASE_LIFE_MS: Final = 10_000
_DOWN_MESSAGE: Final = "The token store cannot be reached just now. Try again shortly."


class StoreConnection:
    """Runs store operations, each under one deadline, and knows whether the store is up.

    Args:
        client: the driver's client, from ``driver.connect``.
        replica: this replica's name, the first part of ``process``.
        timeout: deadline of one operation in seconds, with the wait for a connection and the retry.
        max_connections: operations at once; the size of the driver's pool.
    """

    def __init__(self, client: Client, *, replica: str, timeout: float, max_connections: int = 64) -> None:
        self._client = client
        self._executor = executor_for(client, max_connections=max_connections)
        self._clustered = isinstance(client, RedisCluster)
        self._timeout = timeout
        # The name of this process's lease. A process that is started again has another one.
        self.process: Final = f"{replica}.{secrets.token_hex(6)}"
        self._renewals = 0
        # Whether the events have a watcher, at any replica, as of the last probe.
        self.watched = False
        self._down = False
        self._replied = 0.0
        self._watcher: asyncio.Task[None] | None = None

    @property
    def up(self) -> bool:
        """False while the store is known to be down."""
        return not self._down

    def require_up(self) -> None:
        """Do nothing unless the store is known to be down.

        Raises:
            StoreUnavailable: it is known to be down; raised at once.
        """
        if self._down:
            raise _unavailable()

    async def run_script(self, script: Script, key_names: Sequence[str], *args: str | int) -> Any:
        """Run a script in one round trip; in two after the server forgot it (a restart, a failover).

        Raises:
            StoreUnavailable: no reply in time, or none that makes sense.
        """
        (reply,) = await self.run_scripts((script, key_names, args))
        return reply

    async def run_scripts(self, *calls: ScriptCall) -> list[Any]:
        """Run scripts in one round trip, each for itself (no transaction), and return their replies.

        Those that the server forgot run again, and no others.

        Raises:
            StoreUnavailable: no reply in time, or none that makes sense.
        """
        return await self._run([by_sha1(call) for call in calls], calls)

    def by_slot(self, names: Sequence[str]) -> list[Sequence[str]]:
        """Keys in groups that one script may touch: all on one server, each for itself in a Cluster."""
        return [(name,) for name in names] if self._clustered else [names]

    async def run_together(self, *commands: Command) -> list[Any]:
        """Send commands in one round trip, each for itself (no transaction), and return their replies.

        Raises:
            StoreUnavailable: no reply in time, or one of the commands failed.
        """
        return await self._run(commands, ())

    async def tell(self, *commands: Command) -> bool:
        """Send commands that nothing depends on. Their failure does not mark the store as down.

        Returns whether all of them were taken.
        """
        if self._down:
            return False
        try:
            replies = await self._executor.run(commands, timeout=self._timeout)
        except DRIVER_ERRORS:
            return False
        return not any(isinstance(reply, Exception) for reply in replies)

    async def ask(self, command: Command) -> Any:
        """Send one command whose failure does not mark the store as down, and return its reply.

        Raises:
            StoreUnavailable: no reply in time, or a refusal.
        """
        self.require_up()
        try:
            replies = await self._executor.run([command], timeout=self._timeout)
            _raise_first(replies)
        except DRIVER_ERRORS as error:
            raise _unavailable() from error
        return replies[0]

    def subscription(self) -> Any:
        """A pub/sub client of the driver, on a separate connection. The caller closes it."""
        return subscription(self._client)

    def acknowledged(self, wanted: Acknowledgement) -> AcknowledgedWrites:
        """Writes that replicas must have, on connections apart. The caller closes it.

        Raises:
            ValueError: the store has no replicas.
        """
        return acknowledged_for(self._client, wanted)

    async def probe(self) -> bool:
        """Renew the lease and return whether that worked. A full or read-only server answers a ping."""
        self._renewals += 1
        try:
            write = ("SET", keys.lease(self.process), self._renewals, "PX", _LEASE_LIFE_MS)
            look = ("EXISTS", keys.watch())
            wrote, watched = await self._executor.run([write, look], timeout=self._timeout)
            _raise_first([wrote])
            self.watched = watched == 1
        except DRIVER_ERRORS as error:
            self._mark_down(error)
        else:
            if self._down:
                log.warning("store_up")
            self._down = False
        return self.up

    def start(self) -> None:
        """Begin to watch the store in the background."""
        self._watcher = asyncio.create_task(self._watch(), name="store-watcher")

    async def close(self) -> None:
        """Stop watching and close every connection."""
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher
        await self.release()
        with contextlib.suppress(*DRIVER_ERRORS):
            await close(self._client)

    async def release(self) -> None:
        """Close the connections that this object holds. The client stays open for its other users."""
        with contextlib.suppress(*DRIVER_ERRORS):
            await self._executor.close()

    async def _run(self, commands: Sequence[Command], calls: Sequence[ScriptCall]) -> list[Any]:
        """Run commands. ``calls`` are the scripts that they name, sent whole where the server forgot one."""
        if not commands:
            return []
        self.require_up()
        started = time.monotonic()
        try:
            replies = await self._executor.run(commands, timeout=self._timeout)
            for reply in replies:
                if isinstance(reply, Exception):
                    replies = await self._second_try(replies, calls)
                    break
        except DRIVER_ERRORS as error:
            raise self._failed(error, started) from error
        self._replied = time.monotonic()
        return replies

    async def _second_try(self, replies: list[Any], calls: Sequence[ScriptCall]) -> list[Any]:
        """Run the scripts that the server forgot, and raise what was refused for another reason."""
        forgotten = [at for at, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        whole = [in_full(calls[at]) for at in forgotten]
        again = await self._executor.run(whole, timeout=self._timeout) if whole else []
        for at, reply in zip(forgotten, again, strict=True):
            replies[at] = reply
        _raise_first(replies)
        return replies

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_DOWN_SECONDS if self._down else WATCH_UP_SECONDS)
            await self.probe()

    def _failed(self, error: Exception, started: float) -> StoreUnavailable:
        # A plain error reply concerns one key or one script, and one broken record must not stop every
        # caller. The watcher's write finds a failure of the whole server.
        if type(error) is ResponseError:
            log.error("store_error_reply", error=_describe(error))
        # A hung server answers no caller. If others got answers meanwhile, this process was slow.
        elif type(error) is TimeoutError and self._replied > started:
            log.warning("store_slow")
        else:
            self._mark_down(error)
        return _unavailable()

    def _mark_down(self, error: Exception) -> None:
        if not self._down:
            log.error("store_down", error=_describe(error))
        self._down = True


def by_sha1(call: ScriptCall) -> Command:
    """The script by its name, as long as the server knows it."""
    script, names, args = call
    return ("EVALSHA", script.sha1, len(names), *names, *args)


def in_full(call: ScriptCall) -> Command:
    """The script by its text."""
    script, names, args = call
    return ("EVAL", script.text, len(names), *names, *args)


def _raise_first(replies: Sequence[Any]) -> None:
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply


def _unavailable() -> StoreUnavailable:
    return StoreUnavailable(_DOWN_MESSAGE, retry_after=RETRY_AFTER_SECONDS)


def _describe(error: Exception) -> str:
    return one_safe_line(f"{type(error).__name__}: {error}", limit=200)
