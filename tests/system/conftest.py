"""Whole services out of real processes. Starting one takes a second, so modules share them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.support import warm
from tests.support.secret_fleet import Fleet, start_fleet
from tests.support.stack import Stack
from tests.system.commands import WAYS, Commands, Way


@pytest.fixture(scope="session", autouse=True)
def warm_commands() -> Iterator[None]:
    """The process that forks commands, if a test wants one, ends with the last test."""
    yield
    warm.end()


@pytest.fixture(scope="session")
def webrtc_stack() -> Iterator[Stack]:
    """Two replicas and a provider that answers with a real WebRTC peer."""
    with Stack(peer="webrtc") as stack:
        yield stack


@pytest.fixture(scope="session")
def static_stack() -> Iterator[Stack]:
    """Two replicas and a provider that answers with text only, for tests that need thousands of calls."""
    with Stack(peer="static", sandbox_arguments=("--peer-cap", "100000")) as stack:
        yield stack


@pytest.fixture
def fleet(static_stack: Stack, http: aiohttp.ClientSession, tmp_path: Path) -> Iterator[Fleet]:
    """Two replicas whose secrets lie in files that the test changes."""
    running = start_fleet(static_stack, http, tmp_path)
    yield running
    for replica in running.replicas:
        replica.stop()


@pytest.fixture
def cloakroom(stack: Stack) -> Commands:
    """The command line, against the ``stack`` of the test's module."""
    return Commands(stack)


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    """How a command reaches the service: over the admin API, or straight to the store."""
    found: Way = request.param
    return found
