"""A side of ``tests.bench.pool``: a replica with a warm pool or without, its store and its provider."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
import urllib.request
from collections.abc import Mapping
from typing import Any, Final, Self

import redis

from app.store.embedded.engine import LocalEngine
from app.store.pools import PoolStore
from tests.bench import procfs, traffic
from tests.bench.contenders import Cloakroom, mint_once
from tests.bench.open_loop import OpenLoop
from tests.bench.program import Program
from tests.support.connected import connected
from tests.support.planted import Planted

MODEL: Final = "gpt-realtime-2.1"
MINT_SECONDS: Final = 0.4
# A mint has ten seconds for all its tries.
_PATIENCE: Final = 15.0


class Box(Program):
    """The provider in a box, whose mints take as long as a real one's."""

    def __init__(self, *, key: str, mint_seconds: float, cpus: set[int]) -> None:
        super().__init__(
            "box",
            [
                *(sys.executable, "-m", "app.sandbox", "--port", "0", "--peer", "static"),
                *("--mint-seconds", f"{mint_seconds}"),
            ],
            {"CLOAKROOM_SANDBOX_OPENAI_KEY": key},
            cpus=cpus,
        )
        try:
            self.url: str = self.wait_for_event("sandbox_ready")["url"]
        except BaseException:
            self.stop()
            raise

    def fail(self, kind: str, **fields: Any) -> None:
        """Let every mint fail like this until ``recover``."""
        self._control("POST", {"kind": kind, "path": "client_secrets", "times": 0, **fields})

    def recover(self) -> None:
        self._control("DELETE", None)

    def _control(self, method: str, body: Mapping[str, Any] | None) -> None:
        request = urllib.request.Request(
            f"{self.url}/_sandbox/faults",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30):
            pass


class Side:
    """A replica with its own store and provider."""

    def __init__(
        self, name: str, pool: Mapping[str, Any] | None, *, mint_seconds: float = MINT_SECONDS
    ) -> None:
        self.name = name
        self._pool = pool
        self._mint_seconds = mint_seconds
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        mine, others = procfs.split_cpus()
        policy = {"deployments": ["openai"], **({} if self._pool is None else {"pool": self._pool})}
        planted = Planted()
        with contextlib.ExitStack() as stack:
            self.engine = stack.enter_context(LocalEngine())
            procfs.pin(self.engine.pid, others)
            self.box = stack.enter_context(
                Box(key=planted.openai_key, mint_seconds=self._mint_seconds, cpus=others)
            )
            self.replica = stack.enter_context(
                Cloakroom(
                    provider=f"{self.box.url}/v1",
                    redis=self.engine.url,
                    cpus=mine,
                    name=f"{self.name}-pool",
                    planted=planted,
                    more={"CLOAKROOM_MODELS": json.dumps({MODEL: policy})},
                )
            )
            self._load = self.replica.mint(limited=False)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self, rate: float, seconds: float) -> OpenLoop:
        """Begin to mint at this rate."""
        cpus = procfs.split_cpus()[1]
        return OpenLoop(
            self.replica.url,
            [self._load],
            rate=rate,
            seconds=seconds,
            cpus=cpus,
            patience=_PATIENCE,
        )

    def first_ms(self) -> float:
        """How long one mint takes, in milliseconds."""
        begun = time.perf_counter()
        mint_once(self.replica.url, self.replica.planted.client_key)
        return round((time.perf_counter() - begun) * 1000, 2)

    def bill(self) -> dict[str, int]:
        """What became of the keys of the pool, and how many lie there."""
        return asyncio.run(_bill(self.engine.url))

    def reads(self) -> int:
        """How often the store has read from a connection, which is once for each round trip."""
        with redis.Redis.from_url(self.engine.url) as store:
            return int(store.info("stats")["total_reads_processed"])

    def round_trips(self) -> float:
        """To the store for each of a hundred mints, one after another."""
        return traffic.count(self.engine.url, self.replica.url, self._load).round_trips


async def _bill(url: str) -> dict[str, int]:
    async with connected(url, "bench", timeout=5.0) as connection:
        state = await PoolStore(connection).state(MODEL)
    told = {name: getattr(state.bill, name) for name in ("minted", "used", "wasted", "lost")}
    return {**told, "stock": sum(level.stock for level in state.shapes)}
