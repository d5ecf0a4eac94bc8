"""Fixtures of every folder: one real store for the run, and services on demand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack

import aiohttp
import pytest

from app.sandbox import SandboxConfig
from app.store.engine import LocalEngine
from tests.support.planted import Planted
from tests.support.service import Service, start_sandbox, start_service

ServiceFactory = Callable[..., Awaitable[Service]]


@pytest.fixture(scope="session")
def engine() -> Iterator[LocalEngine]:
    """A real Redis-compatible server, shared by tests that do not look at keys of others."""
    with LocalEngine() as running:
        yield running


@pytest.fixture(scope="session")
def planted() -> Planted:
    return Planted()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def service_factory(
    engine: LocalEngine, planted: Planted, http: aiohttp.ClientSession
) -> AsyncIterator[ServiceFactory]:
    """Start services with settings of the test's choice; each gets a provider of its own.

    Every answer of theirs is held to the reference; a test that saw another fails at its end.
    """
    async with AsyncExitStack() as resources:
        started: list[Service] = []

        async def start(
            sandbox: SandboxConfig | None = None, store_url: str | None = None, **settings: str
        ) -> Service:
            config = sandbox or SandboxConfig(
                openai_keys=(planted.openai_key,), azure_keys=(planted.azure_key,), peer="static"
            )
            provider = await start_sandbox(config)
            resources.push_async_callback(provider.close)
            service = await start_service(http, provider, store_url or engine.url, planted, **settings)
            resources.push_async_callback(service.server.close)
            started.append(service)
            return service

        yield start
    for service in started:
        service.conformance.raise_breaches()


@pytest.fixture
async def service(service_factory: ServiceFactory) -> Service:
    """One replica with the defaults."""
    return await service_factory()
