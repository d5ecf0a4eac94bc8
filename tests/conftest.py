"""Fixtures of every folder: one real store for the run, on a server that is chosen here, and services."""

from __future__ import annotations

import gc
import os
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import AsyncExitStack
from typing import Final

import aiohttp
import pytest

from app.sandbox import SandboxConfig
from app.store import keys
from app.store.embedded.engine import LocalEngine
from tests.support.access import url_for_service, user_arguments
from tests.support.onlooker import async_onlooker
from tests.support.planted import Planted
from tests.support.service import Service, start_sandbox, start_service
from tests.support.store_server import VARIABLE, NoServer, StoreServer, chosen_server, put_first

# Of the user that services have at the shared server, where the default user has none.
SERVICE_PASSWORD: Final = "pw" + secrets.token_urlsafe(24)
ServiceFactory = Callable[..., Awaitable[Service]]
_SERVER: Final = pytest.StashKey[StoreServer]()


def pytest_configure(config: pytest.Config) -> None:
    """Choose the store's server before anything can start one, and let Ctrl-C reach every child."""
    # A shell's background job ignores it, and so would each command that a test interrupts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        server = chosen_server(os.environ)
    except NoServer as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[_SERVER] = server
    config.add_cleanup(put_first(server, os.environ).cleanup)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep what is there before the first test out of the collector's sight.

    Modules and tests are half a million objects that stay to the end. To walk them again and again takes a
    third of the time in which tests are collected, and most of a test that looks for cycles.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_report_header(config: pytest.Config) -> str:
    """Say which server it is."""
    named = os.environ.get(VARIABLE)
    source = f"{VARIABLE}={named}" if named else "the wheel's"
    return f"store server: {config.stash[_SERVER]} ({source})"


@pytest.fixture(scope="session")
def engine() -> Iterator[LocalEngine]:
    """A real Redis-compatible server, shared by tests that do not look at keys of others.

    Services sign on at it as the user of ``app.store.acl``; tests themselves are the default user.
    """
    with LocalEngine(extra_args=user_arguments(SERVICE_PASSWORD)) as running:
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
            url = store_url or url_for_service(engine, SERVICE_PASSWORD)
            service = await start_service(http, provider, url, planted, **settings)
            resources.push_async_callback(service.server.close)
            if store_url is None:
                service.onlooker = async_onlooker(engine.url)
                resources.push_async_callback(service.onlooker.aclose)
            started.append(service)
            return service

        yield start
        for service in started[:1]:
            # The calls of this test are no concern of the next one's services.
            if service.onlooker is not None:
                await service.onlooker.delete(*keys.ALL_DEADLINES, keys.watches())
    for service in started:
        service.conformance.raise_breaches()


@pytest.fixture
async def service(service_factory: ServiceFactory) -> Service:
    """One replica with the defaults."""
    return await service_factory()
