"""What each replica has in force, told by itself every few seconds, so that any of them can show all.

The keys of the rings are remembered for longer than their replicas live: since when there is a key, and when
it was the first of its ring last. So a replica that starts knows what those before it have used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from app.store import keys
from app.store.connection import StoreConnection
from app.store.scripts import REPLICAS

# How often a replica says it, and how long it counts: two times may fail.
TELL_SECONDS: Final = 10.0
_COUNTS_MS: Final = 35_000
_REMEMBERED_MS: Final = 90 * 86_400_000
# In a replica's document: its warm pools, which ``app.broker.pool.overview`` writes and reads.
POOLS: Final = "pools"


@dataclass(frozen=True, slots=True)
class KeyMemory:
    """Seconds since a key was first seen, and since it was the first of its ring last; None: it never was."""

    seen_ago: float
    first_ago: float | None


@dataclass(frozen=True, slots=True)
class ReplicaKeys:
    """The documents of all replicas that told theirs lately, and what is remembered of keys, by name.

    ``ages`` are how many seconds ago each was told.
    """

    documents: Sequence[dict[str, Any]]
    memory: Mapping[str, KeyMemory]
    ages: Sequence[float]

    @property
    def aged(self) -> list[dict[str, Any]]:
        """The documents, each with its ``age``."""
        return [{**each, "age": age} for each, age in zip(self.documents, self.ages, strict=True)]

    def document(self) -> dict[str, Any]:
        """The answer of ``GET /admin/v1/keys``."""
        shown = [{name: each[name] for name in each if name != POOLS} for each in self.documents]
        return {
            "object": "keys",
            "replicas": sorted(shown, key=lambda each: str(each.get("process"))),
            "memory": [_shown(name, found) for name, found in sorted(self.memory.items())],
        }


class Replicas:
    """The replicas in Redis. Every method raises ``StoreUnavailable`` when the store does not answer."""

    def __init__(self, connection: StoreConnection) -> None:
        self._connection = connection

    async def tell(self, document: Mapping[str, Any], first: Mapping[str, bool]) -> None:
        """Say what this process has in force: a JSON object without a secret.

        Args:
            first: the names of its keys, and whether each is the first of its ring.
        """
        pairs = [text for name, active in first.items() for text in (name, "1" if active else "0")]
        await self._run(self._connection.process, orjson.dumps(document).decode(), *pairs)

    async def end(self) -> None:
        """Say that this process ends."""
        await self._run(self._connection.process, "")

    async def all(self) -> ReplicaKeys:
        """What all replicas have in force."""
        text, told, remembered = await self._run("", "")
        now = int(text)
        return ReplicaKeys(
            [orjson.loads(value.partition("|")[2]) for value in told[1::2]],
            {
                name: _memory(value, now)
                for name, value in zip(remembered[::2], remembered[1::2], strict=True)
            },
            [(now - int(value.partition("|")[0])) / 1000 for value in told[1::2]],
        )

    async def _run(self, *arguments: str) -> Any:
        process, document, *pairs = arguments
        names = (keys.replicas(), keys.ring_keys())
        return await self._connection.run_script(
            REPLICAS, names, process, document, _COUNTS_MS, _REMEMBERED_MS, *pairs
        )


def _memory(value: str, now: int) -> KeyMemory:
    seen, first, _ = map(int, value.split(" "))
    return KeyMemory((now - seen) / 1000, (now - first) / 1000 if first else None)


def _shown(name: str, memory: KeyMemory) -> dict[str, Any]:
    ring, kid, fingerprint = name.split(" ")
    return {
        "ring": ring,
        "kid": kid,
        "fingerprint": fingerprint,
        "seen_seconds_ago": round(memory.seen_ago),
        "first_seconds_ago": round(memory.first_ago) if memory.first_ago is not None else None,
    }
