"""Programs that PyPI does not have: a missing one fails on CI, elsewhere it is a skip with its reason."""

from __future__ import annotations

import os
import shutil

import pytest


def required(name: str, *, package: str) -> str:
    """The program's path. Without it the test is skipped with the reason; with ``CI`` set it fails."""
    found = shutil.which(name)
    if found is not None:
        return found
    reason = f"{name} is missing: run 'make system' as root (it is in Debian's package {package})"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
