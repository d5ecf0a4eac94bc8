"""A whole service that a state machine acts on: two replicas, a store on disk, a provider, each a process.

Its methods wait until they are done, since the machine's rules are no coroutines.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
import signal
from collections import Counter
from collections.abc import Coroutine
from contextlib import ExitStack
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal, Self, TypeVar

import aiohttp
import orjson

from app.store import keys
from tests.support import api
from tests.support.api import Reply
from tests.support.clocks import until
from tests.support.onlooker import onlooker
from tests.support.processes import Replica
from tests.support.stack import Stack

T = TypeVar("T")
Name = Literal["a", "b"]
NAMES: Final[tuple[Name, ...]] = ("a", "b")
# Models by how many calls a handle is good for.
MODELS: Final = {0: "realtime-free", 1: "realtime-once", 2: "realtime-twice"}
# The provider's slowest answer in ``leave``.
_SLOW_SECONDS: Final = 0.2


class World:
    """The processes, and what is needed to know what they will do.

    Keys are numbered. A rotation has three steps: the next key verifies, it signs, the old one is retired.
    ``tally`` counts what was done.
    """

    def __init__(self) -> None:
        self.tally: Counter[str] = Counter()
        self._steps: dict[Name, int] = dict.fromkeys(NAMES, 0)
        self._keys: list[dict[str, str]] = []
        self._names = itertools.count()

    def __enter__(self) -> Self:
        with ExitStack() as resources:
            folder = resources.enter_context(TemporaryDirectory(prefix="cloakroom-machine-"))
            policies = {
                name: {"deployments": ["openai"], "max_calls": calls} for calls, name in MODELS.items()
            }
            self.stack = resources.enter_context(
                Stack(
                    peer="static",
                    sandbox_arguments=("--key-seconds", "7200"),
                    # What a client was told survives a kill.
                    engine_arguments=("--appendonly", "yes", "--appendfsync", "always", "--dir", folder),
                    CLOAKROOM_MODELS=orjson.dumps(policies).decode(),
                    CLOAKROOM_REPLAY_WINDOW_SECONDS="600",
                    CLOAKROOM_RELAY_TIMEOUT_SECONDS="120",
                    # Handles of a retired key come from one address, and the model knows one answer to them.
                    CLOAKROOM_REFUSED_CREDENTIALS_PER_MINUTE="0",
                )
            )
            planted = self.stack.planted
            self._keys = [{"SIGNING": planted.signing, "SEALING": planted.sealing}]
            self._replicas: dict[Name, Replica] = {"a": self.stack.a, "b": self.stack.b}
            self._store = resources.enter_context(onlooker(self.stack.engine.url, decode=False))
            self._loop = asyncio.new_event_loop()
            resources.callback(self._loop.close)
            self._http = self._do(_session())
            resources.callback(lambda: self._do(self._http.close()))
            self._resources = resources.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    # --- what callers do ---

    def mint(self, at: Name, calls: int) -> str:
        """A handle that is good for so many calls; 0 is without a limit."""
        body = {"model": MODELS[calls]}
        return self._do(api.minted(self._http, self._url(at), self.stack.planted.client_key, body))

    def relay(self, *sent: tuple[Name, str, bytes]) -> list[Reply]:
        """Relay offers at once, each with a handle at a replica."""
        return self._do(self._relay_all(sent))

    def hang_up(self, at: Name, credential: str, call_id: str) -> Reply:
        """End a call; the credential "" is the client's key."""
        key = credential or self.stack.planted.client_key
        return self._do(api.hang_up(self._http, self._url(at), key, call_id))

    def operate(self, at: Name, method: str, path: str) -> tuple[int, Any]:
        """Ask the admin API."""
        return self._do(self._operate(f"{self._url(at)}/admin/v1/{path}", method))

    def leave(self, at: Name, handle: str, offer: bytes) -> None:
        """Relay and leave while the provider thinks."""
        self.arm({"kind": "delay", "seconds": _SLOW_SECONDS})
        self._do(self._relay_until_struck(at, handle, offer, then=None))

    # --- what breaks ---

    def arm(self, fault: dict[str, Any]) -> None:
        """Have the provider's next call go wrong."""
        self.stack.sandbox.control("POST", "faults", {"path": "calls", **fault})

    def kill_midway(self, at: Name, handle: str, offer: bytes) -> None:
        """Relay, kill the replica while the provider thinks, and start it again."""
        self.arm({"kind": "stall"})
        self._do(self._relay_until_struck(at, handle, offer, then=self._replicas[at]))
        self.start(at)

    def restart(self, at: Name, how: signal.Signals) -> None:
        """End a replica and start it again under the same name."""
        self._replicas[at].signal(how)
        self._replicas[at].wait()
        self.start(at)

    def start(self, at: Name) -> None:
        """Start a replica with the ring of its step."""
        first, *others = [self._key(number) for number in self.ring(at)]
        ring = {
            f"CLOAKROOM_{kind}_KEYS": ",".join([first[kind], *[key[kind] for key in others]])
            for kind in ("SIGNING", "SEALING")
        }
        self._replicas[at] = self.stack.replica(f"replica-{at}", **ring)

    def restart_store(self, how: signal.Signals, *, empty: bool) -> None:
        """End the store and start it on what it had on disk; ``empty`` has it forget all before."""
        if empty:
            self._store.flushall()
        os.kill(self.stack.engine.pid, how)
        until(lambda: not self.stack.engine.running)
        self.stack.engine.start()
        for at in NAMES:
            until(lambda: self._do(self._ready(at)), "a replica that found its store again")  # noqa: B023

    def expire(self, handle_id: str) -> None:
        """Do what the store does at the end of a handle's life, now."""
        self._store.pexpire(keys.handle(handle_id), 1)
        until(lambda: not self._store.exists(keys.handle(handle_id)))

    def rotate(self) -> None:
        """Take the replica that lags behind, or the first, to the next step of a rotation."""
        at: Name = "a" if self._steps["a"] <= self._steps["b"] else "b"
        self._steps[at] += 1
        self.restart(at, signal.SIGTERM)

    def begin(self) -> None:
        """Take both replicas to the start of a rotation, so that what was done before decides nothing."""
        step = max(self._steps.values())
        step += -step % 3
        for at in NAMES:
            if self._steps[at] != step:
                self._steps[at] = step
                self.restart(at, signal.SIGTERM)

    # --- what is known ---

    def ring(self, at: Name) -> list[int]:
        """The numbers of this replica's keys, the one that signs and seals first."""
        number, step = divmod(self._steps[at], 3)
        return [[number], [number, number + 1], [number + 1, number]][step]

    def provider(self) -> Counter[str]:
        """How many offers and hang-ups the provider has had, and how many calls it has opened."""
        state = self.stack.sandbox.control("GET", "state")
        seen = Counter({"opened": int(state["calls"]["opened"])})
        for path, count in state["requests"].items():
            seen[path.rpartition("/")[2]] += count
        return Counter({name: seen[name] for name in ("opened", "calls", "hangup")})

    def ended(self, call_id: str) -> bool:
        """Whether the provider has ended this call on request."""
        calls = self.stack.sandbox.control("GET", "calls")["calls"]
        return any(call["call_id"] == call_id and call["end_reason"] == "hangup" for call in calls)

    def _key(self, number: int) -> dict[str, str]:
        while number >= len(self._keys):
            # Every second key is of the other algorithm.
            kid, algorithm = len(self._keys), "ed25519." if len(self._keys) % 2 else ""
            self._keys.append(
                {
                    "SIGNING": f"k{kid}:{algorithm}{secrets.token_urlsafe(32)}",
                    "SEALING": f"k{kid}:{secrets.token_urlsafe(32)}",
                }
            )
        return self._keys[number]

    def _url(self, at: Name) -> str:
        return str(self._replicas[at].url)

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(work)

    async def _relay_all(self, sent: tuple[tuple[Name, str, bytes], ...]) -> list[Reply]:
        return await asyncio.gather(
            *[api.relay(self._http, self._url(at), handle, offer) for at, handle, offer in sent]
        )

    async def _relay_until_struck(self, at: Name, handle: str, offer: bytes, *, then: Replica | None) -> None:
        """Relay until the provider has the offer; then kill the replica, or leave."""
        relaying = asyncio.create_task(api.relay(self._http, self._url(at), handle, offer))
        await asyncio.to_thread(until, self.stack.sandbox.struck)
        if then is not None:
            then.signal(signal.SIGKILL)
            then.wait()
        else:
            relaying.cancel()
        try:
            await relaying
        except (aiohttp.ClientError, asyncio.CancelledError):
            return
        raise AssertionError("an answer that cannot be")

    async def _operate(self, url: str, method: str) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.stack.planted.admin_key}"}
        async with self._http.request(method, url, headers=headers) as response:
            return response.status, await response.json()

    async def _ready(self, at: Name) -> bool:
        async with self._http.get(f"{self._url(at)}/readyz") as response:
            return response.status == 200


async def _session() -> aiohttp.ClientSession:
    # Replicas come and go, so that no connection is worth keeping.
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True, limit=0))
