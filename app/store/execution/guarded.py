"""The breaker: a node that is known to be down is not asked, and what a failure says of a node is noted."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

import structlog

from app.store.errors import (
    AskError,
    ClusterDownError,
    NoScriptError,
    ResponseError,
    TryAgainError,
)
from app.store.errors import ConnectionError as RedisConnectionError
from app.store.execution.executors import Executor
from app.store.execution.health import Health, described
from app.store.execution.multiplexed import Command
from app.store.faults import DRIVER_ERRORS

log = structlog.get_logger("cloakroom.store")

# The node failed, and not what it was asked for.
NODE_ERRORS: Final = (RedisConnectionError, ClusterDownError, OSError)
# One command was refused: it was malformed, or its slot is just moving. The node is well.
_ONE_COMMAND: Final = (ResponseError, AskError, TryAgainError)
# How many names are tried for one at a node that is up: enough for one node in fifty.
_PLACES: Final = 256

InFull = Callable[[int], Command]


class KnownDown(RedisConnectionError):
    """In the place of a reply: the node is known to be down, and was not asked."""


class Guarded:
    """Runs commands at the nodes that are up."""

    def __init__(self, executor: Executor, health: Health) -> None:
        self._executor = executor
        self._health = health
        self._replied = 0.0

    @property
    def up(self) -> bool:
        """False while every node is known to be down."""
        return not self._health.down or any(self.nodes.values())

    @property
    def nodes(self) -> Mapping[str, bool]:
        """Each node that takes writes by its name, and whether it is up."""
        return {node: node not in self._health.down for node in self._executor.nodes}

    def is_up(self, key: str, *, patient: bool = False) -> bool:
        """Whether the key's node is not known to be down; for a patient caller it may be silent."""
        return not self._health.down or self._is_asked(("GET", key), patient)

    def place(self, make: Callable[[], str], key_of: Callable[[str], str]) -> str:
        """Return one of the ids that ``make`` returns: one whose key's node is up, where there is one."""
        made = make()
        for _ in range(_PLACES if self._health.down else 0):
            if self.is_up(key_of(made)):
                break
            made = make()
        return made

    def run(
        self,
        commands: Sequence[Command],
        *,
        timeout: float,
        patient: bool = False,
        in_full: InFull | None = None,
    ) -> Coroutine[Any, Any, list[Any]]:
        """The reply to each command, or the error in its place: one that is refused fails no other one.

        Args:
            patient: also ask nodes that are only silent, since they may speak again in time.
            in_full: the command at a place with its script's text, for a server that has forgotten it.
        """
        if self._health.down:
            asked = [at for at, command in enumerate(commands) if self._is_asked(command, patient)]
            if len(asked) < len(commands):
                return self._run_some(commands, asked, timeout, in_full)
        return self._run_all(commands, timeout, in_full)

    def _is_asked(self, command: Command, patient: bool) -> bool:
        node = self._executor.node_of(command)
        return node not in self._health.down or (patient and self._health.is_silent(node))

    async def _run_all(
        self, commands: Sequence[Command], timeout: float, in_full: InFull | None
    ) -> list[Any]:
        started = time.monotonic()
        try:
            replies = await self._executor.run(commands, timeout=timeout)
        except DRIVER_ERRORS as error:
            self._note_at_all(commands, error, started)
            return [error] * len(commands)
        failed = [at for at, reply in enumerate(replies) if isinstance(reply, Exception)]
        if failed and in_full is not None:
            failed = await self._run_in_full(replies, failed, in_full, timeout)
        for at in failed:
            self._note(self._executor.node_of(commands[at]), replies[at], started)
        if len(failed) < len(replies):
            self._replied = time.monotonic()
        return replies

    async def _run_some(
        self, commands: Sequence[Command], asked: Sequence[int], timeout: float, in_full: InFull | None
    ) -> list[Any]:
        """The same where the nodes of the other commands are known to be down."""
        replies: list[Any] = [KnownDown("known to be down") for _ in commands]
        if asked:
            texts = (lambda place: in_full(asked[place])) if in_full is not None else None
            found = await self._run_all([commands[at] for at in asked], timeout, texts)
            for at, reply in zip(asked, found, strict=True):
                replies[at] = reply
        return replies

    async def _run_in_full(
        self, replies: list[Any], failed: list[int], in_full: InFull, timeout: float
    ) -> list[int]:
        """Run the scripts that a server has forgotten; return the places of what failed then."""
        forgotten = [at for at in failed if isinstance(replies[at], NoScriptError)]
        if forgotten:
            try:
                again = await self._executor.run([in_full(at) for at in forgotten], timeout=timeout)
            except DRIVER_ERRORS as error:
                again = [error] * len(forgotten)
            for at, reply in zip(forgotten, again, strict=True):
                replies[at] = reply
        return [at for at in failed if isinstance(replies[at], Exception)]

    def _note_at_all(self, commands: Sequence[Command], error: Exception, started: float) -> None:
        """Nothing was answered. In a Cluster that says nothing of any one node."""
        if len(self._executor.nodes) == 1:
            self._note(self._executor.node_of(commands[0]), error, started)
        else:
            log.warning("store_slow", error=described(error))

    def _note(self, node: str, error: Exception, started: float) -> None:
        # A plain error reply concerns one key or one script, and one broken record must not stop every
        # caller. The watcher's write finds a failure of the whole server.
        if type(error) in _ONE_COMMAND:
            log.error("store_error_reply", error=described(error))
        # A hung server answers no caller. If others got answers meanwhile, this process was slow.
        elif type(error) is TimeoutError and (self._executor.notices_silence or self._replied > started):
            if node not in self._health.down:
                log.warning("store_slow", node=node)
        else:
            self._health.failed(node, error)
