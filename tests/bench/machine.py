"""What was measured, and on what: versions, processor, kernel, the commit."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from app.store.embedded.engine import find_engine
from tests.bench import litellm
from tests.bench.tools import ROOT, version_of

_LIBRARIES: Final = ("aiohttp", "uvloop", "redis", "hiredis", "orjson", "cryptography")


def facts() -> dict[str, Any]:
    """Everything that a reader needs to judge a figure, or to measure it again."""
    engine = find_engine(os.environ)
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": commit(),
        "machine": {
            "cpus": os.cpu_count(),
            "processor": _field(Path("/proc/cpuinfo"), "model name"),
            "memory_gb": round(_memory_kilobytes() / 1024**2, 1),
            "kernel": platform.release(),
            # What others did on the machine when the run began.
            "load": round(os.getloadavg()[0], 1),
        },
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in _LIBRARIES},
            "litellm": litellm.version(),
            "store": str(engine) if engine else "none",
            "nginx": version_of("nginx", "-v").rpartition("/")[2],
            "wrk": version_of("wrk", "-v").split()[1].rpartition("/")[2],
        },
    }


def commit() -> str:
    """The commit that was measured, marked where the checkout had changes of its own."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        command = ["git", "describe", "--always", "--dirty=+changes", "--abbrev=7"]
        told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        return told.stdout.strip()
    return "unknown"


def _field(path: Path, name: str) -> str:
    with contextlib.suppress(OSError):
        for line in path.read_text().splitlines():
            if line.startswith(name):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _memory_kilobytes() -> int:
    value = _field(Path("/proc/meminfo"), "MemTotal").split()
    return int(value[0]) if value and value[0].isdigit() else 0
