"""The tools of a release, in .release-venv: locked by hash, since they pin other packages than the suite."""

from __future__ import annotations

import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Final

from tests.release.installation import LONGEST
from tests.support.page import ROOT

LOCK: Final = Path(__file__).with_name("tools.lock")
FOLDER: Final = ROOT / ".release-venv"


class ToolFailed(Exception):
    """A tool found something, or could not run; the message has what it said."""


def run_tool(name: str, *arguments: str, cwd: Path = ROOT) -> str:
    """Run a tool and return what it printed.

    Raises:
        ToolFailed
    """
    done = subprocess.run(
        [str(FOLDER / "bin" / name), *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=LONGEST,
    )
    if done.returncode != 0:
        raise ToolFailed(f"{name} {arguments[0] if arguments else ''}:\n{done.stdout}{done.stderr}".strip())
    return done.stdout


def install_tools() -> None:
    """Make the environment, unless it is there with this lock file's packages."""
    stamp = FOLDER / ".installed"
    wanted = sha256(LOCK.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text(encoding="ascii") == wanted:
        return
    print("--> the tools, in .release-venv", flush=True)
    python = FOLDER / "bin" / "python"
    if not python.exists():
        subprocess.run([str(ROOT / ".venv" / "bin" / "python"), "-m", "venv", str(FOLDER)], check=True)
    options = ("--quiet", "--disable-pip-version-check", "--require-hashes", "--only-binary=:all:")
    subprocess.run(
        [str(python), "-m", "pip", "install", *options, "-r", str(LOCK)], check=True, timeout=LONGEST
    )
    stamp.write_text(wanted, encoding="ascii")
