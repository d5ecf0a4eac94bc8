"""Which nodes of the store are well: each server that takes writes has its own flag."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final

import structlog

from app.telemetry.redaction import one_safe_line

log = structlog.get_logger("cloakroom.store")

# A store that is no Cluster has one node, whichever server it is at the time.
PRIMARY: Final = "primary"


class Health:
    """The nodes that are known to be down, by name, and whether each is only silent."""

    def __init__(self) -> None:
        # True for a node that is only silent: it is well again with the first byte that it sends.
        self._down: dict[str, bool] = {}
        # The nodes that are down, by name. Every request looks here several times.
        self.down: Final[Mapping[str, bool]] = self._down
        # Called after each change.
        self.listeners: list[Callable[[], None]] = []

    def is_silent(self, node: str) -> bool:
        """Whether the node is down because it sends nothing."""
        return self._down.get(node, False)

    def failed(self, node: str, error: Exception) -> None:
        """The node is gone, or refuses its work: only a probe that succeeds shows that it is well again."""
        self._note(node, error, silent=False)

    def silent(self, node: str, seconds: float) -> None:
        """The node owes replies and has sent nothing for so long."""
        if node not in self._down:
            self._note(node, TimeoutError(f"no reply for {seconds:g} s"), silent=True)

    def heard(self, node: str) -> None:
        """The node has sent something."""
        if self.is_silent(node):
            self.well(node)

    def well(self, node: str) -> None:
        """The node has taken a write."""
        if self._down.pop(node, None) is not None:
            log.warning("store_up", node=node)
            self._changed()

    def forget_others(self, nodes: Collection[str]) -> None:
        """Other nodes than these take no writes any more."""
        for gone in [node for node in self._down if node not in nodes]:
            del self._down[gone]
            log.warning("store_node_gone", node=gone)
            self._changed()

    def _note(self, node: str, error: Exception, *, silent: bool) -> None:
        known = node in self._down
        self._down[node] = silent
        if not known:
            log.error("store_down", node=node, error=described(error))
            self._changed()

    def _changed(self) -> None:
        for listener in self.listeners:
            listener()


class NodeListener:
    """Tells the health of one node what its connection hears."""

    def __init__(self, health: Health, node: str, seconds: float) -> None:
        self._health = health
        self._node = node
        self._seconds = seconds

    def silent(self) -> None:
        self._health.silent(self._node, self._seconds)

    def heard(self) -> None:
        self._health.heard(self._node)


def described(error: Exception) -> str:
    """One line for the log, without secrets."""
    return one_safe_line(f"{type(error).__name__}: {error}", limit=200)
