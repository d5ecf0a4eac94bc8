"""What the browser talks to: two replicas that know each other, one that refuses, a store and a provider."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, Final, Self

import aiohttp

from app.store.embedded.engine import LocalEngine
from tests.support.api import mint
from tests.support.issuer import issuers
from tests.support.planted import Planted
from tests.support.processes import Replica, Sandbox

NAMES: Final = ("replica-a", "replica-b", "strict")
MAIN: Final = "provider"
SPARE: Final = "spare-provider"
_HOST: Final = "127.0.0.1"
_USERS: Final = {"client": "shop", "page_client_id": "cloakroom-demo"}
_SHORTEST: Final = 10  # seconds: no provider makes a key for less


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different: the pickers must name them before anyone listens."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((_HOST, 0))
        return [int(each.getsockname()[1]) for each in sockets]


class Service:
    """A store, providers with real WebRTC peers, and replicas that can be stopped and started again.

    Replicas A and B take pages of each other's origin and of ``origins``, and mint at the provider
    ``sandbox``. The replica "strict" takes no foreign page and has a provider of its own, so that one can
    be killed while tests go on with the other.
    """

    def __init__(self, *, origins: tuple[str, ...]) -> None:
        self.planted = Planted()
        self._resources = ExitStack()
        self._running: dict[str, Replica] = {}
        self._providers: dict[str, Sandbox] = {}
        names = (*NAMES, MAIN, SPARE)
        self._ports = dict(zip(names, free_ports(len(names)), strict=True))
        self._origins = origins

    def __enter__(self) -> Self:
        with ExitStack() as resources:
            self._engine = resources.enter_context(LocalEngine(password=self.planted.store_password))
            for provider in (MAIN, SPARE):
                resources.callback(self._stop_provider, provider)
            for name in NAMES:
                resources.callback(self.stop, name)
            # At once: each takes a second, most of it in importing what it is made of.
            with ThreadPoolExecutor() as starters:
                started = [starters.submit(self.start_provider, name) for name in (MAIN, SPARE)]
                started += [starters.submit(self.start, name) for name in NAMES]
            for each in started:
                each.result()
            self._resources = resources.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def url(self, name: str) -> str:
        """The origin of a replica, whether it runs or not."""
        return f"http://{_HOST}:{self._ports[name]}"

    def start(self, name: str) -> None:
        """Start the replica and return when it listens."""
        self._running[name] = Replica(name, self._environment(name))

    def stop(self, name: str) -> None:
        """End the replica, if it runs."""
        if name in self._running:
            self._running.pop(name).stop()

    def mints(self, name: str) -> list[dict[str, Any]]:
        """The log lines of a replica's mints."""
        return self._running[name].events("mint")

    @property
    def sandbox(self) -> Sandbox:
        """The provider of replicas A and B."""
        return self._providers[MAIN]

    def start_provider(self, name: str) -> None:
        """Start a provider, always on the same port: its replicas know no other."""
        self._providers[name] = Sandbox(
            "--port",
            str(self._ports[name]),
            openai_key=self.planted.openai_key,
            azure_key=self.planted.azure_key,
        )

    def kill_provider(self, name: str) -> None:
        """End a provider without a word to anybody, as a crash or a pulled cable does."""
        provider = self._providers.pop(name)
        provider.signal(signal.SIGKILL)
        provider.wait()

    def _stop_provider(self, name: str) -> None:
        if name in self._providers:
            self._providers.pop(name).stop()

    async def begin_expiry(self) -> None:
        """Mint the handle that a test wants expired now, so that the others pass the time."""
        async with aiohttp.ClientSession() as http:
            body = {
                "model": "gpt-realtime-2.1",
                "expires_after": {"anchor": "created_at", "seconds": _SHORTEST},
            }
            reply = await mint(http, self.url("replica-a"), self.planted.client_key, body)
        self._expiring: tuple[str, float] = reply.json["value"], time.time() + _SHORTEST + 1

    async def expired_handle(self) -> str:
        """A handle of ours that has expired."""
        handle, over_at = self._expiring
        await asyncio.sleep(max(0.0, over_at - time.time()))
        return handle

    @property
    def issuer(self) -> str:
        """The identity provider of replicas A and B."""
        return f"http://{_HOST}:{self._ports[MAIN]}/issuer"

    def page(self, replica: str) -> str:
        """The demo page's address as `cloakroom dev` prints it, with the client's key in the fragment."""
        return f"{self.url(replica)}/demo#key={self.planted.client_key}"

    def _environment(self, name: str) -> dict[str, str]:
        others = [*self._origins, self.url("replica-a"), self.url("replica-b")]
        strict = name == "strict"
        # The strict one is also told of no replica: its page must do with the one that it came from.
        pickers = "" if strict else ",".join(f"{each}={self.url(each)}" for each in NAMES)
        return self.planted.environment(
            CLOAKROOM_PORT=str(self._ports[name]),
            CLOAKROOM_REDIS_URL=self._engine.url,
            CLOAKROOM_CORS_ORIGINS="" if strict else ",".join(others),
            CLOAKROOM_DEMO_REPLICAS=pickers,
            # The strict one takes no sign-in either.
            CLOAKROOM_ISSUERS="" if strict else issuers(self.issuer, users=_USERS),
            OPENAI_API_KEY=self.planted.openai_key,
            OPENAI_BASE_URL=f"http://{_HOST}:{self._ports[SPARE if strict else MAIN]}/v1",
        )
