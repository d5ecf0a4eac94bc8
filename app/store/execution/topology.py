"""Which primary of a Cluster has which slot, learnt from the nodes themselves."""

from __future__ import annotations

import asyncio
import random
from binascii import crc_hqx
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, Final

from app.store.errors import ConnectionError as RedisConnectionError
from app.store.execution.reconnecting import Address

SLOTS: Final = 16_384
# So many nodes are asked at once.
_ASKED: Final = 3
# For their answers.
_ANSWER_SECONDS: Final = 0.3

# Asks one node for ``CLUSTER SLOTS`` within some seconds, and returns the reply; None where there is none.
Ask = Callable[[str, float], Awaitable[Any]]


def name_of(address: Address) -> str:
    """A node's name, as in the log: host and port."""
    return f"{address[0]}:{address[1]}"


def address_of(name: str) -> Address:
    """The address that a name was made of."""
    host, _, port = name.rpartition(":")
    return host, int(port)


def slot_of(key: str) -> int:
    """The slot of a key, by the Cluster's specification: of what its first braces hold, or of all of it."""
    tag, closed, _ = key.partition("{")[2].partition("}")
    return crc_hqx((tag if closed and tag else key).encode(), 0) % SLOTS


class Topology:
    """The slots of a Cluster. It is empty until ``learn`` has succeeded.

    Args:
        seeds: nodes to ask first.
    """

    def __init__(self, seeds: Sequence[Address]) -> None:
        self._seeds = [name_of(seed) for seed in seeds]
        self._owners: list[str | None] = [None] * SLOTS
        # The names of the nodes that have slots.
        self.primaries: Collection[str] = ()
        self._replicas: set[str] = set()

    def owner(self, key: str) -> str | None:
        """The name of the primary that has the key's slot; None where none is known."""
        return self._owners[slot_of(key)]

    def move(self, key: str, to: str) -> None:
        """A node has said that the key's slot is at another one now."""
        self._owners[slot_of(key)] = to
        if to not in self.primaries:
            self.primaries = (*self.primaries, to)

    async def learn(self, ask: Ask, *, down: Collection[str]) -> None:
        """Ask primaries that are well for the slots, and all nodes where none of those answers.

        A primary that was silent for long may not know that its slots have gone, so it is not asked first. Of
        several answers the one counts that leaves fewest slots to nodes that are down.

        Raises:
            ConnectionError: the driver's; no node answers as one of a Cluster.
        """
        well = [name for name in self.primaries if name not in down]
        views = await _views(ask, random.sample(well, min(_ASKED, len(well))))
        if not views:
            views = await _views(ask, [*{*self._seeds, *self._replicas, *self.primaries}])
        if not views:
            raise RedisConnectionError("no node of the cluster answers")
        self._take(min(views, key=lambda view: _slots_of(view, down)))

    def _take(self, view: _View) -> None:
        owners: list[str | None] = [None] * SLOTS
        for first, last, primary, _ in view:
            owners[first : last + 1] = [primary] * (last + 1 - first)
        self._owners = owners
        self.primaries = tuple(dict.fromkeys(primary for _, _, primary, _ in view))
        self._replicas = {replica for _, _, _, replicas in view for replica in replicas}


# First and last slot, the primary's name, its replicas' names.
_View = list[tuple[int, int, str, list[str]]]


async def _views(ask: Ask, names: Sequence[str]) -> list[_View]:
    replies = await asyncio.gather(*(ask(name, _ANSWER_SECONDS) for name in names))
    return [_read(reply, asked) for reply, asked in zip(replies, names, strict=True) if reply]


def _read(reply: Any, asked: str) -> _View:
    host, _ = address_of(asked)
    return [
        (int(first), int(last), _name(nodes[0], host), [_name(node, host) for node in nodes[1:]])
        for first, last, *nodes in reply
    ]


def _name(node: Sequence[Any], asked_host: str) -> str:
    # A node that does not know its host leaves it to the one who reached it.
    host = node[0] if node[0] not in (None, "", "?") else asked_host
    return name_of((str(host), int(node[1])))


def _slots_of(view: _View, nodes: Collection[str]) -> int:
    return sum(last + 1 - first for first, last, primary, _ in view if primary in nodes)
