"""Installs the locked npm packages of a test folder, once for each state of its lock file."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

_STAMP: Final = ".installed-for"
_SECONDS: Final = 240


def npm_is_there() -> bool:
    """Whether npm can be run."""
    return shutil.which("npm") is not None


def modules_of(folder: Path) -> Path:
    """Where the folder's packages are."""
    return folder / "node_modules"


def install(folder: Path) -> None:
    """Install the packages, where the lock file has changed since the last time; one process at once."""
    name = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    with (Path(tempfile.gettempdir()) / f"cloakroom-npm-{name}.lock").open("w") as lock:
        # Two workers may come here together; the second finds the work done.
        fcntl.flock(lock, fcntl.LOCK_EX)
        _install(folder)


def _install(folder: Path) -> None:
    wanted = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    stamp = modules_of(folder) / _STAMP
    if not stamp.is_file() or stamp.read_text(encoding="ascii") != wanted:
        # No scripts: what is installed is only read, and needs none.
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
        assert done.returncode == 0, f"npm ci failed:\n{done.stdout}\n{done.stderr}"
        stamp.write_text(wanted, encoding="ascii")
