"""Installs the locked npm packages of this folder, once for each state of the lock file."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
MODULES: Final = HERE / "node_modules"
_STAMP: Final = MODULES / ".installed-for"
_SECONDS: Final = 240


def npm_is_there() -> bool:
    """Whether npm can be run."""
    return shutil.which("npm") is not None


def install() -> None:
    """Install the packages, where the lock file has changed since the last time; one process at once."""
    name = hashlib.sha256(str(HERE).encode()).hexdigest()[:16]
    with (Path(tempfile.gettempdir()) / f"cloakroom-npm-{name}.lock").open("w") as lock:
        # Two workers may come here together; the second finds the work done.
        fcntl.flock(lock, fcntl.LOCK_EX)
        _install()


def _install() -> None:
    wanted = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()
    if not _STAMP.is_file() or _STAMP.read_text(encoding="ascii") != wanted:
        # No scripts: what is installed is read by a browser, and needs none.
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(
            command, cwd=HERE, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
        assert done.returncode == 0, f"npm ci failed:\n{done.stdout}\n{done.stderr}"
        _STAMP.write_text(wanted, encoding="ascii")
