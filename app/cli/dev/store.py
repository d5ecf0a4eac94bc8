"""The store that the replicas share: the one that was named, else a server for this run, else none."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping

from app.cli.failure import CliFailure
from app.store.embedded.engine import EngineError, LocalEngine, find_engine

MEMORY_URL = "memory://"


class DevStore:
    """``start`` finds or starts the store and sets ``url``; ``stop`` ends what it started."""

    def __init__(self, redis_url: str | None, environ: Mapping[str, str]) -> None:
        self.url = redis_url or MEMORY_URL
        self._named = redis_url is not None
        self._environ = environ
        self._engine: LocalEngine | None = None
        self._starting: asyncio.Future[None] | None = None

    @property
    def shared(self) -> bool:
        """Whether more than one process can use it."""
        return not self.url.startswith("memory:")

    async def start(self) -> str:
        """Return a description of the store. Raises CliFailure when an installed server does not start."""
        if self._named:
            return "as given"
        binary = await asyncio.to_thread(find_engine, self._environ)
        if binary is None:
            return "in the replica's own memory"
        self._engine = LocalEngine(binary)
        self._starting = asyncio.ensure_future(asyncio.to_thread(self._engine.start))
        try:
            # Shielded: a thread cannot be cancelled, so stop() must be able to wait for it.
            await asyncio.shield(self._starting)
        except EngineError as error:
            raise CliFailure(str(error)) from None
        self.url = self._engine.url
        return f"{binary}, pid {self._engine.pid}, in memory only"

    @property
    def failure(self) -> str | None:
        """The last lines of a server that ended unasked; None while it runs."""
        if self._engine is None or self._engine.running:
            return None
        return self._engine.log_tail() or "(no output)"

    async def stop(self, kill: asyncio.Event) -> None:
        """End our own server; at once when ``kill`` is set."""
        if self._engine is None:
            return
        if self._starting is not None:
            await asyncio.wait([self._starting])
            if not self._starting.cancelled():
                self._starting.exception()  # start() has reported it, or was interrupted
        if kill.is_set() and self._engine.running:
            os.kill(self._engine.pid, signal.SIGKILL)
        await asyncio.to_thread(self._engine.stop)
