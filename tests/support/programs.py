"""Programs that PyPI does not have: a missing one fails on CI, elsewhere it is a skip with its reason."""

from __future__ import annotations

import shutil

from tests.support.missing import missing


def required(name: str, *, package: str) -> str:
    """The program's path. Without it the test is skipped with the reason; with ``CI`` set it fails."""
    found = shutil.which(name)
    if found is None:
        missing(f"{name} is missing: run 'make system' as root (it is in Debian's package {package})")
    return found
