"""What a test needs and a machine lacks: the one place where a test may be skipped."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def missing(reason: str) -> NoReturn:
    """Skip the test with the reason; with ``CI`` set, fail it, since there nothing may go unproved."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
