"""Whole services out of real processes. Starting one takes a second, so modules share them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.stack import Stack


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
