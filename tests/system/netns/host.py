"""One host of the proof: a network namespace, with interfaces, routes and counters of its own."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from tests.support.clocks import PATIENCE

T = TypeVar("T")

# Where iproute2 keeps a namespace's name.
NAMES: Final = Path("/var/run/netns")
PREFIX: Final = "cloakroom-"
_OWNED = re.compile(rf"{PREFIX}(\d+)-")
_CLONE_NEWNET: Final = 0x4000_0000  # <linux/sched.h>
# A namespace inherits these from the machine (net.core.devconf_inherit_init_net), and a machine that runs
# containers forwards. Reverse-path checks would drop a stray packet before it is counted.
_SYSCTLS: Final = {"ip_forward": "0", "conf/all/rp_filter": "0", "conf/default/rp_filter": "0"}


class CommandFailed(Exception):
    """``ip`` said no; the message is what it wrote."""


def ip(*arguments: str) -> str:
    """Run ``ip`` and return its output.

    Raises:
        CommandFailed: it is missing, or refused.
    """
    done = subprocess.run(
        [program(), *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    if done.returncode != 0:
        raise CommandFailed(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def program() -> str:
    """The path of ``ip``."""
    found = shutil.which("ip")
    if found is None:
        raise CommandFailed("the program ip (Debian: iproute2) is not installed")
    return found


class Host:
    """A namespace with nothing but its loopback; ``delete`` takes its cables with it.

    Args:
        name: its part in the proof, up to 12 characters: cables to it carry it.
        run: what tells the namespaces of one world from those of another.
    """

    def __init__(self, name: str, run: str) -> None:
        self.name = name
        # The process id lets a later run find what a killed one left behind.
        self.namespace = f"{PREFIX}{os.getpid()}-{run}-{name}"

    @property
    def prefix(self) -> list[str]:
        """The command that becomes a program on this host, under the same process id."""
        return [program(), "netns", "exec", self.namespace]

    def create(self) -> None:
        """Make the namespace: forwarding off, loopback up."""
        ip("netns", "add", self.namespace)
        self.ip("link", "set", "lo", "up")
        for name, value in _SYSCTLS.items():
            self.inside(partial(_set_sysctl, name, value))

    def delete(self) -> None:
        """Remove the namespace, if it was made."""
        if (NAMES / self.namespace).exists():
            ip("netns", "del", self.namespace)

    def ip(self, *arguments: str) -> str:
        """Run ``ip`` on this host."""
        return ip("-n", self.namespace, *arguments)

    def route(self, address: str, protocol: str) -> str | None:
        """The kernel's route for a packet of this protocol (``udp``, ``tcp``); None when it has none."""
        try:
            return self.ip("route", "get", address, "ipproto", protocol)
        except CommandFailed as error:
            if "unreachable" in str(error):
                return None
            raise

    def inside(self, work: Callable[[], T]) -> T:
        """Do this work on this host, in a thread that enters the namespace and then ends."""

        def enter_and_work() -> T:
            self._enter()
            return work()

        with ThreadPoolExecutor(max_workers=1) as pool:
            return pool.submit(enter_and_work).result()

    def _enter(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        with (NAMES / self.namespace).open() as handle:
            if libc.setns(handle.fileno(), _CLONE_NEWNET) != 0:
                number = ctypes.get_errno()
                raise OSError(number, f"setns: {os.strerror(number)}", self.namespace)


def sysctl(name: str) -> str:
    """Read ``net.ipv4.<name>`` of the host that this runs inside."""
    return (Path("/proc/sys/net/ipv4") / name).read_text().strip()


def _set_sysctl(name: str, value: str) -> None:
    # Only where it differs: in some containers these files cannot be written, and need not be.
    if sysctl(name) != value:
        (Path("/proc/sys/net/ipv4") / name).write_text(value)


def remove_abandoned() -> None:
    """Remove the namespaces of runs that were killed before they could do it themselves."""
    for name in ip("netns", "list").split():
        owner = _OWNED.match(name)
        if owner is not None and not Path(f"/proc/{owner[1]}").exists():
            ip("netns", "del", name)
