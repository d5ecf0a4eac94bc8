"""Signals as something that a loop can wait for."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


@contextmanager
def heard(numbers: Iterable[signal.Signals]) -> Iterator[socket.socket]:
    """Yield a socket from which ``received`` reads the signals of these numbers, in place of what they do."""
    ear, mouth = socket.socketpair()
    for end in (ear, mouth):
        end.setblocking(False)
    before_fd = signal.set_wakeup_fd(mouth.fileno(), warn_on_full_buffer=False)
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    try:
        yield ear
    finally:
        signal.set_wakeup_fd(before_fd)
        for number, handler in before.items():
            signal.signal(number, handler)
        ear.close()
        mouth.close()


def received(ear: socket.socket) -> list[signal.Signals]:
    """The signals that came since the last look, in their order."""
    try:
        return [signal.Signals(byte) for byte in ear.recv(4096)]
    except BlockingIOError:
        return []
