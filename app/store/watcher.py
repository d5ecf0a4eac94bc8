"""Writes to every node of the store again and again: this renews our lease, and shows which nodes are well.

A probe writes, since a full or read-only server answers a ping. Each node has its probes for itself, so that
a silent one delays nothing at the others.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

from app.store import keys
from app.store.execution import Command, Executor, Health
from app.store.faults import DRIVER_ERRORS

# Seconds between two probes of a node: more while it is well, fewer while callers get 503s. Each probe renews
# the lease, and ``leases.SILENCE_SECONDS`` is made of this.
WATCH_UP_SECONDS: Final = 0.75
WATCH_DOWN_SECONDS: Final = 0.25
# A write that succeeded and began so long ago, in seconds, still shows that a node takes writes. So a process
# that is asked ever so often whether it is ready sends a node ten probes a second for that.
FRESH_SECONDS: Final = 0.1
# A lease outlives the switch to a new primary. That its process has died is seen long before its end.
_LIFE_MS: Final = 10_000


class Watcher:
    """Probes the nodes.

    Args:
        health: is told what became of each probe.
        process: the name of this process's lease.
        timeout: of one probe, in seconds.
    """

    def __init__(self, executor: Executor, health: Health, *, process: str, timeout: float) -> None:
        self._executor = executor
        self._health = health
        self._process = process
        self._timeout = timeout
        self._renewals = 0
        # Whether the events have a watcher, at any replica, as of the last probe.
        self.watched = False
        self._probes: dict[str, asyncio.Task[None]] = {}
        # When the last probe of a node that succeeded began, by the loop's clock.
        self._took: dict[str, float] = {}
        self._due: dict[str, float] = {}
        self._news = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        health.listeners.append(self._news.set)

    async def probe(self) -> None:
        """Probe the nodes that are well, or all where none is."""
        await asyncio.gather(*(self._probe(node) for node in self._asked()))

    async def look(self) -> None:
        """Do the same, but leave out nodes that took a write a moment ago.

        Who asks while a probe is under way waits for that one.
        """
        since = asyncio.get_running_loop().time() - FRESH_SECONDS
        stale = [node for node in self._asked() if self._took.get(node, since) <= since]
        # A caller that leaves ends no probe.
        await asyncio.gather(*(asyncio.shield(self._begin(node)) for node in stale))

    def _asked(self) -> Sequence[str]:
        nodes = self._executor.nodes
        return [node for node in nodes if node not in self._health.down] or list(nodes)

    def start(self) -> None:
        """Begin to watch in the background."""
        self._watching = asyncio.create_task(self._watch(), name="store-watcher")

    async def close(self) -> None:
        """Stop watching."""
        tasks = [*self._probes.values(), *([self._watching] if self._watching is not None else ())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, node: str) -> asyncio.Task[None]:
        """The probe of this node that is under way, or a new one."""
        if node not in self._probes:
            self._probes[node] = asyncio.create_task(self._watch_one(node), name="store-probe")
        return self._probes[node]

    async def _probe(self, node: str) -> None:
        commands, began = self._commands(node), asyncio.get_running_loop().time()
        try:
            wrote, *looked = await self._executor.run(commands, timeout=self._timeout)
            if isinstance(wrote, Exception):
                raise wrote
        except DRIVER_ERRORS as error:
            # The executor knows better whether the node is silent or this process was slow.
            if not (type(error) is TimeoutError and self._executor.notices_silence):
                self._health.failed(self._executor.node_of(commands[0]), error)
        else:
            self._health.well(self._executor.node_of(commands[0]))
            self._took[node] = began
            if looked:
                self.watched = looked[0] == 1

    def _commands(self, node: str) -> list[Command]:
        """A write to the node, and the look for a watcher of the events where that is at the same node."""
        self._renewals += 1
        write: Command = ("SET", keys.lease(self._process), self._renewals, "PX", _LIFE_MS)
        if self._executor.node_of(write) != node:
            write = ("SET", self._executor.key_at(node, keys.probe), self._process, "PX", _LIFE_MS)
        look: Command = ("EXISTS", keys.watch())
        return [write, look] if self._executor.node_of(look) == node else [write]

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            nodes = [*self._executor.nodes]
            self._due = {node: self._due.get(node, 0.0) for node in nodes}
            for node in nodes:
                if node not in self._probes and self._due_at(node) <= loop.time():
                    self._due[node] = loop.time() + WATCH_UP_SECONDS
                    self._begin(node)
            self._news.clear()
            waiting = [self._due_at(node) for node in nodes if node not in self._probes]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(min(waiting, default=None)):
                    await self._news.wait()

    def _due_at(self, node: str) -> float:
        due = self._due[node]
        return due - (WATCH_UP_SECONDS - WATCH_DOWN_SECONDS) if node in self._health.down else due

    async def _watch_one(self, node: str) -> None:
        try:
            await self._probe(node)
        finally:
            self._probes.pop(node, None)
            self._news.set()
