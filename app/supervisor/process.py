"""One worker process, as its supervisor sees it: how it begins, and the line to it.

A worker is forked, not started afresh. The supervisor has no threads, no event loop and no connection, and
OpenSSL makes new random numbers after a fork; so nothing can be held by two processes. A forked worker serves
after a tenth of a second, without reading a file of the program again, and shares the memory of what was
imported.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Final, NoReturn

from app.supervisor.messages import Message, Messages
from app.telemetry.redaction import redact

_CHUNK: Final = 262_144
# The supervisor passes on what they ask for. A service manager may send them to each process of the unit, and
# a terminal does, so a worker must not take them for itself. SIGHUP has a meaning once the worker serves.
_NOT_FOR_WORKERS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

# Runs in the new process with its end of the line, and returns its exit status.
Run = Callable[[socket.socket], int]


class WorkerProcess:
    """A worker, from its start to its death.

    Args:
        run: what the new process does.
        tidy: is called in the new process first, to close what belongs to the supervisor.

    Raises:
        OSError: the system has no room for one more process.
    """

    def __init__(self, run: Run, tidy: Callable[[], None]) -> None:
        ours, theirs = socket.socketpair()
        # A signal in between would be taken for one to the supervisor.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            self.pid: Final = os.fork()
            if self.pid == 0:
                ours.close()
                _live(run, theirs, tidy, before)
        except OSError:
            ours.close()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()
        ours.setblocking(False)
        self.line: Final = ours
        self.listening = False
        # Seconds of the supervisor's clock, one by one, in which it was not heard.
        self.silent = 0
        self._messages = Messages()
        self._unsent = bytearray()

    @property
    def behind(self) -> bool:
        """Whether something could not be sent yet."""
        return bool(self._unsent)

    def send(self, message: bytes) -> None:
        """Send it, or keep it for ``flush`` until the worker reads."""
        self._unsent += message
        self.flush()

    def flush(self) -> None:
        """Send what the line takes."""
        with contextlib.suppress(BlockingIOError):
            while self._unsent:
                try:
                    sent = self.line.send(self._unsent)
                except ConnectionError:
                    # It is about to end; its death is noticed by itself.
                    self._unsent.clear()
                    return
                del self._unsent[:sent]

    def receive(self) -> Iterator[Message]:
        """What the worker said.

        Raises:
            EOFError: it has closed its end.
        """
        try:
            data = self.line.recv(_CHUNK)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if not data:
            raise EOFError
        yield from self._messages.feed(data)

    def ended(self) -> int | None:
        """The exit status, or minus the signal that ended it; None while it runs."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        # It is a child that was not waited for, so its id cannot be another process's.
        os.kill(self.pid, number)


def _live(
    run: Run, line: socket.socket, tidy: Callable[[], None], signals: set[signal.Signals | int]
) -> NoReturn:
    """Be the worker, from the fork to the exit; nothing of the supervisor's stack runs after it."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in _NOT_FOR_WORKERS:
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        tidy()
        signal.pthread_sigmask(signal.SIG_SETMASK, signals)
        status = run(line)
    except BaseException:
        sys.stderr.write(redact(traceback.format_exc()))
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)
