"""A replica loads nothing that only people at a terminal need, and everything else as it is."""

from __future__ import annotations

import subprocess
import sys

from app.__main__ import UNUSED

_LOADED = """
import sys
from app.__main__ import without_unused
with without_unused():
    import app.cli.serve
print(" ".join(sorted(sys.modules)))
import rich.table, opentelemetry.sdk.metrics
"""


def test_a_replica_loads_neither_tables_nor_the_parser_of_commands() -> None:
    done = subprocess.run([sys.executable, "-c", _LOADED], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert loaded.isdisjoint({*UNUSED, "cyclopts", "pygments", "markdown_it", "aiortc", "fakeredis", "redis"})
    assert {"app.server", "hiredis", "structlog"} <= loaded
