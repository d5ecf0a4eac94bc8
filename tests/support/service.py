"""The service and the provider in a box inside the test's own loop: quick, and open to be looked into."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from app.main import create_app
from app.sandbox import SandboxConfig, create_sandbox
from app.sandbox.faults import read_fault
from app.sandbox.provider import PROVIDER, Provider
from app.settings import load_settings
from app.telemetry.tracing import Tracing
from app.web.appkeys import STORE
from tests.support import api
from tests.support.api import Reply
from tests.support.conformance import Conformance, watch
from tests.support.planted import Planted


@dataclass
class Service:
    """One replica in front of one provider; ``base`` is its URL."""

    http: aiohttp.ClientSession
    base: str
    planted: Planted
    provider: Provider
    server: TestServer = field(repr=False)
    sandbox: TestServer = field(repr=False)
    conformance: Conformance = field(repr=False)
    # A client that may do what the service's own user may not; None where the service has no other user.
    onlooker: Any = field(default=None, repr=False)

    async def mint(self, body: Any = None, **headers: str) -> Reply:
        return await api.mint(self.http, self.base, self.planted.client_key, body, **headers)

    async def minted(self, body: Any = None) -> str:
        return await api.minted(self.http, self.base, self.planted.client_key, body)

    async def relay(self, handle: str, offer: bytes | None = None, **headers: str) -> Reply:
        return await api.relay(self.http, self.base, handle, offer, **headers)

    async def called(self, handle: str) -> str:
        """Relay and return the call id."""
        return await api.called(self.http, self.base, handle)

    async def hang_up(self, credential: str, call_id: str, **headers: str) -> Reply:
        return await api.hang_up(self.http, self.base, credential, call_id, **headers)

    def call(self, call_id: str) -> dict[str, Any]:
        """What the provider remembers of a call."""
        (found,) = [call for call in self.provider.calls.reports() if call["call_id"] == call_id]
        return found

    async def post(self, path: str, **options: Any) -> Reply:
        return await api.post(self.http, self.base + path, **options)

    @property
    def store_client(self) -> Any:
        """A client of this replica's store, for a test to look into it."""
        return self.onlooker or self.server.app[STORE]._client.driver.client

    async def stop_provider(self) -> int:
        """Close the provider's listener and connections; return the port that it had."""
        port = self.sandbox.port
        await self.sandbox.close()
        assert port is not None
        return port

    def fault(self, kind: str, path: str, **more: Any) -> None:
        """Arm a fault at the provider."""
        self.provider.faults.arm(read_fault({"kind": kind, "path": path, **more}))

    def asked(self, path: str = "") -> int:
        """How many requests the provider has had at paths that end so."""
        return sum(count for name, count in self.provider.journal.counts().items() if name.endswith(path))


class _Server(TestServer):
    """As ``app.server`` runs it: a browser that leaves does not cancel its request."""

    async def _make_runner(self, **options: Any) -> web.BaseRunner:
        return web.AppRunner(self.app, **options | {"handler_cancellation": False})


async def start_sandbox(config: SandboxConfig, chain: Path | None = None) -> TestServer:
    """Start a provider in this loop; with ``chain``, a PEM file of certificate and key, it speaks TLS."""
    server, context = TestServer(create_sandbox(config)), None
    if chain is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(chain)
    await server.start_server(ssl=context)
    return server


async def start_service(
    http: aiohttp.ClientSession,
    sandbox: TestServer,
    store_url: str,
    planted: Planted,
    tracing: Tracing | None = None,
    clock: Callable[[], float] = time.time,
    /,
    **settings: str,
) -> Service:
    """Start a replica in this loop. ``{provider}`` in a setting becomes the provider's origin."""
    origin = str(sandbox.make_url("")).rstrip("/")
    environment = planted.environment(
        **{
            "CLOAKROOM_REPLICA": "replica-a",
            "CLOAKROOM_REDIS_URL": store_url,
            "OPENAI_API_KEY": planted.openai_key,
            "OPENAI_BASE_URL": str(sandbox.make_url("/v1")),
            **{name: value.replace("{provider}", origin) for name, value in settings.items()},
        }
    )
    app, conformance = create_app(load_settings(environment), tracing=tracing, clock=clock), Conformance()
    watch(app, conformance)
    server = _Server(app, access_log=None)
    await server.start_server()
    base = str(server.make_url("")).rstrip("/")
    return Service(http, base, planted, sandbox.app[PROVIDER], server, sandbox, conformance)
