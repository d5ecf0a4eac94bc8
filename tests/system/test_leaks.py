"""Requests that fail in every way leave nothing behind. The long form, a million: tests/faults/leaks.py."""

from __future__ import annotations

from tests.faults.drill import Progress
from tests.faults.leaks import leak

# So few requests do not fill a Python process's memory yet; kilobytes a request would show all the same.
MEMORY_TIMES = 1.3


async def test_some_thousand_mixed_requests_leave_no_file_and_no_task() -> None:
    figures = await leak(Progress("leaks"), 2000, parts=2, memory_times=MEMORY_TIMES, looks=1)
    assert int(figures["requests"]) >= 2000
    assert int(figures["faults of the provider"]) > 0
