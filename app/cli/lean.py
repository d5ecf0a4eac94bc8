"""Keeps out of a process what its libraries would load where it is installed, and never use. A leaf.

structlog loads rich, for tracebacks on a terminal; redis-py loads OpenTelemetry's metrics, which nobody here
reads. A replica needs neither, and together they take 7 MB of it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

UNUSED: Final = ("rich", "opentelemetry.sdk.metrics")


@contextmanager
def without_unused() -> Iterator[None]:
    """Whoever imports these meanwhile is told that they are not installed; later imports find them."""
    # Any: None is Python's own mark for "not to be imported", of which the type knows nothing.
    modules: dict[str, Any] = sys.modules
    hidden = [name for name in UNUSED if name not in modules]
    for name in hidden:
        modules[name] = None
    try:
        yield
    finally:
        for name in hidden:
            del modules[name]
