"""An environment with the wheel in it, and the commands that a person runs there."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.clocks import PATIENCE

LOCK: Final = Path(__file__).with_name("base.lock")
# Of one step, in seconds: an installation over a slow line.
LONGEST: Final = 900


@dataclass(frozen=True)
class Installation:
    """``folder`` is the environment's; no code of ours lies there but the wheel's."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def program(self) -> Path:
        """The console script."""
        return self.folder / "bin" / "cloakroom"

    def run(
        self, *command: str, environ: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """``cloakroom COMMAND`` to its end, with these variables and few others."""
        return self._done([str(self.program), *command], environ or {})

    def evaluated(self, code: str) -> str:
        """What a line of Python prints there; it must not fail."""
        done = self._done([str(self.python), "-c", code], {})
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def _done(self, command: Sequence[str], environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return subprocess.run(
            command,
            cwd=self.folder,
            env={**kept, **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )


def clean(folder: Path, wheel: Path) -> Installation:
    """The wheel and the locked packages that it needs without an extra, and nothing else."""
    _run(sys.executable, "-m", "venv", str(folder))
    pip = (str(folder / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check")
    _run(*pip, "install", "--require-hashes", "--only-binary=:all:", "-r", str(LOCK))
    _run(*pip, "install", "--no-index", "--no-deps", str(wheel))
    _run(*pip, "check")
    return Installation(folder)


def beside_the_suite(folder: Path, wheel: Path) -> Installation:
    """The wheel in an environment of its own, which finds the suite's packages, all extras among them.

    Nothing is fetched. The suite's own ``app`` is not found there: a folder that a ``.pth`` file adds is not
    searched for further such files.
    """
    _run(sys.executable, "-m", "venv", "--without-pip", str(folder))
    found = Installation(folder)
    _run(
        sys.executable,
        "-m",
        "pip",
        "--quiet",
        "--disable-pip-version-check",
        "--python",
        str(found.python),
        "install",
        "--no-index",
        "--no-deps",
        str(wheel),
    )
    packages = Path(found.evaluated("import sysconfig; print(sysconfig.get_path('purelib'))"))
    (packages / "suite.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    return found


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LONGEST)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
