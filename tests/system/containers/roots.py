"""Stand-ins for images that cannot be pulled: folders with a program, and the libraries that it loads.

``python_root`` stands for ``python:3.11-slim``: the running interpreter with its standard library under
/usr/local, a shell, ``groupadd`` and ``useradd``, the CA certificates, and the libraries that every Debian
has and wheels count on. ``program_root`` stands for the images of HAProxy and Valkey: the program from this
machine, and what the health check and the start script call. Both have a few files of /etc.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tests.support.clocks import PATIENCE
from tests.support.programs import required

_LIBRARY: Final = re.compile(r"(?:=> )?(/\S+) \(0x")
# What the image lacks, or pip puts there.
_LEFT_OUT: Final = ("test", "idlelib", "tkinter", "turtledemo", "*-packages", "config-*", "__pycache__")
_FOLDERS: Final = (
    *("bin", "dev", "etc", "proc", "root", "tmp"),
    *("usr/bin", "usr/sbin", "usr/local/bin", "usr/local/lib"),
)
_ETC: Final = {
    "passwd": "root:x:0:0:root:/root:/bin/sh\n",
    "group": "root:x:0:\n",
    "shadow": "root:*:19000:0:99999:7:::\n",
    "gshadow": "root:*::\n",
    "login.defs": "UID_MAX 60000\nGID_MAX 60000\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
# Of libc6, libgcc-s1, libstdc++6 and zlib1g: without them no Debian installs a package.
_OF_EVERY_DEBIAN: Final = (
    *("libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1", "libm.so.6", "libmvec.so.1"),
    *("libresolv.so.2", "libanl.so.1"),
    *("libgcc_s.so.1", "libstdc++.so.6", "libz.so.1"),
)
_CERTIFICATES: Final = Path("/etc/ssl/certs/ca-certificates.crt")


def program_root(root: Path, programs: Iterable[tuple[str, str]]) -> Path:
    """Make a root with these programs, each as a pair: its path here, its path there."""
    _make(root)
    for here, there in programs:
        _copy_program(Path(here), root / there.lstrip("/"), root)
    _write_cache(root)
    return root


def python_root(root: Path) -> Path:
    """Make a root with the interpreter that runs this."""
    _make(root)
    _copy_debians(root)
    for name in ("groupadd", "useradd"):
        _copy_program(Path(_administrators(name, package="passwd")), root / "usr/sbin" / name, root)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    local = root / "usr/local"
    interpreter = Path(sys.base_prefix) / "bin" / version
    _copy_program(interpreter, local / "bin" / version, root)
    for name in ("python", "python3"):
        (local / "bin" / name).symlink_to(version)
    library = local / "lib" / version
    shutil.copytree(sysconfig.get_path("stdlib"), library, ignore=shutil.ignore_patterns(*_LEFT_OUT))
    for extension in (library / "lib-dynload").glob("*.so"):
        _copy_libraries(extension, root)
    for own in _libraries(interpreter):
        if _is_pythons(own):
            shutil.copy(own, local / "lib" / own.name)
    if _CERTIFICATES.exists():
        (root / "etc/ssl/certs").mkdir(parents=True)
        shutil.copy(_CERTIFICATES, root / "etc/ssl/certs")
    _write_cache(root)
    return root


def _make(root: Path) -> None:
    for name in _FOLDERS:
        (root / name).mkdir(parents=True)
    # Whatever this process's umask is.
    root.chmod(0o755)
    (root / "tmp").chmod(0o1777)
    for name, text in _ETC.items():
        (root / "etc" / name).write_text(text, encoding="utf-8")
    _copy_program(Path("/bin/sh"), root / "bin/sh", root)


def _administrators(name: str, *, package: str) -> str:
    # Not on the PATH of every shell.
    return shutil.which(name, path="/usr/sbin:/sbin:/usr/bin:/bin") or required(name, package=package)


def _copy_program(program: Path, target: Path, root: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(program.resolve(), target)
    target.chmod(0o755)
    _copy_libraries(program, root)


def _copy_libraries(program: Path, root: Path) -> None:
    for library in _libraries(program):
        if not _is_pythons(library):
            _copy_library(library, root)


def _is_pythons(library: Path) -> bool:
    """The interpreter's own lies in a folder of this machine; in the root it lies where the image has it."""
    return library.name.startswith("libpython")


def _copy_library(library: Path, root: Path) -> None:
    target = root / str(library).lstrip("/")
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, target)
        target.chmod(0o755)


def _libraries(program: Path) -> list[Path]:
    ldd = required("ldd", package="libc-bin")
    # Of a program that is linked with nothing, ldd says so and fails.
    done = subprocess.run([ldd, str(program)], capture_output=True, text=True, timeout=PATIENCE, check=False)
    return [Path(found) for found in _LIBRARY.findall(done.stdout)]


def _copy_debians(root: Path) -> None:
    known = subprocess.run(
        [_ldconfig(), "-p"], check=True, capture_output=True, text=True, timeout=PATIENCE
    ).stdout
    for name in _OF_EVERY_DEBIAN:
        found = re.search(rf"^\s{re.escape(name)} .*=> (/\S+)$", known, re.MULTILINE)
        assert found, f"this machine has no {name}"
        _copy_library(Path(found[1]), root)


def _write_cache(root: Path) -> None:
    """Have the root's programs find its libraries."""
    places = {found.parent for found in root.rglob("*.so*") if not found.is_relative_to(root / "etc")}
    folders = {f"/{place.relative_to(root)}" for place in places if "python3" not in str(place)}
    lines = "\n".join(sorted(folders | {"/usr/local/lib"}))
    (root / "etc/ld.so.conf").write_text(f"{lines}\n", encoding="utf-8")
    subprocess.run([_ldconfig(), "-r", str(root)], check=True, capture_output=True, timeout=PATIENCE)


def _ldconfig() -> str:
    return _administrators("ldconfig", package="libc-bin")
