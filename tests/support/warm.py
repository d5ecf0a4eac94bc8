"""Short runs of our command line as forks of a process that has imported it.

Most of the second of CPU that a command takes is for its imports, and the tests run hundreds. A fork is a
process with arguments, an environment, streams and an exit status of its own. Unlike ``python -m app`` it has
all commands imported from the start, so the tests run each command in that way, too.

``python -m tests.support.warm FD`` is the process that forks. It ends with the process that holds the other
end of this socket.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import selectors
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

import app.cli
from app.__main__ import main as command_line
from app.store.embedded import lifeline
from tests.support.clocks import PATIENCE
from tests.support.processes import ROOT

_LARGEST: Final = 65_536
_OURS: Final = ("CLOAKROOM_", "OPENAI_", "AZURE_")


def fits(changes: Mapping[str, str]) -> bool:
    """Whether a fork takes these variables as any start does; Python and rich read others as they start."""
    return all(name.startswith(_OURS) for name in changes)


def run(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str, str]:
    """Run ``cloakroom`` without a terminal; returns its exit status, standard output and standard error.

    Raises:
        TimeoutError: it does not end.
    """
    request = json.dumps({"arguments": list(arguments), "environment": dict(environment)}).encode()
    (out, to_out), (err, to_err), (status, to_status) = os.pipe(), os.pipe(), socket.socketpair()
    nothing = os.open(os.devnull, os.O_RDONLY)
    theirs = [nothing, to_out, to_err, to_status.detach()]
    socket.send_fds(_forker().requests, [request], theirs)
    for descriptor in theirs:
        os.close(descriptor)
    streams = [_Stream(out), _Stream(err)]
    with status:
        status.settimeout(PATIENCE)
        ended = int(status.recv(16))
    return ended, streams[0].text(), streams[1].text()


class _Stream:
    """Reads all that comes at this end of a pipe, so that no process has to wait for us."""

    def __init__(self, end: int) -> None:
        self._end, self._text = end, ""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def text(self) -> str:
        self._thread.join(PATIENCE)
        return self._text

    def _read(self) -> None:
        with os.fdopen(self._end, encoding="utf-8") as pipe:
            self._text = pipe.read()


class _Forker:
    """The process that forks, and the way to it."""

    def __init__(self) -> None:
        self.requests, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with there:
            self._process = lifeline.popen(
                [sys.executable, "-m", __name__, str(there.fileno())],
                cwd=ROOT,
                env={name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
                stdin=subprocess.DEVNULL,
                pass_fds=[there.fileno()],
                start_new_session=True,
            )

    def end(self) -> None:
        self.requests.close()
        self._process.wait(PATIENCE)


@cache
def _forker() -> _Forker:
    return _Forker()


def end() -> None:
    """End the process that forks, where there is one."""
    if _forker.cache_info().currsize:
        _forker().end()
        _forker.cache_clear()


def _serve(requests: socket.socket) -> Mapping[str, Any] | None:
    """Fork for each request and tell each status; returns the request in a fork, and None at the end."""
    with selectors.DefaultSelector() as events:
        events.register(requests, selectors.EVENT_READ)
        while True:
            for key, _ in events.select():
                if key.fileobj is not requests:
                    events.unregister(key.fd)
                    os.close(key.fd)
                    _tell(*key.data)
                    continue
                text, streams, _, _ = socket.recv_fds(requests, _LARGEST, 4)
                if not text:
                    return None
                pid = os.fork()
                if pid == 0:
                    for number, stream in enumerate(streams[:3]):
                        os.dup2(stream, number)
                    for stream in streams:
                        os.close(stream)
                    request: Mapping[str, Any] = json.loads(text)
                    return request
                for stream in streams[:3]:
                    os.close(stream)
                events.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, streams[3]))


def _tell(pid: int, to: int) -> None:
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with socket.socket(fileno=to) as asking:
        asking.sendall(b"%d" % status)


def main() -> None:
    """Import every command, and fork until nobody asks any more."""
    for module in pkgutil.walk_packages(app.cli.__path__, f"{app.cli.__name__}."):
        importlib.import_module(module.name)
    assert threading.active_count() == 1, "a fork has one thread alone"
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as requests:
        request = _serve(requests)
    if request is not None:
        os.environ.clear()
        os.environ.update(request["environment"])
        sys.argv[1:] = request["arguments"]
        command_line()


if __name__ == "__main__":
    main()
