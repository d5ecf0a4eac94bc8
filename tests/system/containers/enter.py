"""``python -I -S enter.py SPEC``: becomes a container's program, under the same process id.

Run it as root inside ``ip netns exec``, which has made a mount namespace whose mounts stay in it. ``SPEC`` is
JSON, the fields of ``Confinement``; the environment is the program's own. Nothing but the standard library
is used, since the interpreter runs without its site packages.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import shutil
import signal
import sys
from pathlib import Path
from typing import Any, Final

# <sys/mount.h>, <linux/prctl.h>
_RDONLY: Final = 1
_NOSUID: Final = 2
_NODEV: Final = 4
_REMOUNT: Final = 32
_BIND: Final = 4096
_PDEATHSIG: Final = 1
_CAPBSET_DROP: Final = 24
_NO_NEW_PRIVS: Final = 38
_CAPABILITIES: Final = 64  # more than any kernel has
_DEVICES: Final = ("null", "zero", "full", "random", "urandom")
_libc: Final = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _mount(source: str, target: Path, kind: str = "", flags: int = 0, options: str = "") -> None:
    arguments = (source.encode(), str(target).encode(), kind.encode(), flags, options.encode())
    _check(_libc.mount(*arguments), f"mount {source} at {target}")


def _bind(source: Path, target: Path, *, read_only: bool) -> None:
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    _mount(str(source), target, flags=_BIND)
    if read_only:
        _mount("", target, flags=_BIND | _REMOUNT | _RDONLY)


def _prepare(root: Path, spec: dict[str, Any]) -> None:
    _mount(str(root), root, flags=_BIND)
    for name in _DEVICES:
        _bind(Path("/dev") / name, root / "dev" / name, read_only=False)
    (root / "proc").mkdir(exist_ok=True)
    _mount("proc", root / "proc", "proc", _NOSUID | _NODEV)
    for source, target in spec["binds"]:
        _bind(Path(source), root / target.lstrip("/"), read_only=True)
    for target in spec["tmpfs"]:
        folder = root / target.lstrip("/")
        folder.mkdir(parents=True, exist_ok=True)
        _mount("tmpfs", folder, "tmpfs", _NOSUID | _NODEV, "mode=1777")
    for source, target in spec["volumes"]:
        _bind(Path(source), root / target.lstrip("/"), read_only=False)
    if spec["read_only"]:
        _mount("", root, flags=_BIND | _REMOUNT | _RDONLY)


def _confine(spec: dict[str, Any]) -> None:
    for name, (soft, hard) in spec["limits"].items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name.upper()}"), (soft, hard))
    if spec["drop_capabilities"]:
        for number in range(_CAPABILITIES):
            _libc.prctl(_CAPBSET_DROP, number, 0, 0, 0)
    os.setgroups([])
    os.setgid(spec["gid"])
    # From root to another user: the effective and permitted sets are empty then.
    os.setuid(spec["uid"])
    if spec["no_new_privileges"]:
        _check(_libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    # A change of user took away what the lifeline had asked for.
    _check(_libc.prctl(_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "pdeathsig")


def main(spec: dict[str, Any]) -> None:
    """Mount, confine, become."""
    root = Path(spec["root"])
    _prepare(root, spec)
    os.chroot(root)
    os.chdir(spec["folder"])
    _confine(spec)
    command: list[str] = spec["command"]
    found = shutil.which(command[0])
    if found is None:
        sys.exit(f"{command[0]}: no such program in the image")
    os.execv(found, command)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
