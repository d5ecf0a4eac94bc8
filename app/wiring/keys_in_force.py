"""Which keys this replica has in force, told to the others, so that any replica can show those of all.

Kids, names, positions and fingerprints; never a secret. ``cloakroom keys rotate`` reads the next step of a
rotation from it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from app import __version__
from app.broker.clients import ClientRegistry
from app.errors import StoreUnavailable
from app.handles.rotation import RingUse
from app.store.records.replicas import POOLS, TELL_SECONDS, ReplicaKeys, Replicas

Document = dict[str, Any]


@dataclass(slots=True)
class ReloadState:
    """What became of reading the secrets anew.

    ``good_at`` is when they were read last and found good, in epoch seconds; the start counts. ``problem`` is
    why those that lie there now are not in force, None where they are; ``taken`` and ``refused`` are counts.
    """

    good_at: float
    problem: str | None = None
    taken: int = 0
    refused: int = 0


@dataclass(slots=True, kw_only=True)
class KeysInForce:
    """The keys of this replica, and the way to those of all. ``rings`` are by name: signing, sealing.

    ``pools`` returns what is told of its warm pools.
    """

    replica: str
    process: str
    rings: Mapping[str, RingUse]
    clients: ClientRegistry
    admins: ClientRegistry | None
    reload: ReloadState
    replicas: Replicas
    pools: Callable[[], Document] = dict
    _telling: asyncio.Task[None] | None = field(default=None, repr=False)
    _news: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    def start(self) -> None:
        """Begin to tell the others, in the background."""
        self._telling = asyncio.create_task(self._tell_again_and_again(), name="keys-in-force")

    async def close(self) -> None:
        """Stop, and say that this replica ends."""
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)
        with contextlib.suppress(StoreUnavailable):
            await self.replicas.end()

    def changed(self) -> None:
        """Something of it has changed: the others learn it now."""
        self._news.set()

    def document(self) -> Document:
        """What this replica has in force."""
        return {
            "replica": self.replica,
            "process": self.process,
            "version": __version__,
            "reloaded_at": int(self.reload.good_at),
            "problem": self.reload.problem,
            "needed_seconds": {name: round(ring.longest) for name, ring in self.rings.items()},
            **{name: ring.document() for name, ring in self.rings.items()},
            "clients": self.clients.fingerprints(),
            "admins": self.admins.fingerprints() if self.admins is not None else {},
            POOLS: self.pools(),
        }

    async def listing(self) -> Document:
        """The document of all replicas, with what this one has in force just now.

        Raises:
            StoreUnavailable
        """
        return (await self.everyone()).document()

    async def everyone(self) -> ReplicaKeys:
        """What all replicas have in force, this one just now.

        Raises:
            StoreUnavailable
        """
        found = await self.replicas.all()
        told = zip(found.documents, found.ages, strict=True)
        others = [(each, age) for each, age in told if each.get("process") != self.process]
        documents, ages = zip((self.document(), 0.0), *others, strict=True)
        return ReplicaKeys(documents, found.memory, ages)

    async def _tell_again_and_again(self) -> None:
        while True:
            self._news.clear()
            with contextlib.suppress(StoreUnavailable):
                await self.replicas.tell(self.document(), dict(self._names()))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TELL_SECONDS):
                    await self._news.wait()

    def _names(self) -> Iterator[tuple[str, bool]]:
        for name, ring in self.rings.items():
            for number, key in enumerate(ring.keys):
                yield f"{name} {key.kid} {key.fingerprint}", number == 0
