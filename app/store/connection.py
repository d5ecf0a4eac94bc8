"""The connection to the store: deadlines, the breaker of each node, and the edge where driver errors end.

Nothing above ``app.store`` sees the errors of the store: every failure of the store is
``StoreUnavailable``. A node that failed is *known to be down*: what needs it fails at once, until it has
taken a write again. The other nodes of a Cluster serve meanwhile.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from app.store.execution import (
    NODE_ERRORS,
    AcknowledgedWrites,
    Acknowledgement,
    Command,
    Guarded,
    Health,
    acknowledged_for,
    executor_for,
)
from app.store.execution.driver import Client
from app.store.faults import DRIVER_ERRORS, unavailable
from app.store.scripts import Script, ScriptCall, by_sha1, in_full
from app.store.watcher import Watcher

if TYPE_CHECKING:
    from app.store.redis_py import Subscription


class StoreConnection:
    """Runs store operations, each under one deadline, and knows which nodes of the store are up.

    Args:
        client: from ``driver.connect``.
        replica: this replica's name, the first part of ``process``.
        timeout: deadline of one operation in seconds, with the wait for a connection and the retry. A server
            that owes a reply and sends nothing for so long is known to be down.
        patience: deadline of an operation that is *patient*, in seconds: its caller has more time, and the
            server may only be slow. At least ``timeout``, which is the default.
        max_connections: operations at once; the size of the driver's pool.
    """

    def __init__(
        self,
        client: Client,
        *,
        replica: str,
        timeout: float,
        patience: float = 0.0,
        max_connections: int = 64,
    ) -> None:
        self._client = client
        self.credentials: Final = client.credentials
        self.health: Final = Health()
        self._executor = executor_for(
            client, max_connections=max_connections, health=self.health, silence=timeout
        )
        self._guarded = Guarded(self._executor, self.health)
        self.clustered: Final = client.clustered
        self._timeout = timeout
        self._patience = max(patience, timeout)
        # Repeats writes that other writes do not depend on. Without it their failure is the operation's.
        self.later: Callable[[LateWrites], None] | None = None
        # The name of this process's lease. A process that is started again has another one.
        self.process: Final = f"{replica}.{secrets.token_hex(6)}"
        self._watcher = Watcher(self._executor, self.health, process=self.process, timeout=timeout)

    # --- which nodes are up -----------------------------------------------------------------------------

    @property
    def up(self) -> bool:
        """False while every node is known to be down."""
        return self._guarded.up

    @property
    def nodes(self) -> Mapping[str, bool]:
        """Each node that takes writes by its name, and whether it is up."""
        return self._guarded.nodes

    @property
    def elsewhere(self) -> bool:
        """Whether a node may take what another one did not."""
        return self.clustered and len(self._executor.nodes) > 1 and self.up

    def require_up(self, key: str | None = None) -> None:
        """Do nothing unless the key's node is known to be down; without a key, unless every node is.

        Raises:
            StoreUnavailable: it is known to be down; raised at once.
        """
        if self.health.down and not (self._guarded.up if key is None else self._guarded.is_up(key)):
            raise unavailable()

    def place(self, make: Callable[[], str], key_of: Callable[[str], str]) -> str:
        """Return one of the ids that ``make`` returns: one whose key's node is up, where there is one."""
        return self._guarded.place(make, key_of)

    @property
    def watched(self) -> bool:
        """Whether the events have a watcher, at any replica, as of the last probe."""
        return self._watcher.watched

    @watched.setter
    def watched(self, watched: bool) -> None:
        self._watcher.watched = watched

    async def probe(self, *, at_once: bool = True) -> bool:
        """Write to the nodes, which renews the lease, and return whether the store is up.

        Without ``at_once`` a write of the last tenth of a second will do, so that many who ask cost few.
        """
        await (self._watcher.probe() if at_once else self._watcher.look())
        return self.up

    # --- operations -------------------------------------------------------------------------------------

    async def run_script(
        self, script: Script, key_names: Sequence[str], *args: str | int, patient: bool = False
    ) -> Any:
        """Run a script in one round trip; in two after the server forgot it (a restart, a failover).

        Raises:
            StoreUnavailable: no reply in time, or none that makes sense.
        """
        call = (script, key_names, args)
        replies = await self._run([by_sha1(call)], [call], patient=patient)
        _raise_first(replies)
        return replies[0]

    async def run_scripts(self, *calls: ScriptCall, patient: bool = False) -> list[Any]:
        """Run scripts in one round trip, each for itself (no transaction), and return their replies.

        Those that the server forgot run again, and no others.

        Raises:
            StoreUnavailable: no reply in time, or none that makes sense.
        """
        commands = [by_sha1(call) for call in calls]
        replies = await self._run(commands, calls, patient=patient) if calls else []
        _raise_first(replies)
        return replies

    async def run_first(self, call: ScriptCall, *beside: ScriptCall, patient: bool = False) -> Any:
        """Run scripts in one round trip, and return the first one's reply, which has to be there.

        The others may lie at other nodes of a Cluster. What these do not take goes to ``later``.

        Raises:
            StoreUnavailable: the first one was not taken, or another one was refused.
        """
        if not self._guarded.is_up(call[1][0], patient=patient):
            raise unavailable()
        calls = (call, *beside)
        first, *others = await self._run([by_sha1(one) for one in calls], calls, patient=patient)
        _raise_first([first])
        self._repeat_later(beside, others)
        return first

    async def run_beside(self, *calls: ScriptCall) -> None:
        """Run scripts in one round trip. What their nodes of a Cluster do not take goes to ``later``.

        Raises:
            StoreUnavailable: one of them was refused.
        """
        self._repeat_later(calls, await self._run([by_sha1(call) for call in calls], calls))

    def _repeat_later(self, calls: Sequence[ScriptCall], replies: Sequence[Any]) -> None:
        failed = [at for at, reply in enumerate(replies) if isinstance(reply, Exception)]
        if not failed:
            return
        late = [at for at in failed if isinstance(replies[at], NODE_ERRORS)]
        if self.later is None or len(late) < len(failed):
            raise unavailable() from replies[failed[0]]
        self.later(LateWrites(self, [calls[at] for at in late]))

    async def run_each(self, calls: Sequence[ScriptCall]) -> list[ScriptCall]:
        """Run scripts in one round trip, and return those that were not taken."""
        replies = await self._run([by_sha1(call) for call in calls], calls)
        return [call for call, reply in zip(calls, replies, strict=True) if isinstance(reply, Exception)]

    def by_slot(self, names: Sequence[str]) -> list[Sequence[str]]:
        """Keys in groups that one script may touch: all on one server, each for itself in a Cluster."""
        return [(name,) for name in names] if self.clustered else [names]

    async def run_together(self, *commands: Command, patient: bool = False) -> list[Any]:
        """Send commands in one round trip, each for itself (no transaction), and return their replies.

        Raises:
            StoreUnavailable: no reply in time, or one of the commands failed.
        """
        replies = await self._run(commands, patient=patient) if commands else []
        _raise_first(replies)
        return replies

    async def tell(self, *commands: Command) -> bool:
        """Send commands that nothing depends on. Their failure does not mark a node as down.

        Returns whether all of them were taken.
        """
        if not self.up:
            return False
        try:
            replies = await self._executor.run(commands, timeout=self._timeout)
        except DRIVER_ERRORS:
            return False
        return not any(isinstance(reply, Exception) for reply in replies)

    async def ask(self, command: Command) -> Any:
        """Send one command whose failure does not mark a node as down, and return its reply.

        Raises:
            StoreUnavailable: no reply in time, or a refusal.
        """
        if self._executor.node_of(command) in self.health.down:
            raise unavailable()
        try:
            (reply,) = await self._executor.run([command], timeout=self._timeout)
        except DRIVER_ERRORS as error:
            raise unavailable() from error
        _raise_first([reply])
        return reply

    async def load_driver(self) -> None:
        """Have the driver loaded: the first subscription needs it, which takes a moment."""
        await self._client.load_driver()

    async def subscription(self) -> Subscription:
        """A pub/sub client of the driver, on a separate connection. The caller closes it."""
        return await self._client.subscription()

    def acknowledged(self, wanted: Acknowledgement) -> AcknowledgedWrites:
        """Writes that replicas must have, on connections apart. The caller closes it.

        Raises:
            ValueError: the store has no replicas.
        """
        return acknowledged_for(self._client, wanted)

    # --- its life ---------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to watch the store in the background."""
        self._watcher.start()

    async def close(self) -> None:
        """Stop watching and close every connection."""
        await self.release()
        with contextlib.suppress(*DRIVER_ERRORS):
            await self._client.close()

    async def release(self) -> None:
        """Close the connections that this object holds. The client stays open for its other users."""
        await self._watcher.close()
        with contextlib.suppress(*DRIVER_ERRORS):
            await self._executor.close()

    def _run(
        self, commands: Sequence[Command], calls: Sequence[ScriptCall] = (), *, patient: bool = False
    ) -> Coroutine[Any, Any, list[Any]]:
        """The reply to each command, or the error in its place. ``calls`` are the scripts that they name."""
        return self._guarded.run(
            commands,
            timeout=self._patience if patient else self._timeout,
            patient=patient,
            in_full=(lambda at: in_full(calls[at])) if calls else None,
        )


class LateWrites:
    """Scripts that the store has not taken yet. Each call runs those that are left; it may be repeated."""

    def __init__(self, connection: StoreConnection, calls: Sequence[ScriptCall]) -> None:
        self._connection = connection
        self._left = calls

    async def __call__(self) -> None:
        """Run them.

        Raises:
            StoreUnavailable: some are still left.
        """
        self._left = await self._connection.run_each(self._left)
        if self._left:
            raise unavailable()


def _raise_first(replies: Sequence[Any]) -> None:
    for reply in replies:
        if isinstance(reply, Exception):
            raise unavailable() from reply
