"""Builds wheel and sdist with the suite's own Hatchling, which requirements.lock pins. Nothing is fetched."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

from tests.support.page import ROOT


@dataclass(frozen=True)
class Built:
    """The two files of a release."""

    wheel: Path
    sdist: Path


def build(folder: Path) -> Built:
    """Build both from this tree into ``folder``."""
    _hatchling(ROOT, folder, "wheel", "sdist")
    return Built(_only(folder, "*.whl"), _only(folder, "*.tar.gz"))


def wheel_of(sdist: Path, folder: Path) -> Path:
    """Build the wheel from the sdist, as whoever takes the sdist does."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    _hatchling(folder / sdist.name.removesuffix(".tar.gz"), folder, "wheel")
    return _only(folder, "*.whl")


def _hatchling(source: Path, folder: Path, *targets: str) -> None:
    chosen = [word for target in targets for word in ("--target", target)]
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--directory", str(folder), *chosen],
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found
