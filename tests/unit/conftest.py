"""Time in unit tests: property tests have no deadline a case, and a test may ask for virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest
from hypothesis import settings

from tests.support.clocks import VirtualTimeLoop

# On top of the profile in force, which in CI is Hypothesis' own. A busy machine is no defect.
settings.register_profile("patient", settings(), deadline=None)
settings.load_profile("patient")


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """``@pytest.mark.virtual_time`` runs the test and its fixtures where time jumps from timer to timer."""
    if item.get_closest_marker("virtual_time"):
        return {"virtual time": VirtualTimeLoop}
    return {"asyncio": asyncio.new_event_loop}
