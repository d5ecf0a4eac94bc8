"""The lines from the supervisor to its workers: waits until something comes on one of them."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable
from typing import Final

from app.supervisor.messages import Message
from app.supervisor.process import WorkerProcess

# Takes a message of the worker with this number.
Take = Callable[[int, WorkerProcess, Message], None]


class Lines:
    """Reads what workers say, and sends what they did not take at once.

    Args:
        take: is called with each message.
    """

    def __init__(self, take: Take) -> None:
        self._take: Final = take
        self._selector: Final = selectors.DefaultSelector()
        self._processes: dict[socket.socket, tuple[int, WorkerProcess]] = {}

    def add(self, number: int, process: WorkerProcess) -> None:
        """Listen to this worker."""
        self._processes[process.line] = number, process
        self._selector.register(process.line, selectors.EVENT_READ)

    def add_ear(self, ear: socket.socket, hear: Callable[[], None]) -> None:
        """Call ``hear`` when something comes there."""
        self._selector.register(ear, selectors.EVENT_READ, hear)

    def wait(self, seconds: float) -> None:
        """Wait so long for something to come, and take what came."""
        for line, (_, process) in self._processes.items():
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if process.behind else 0)
            if self._selector.get_key(line).events != events:
                self._selector.modify(line, events)
        for key, events in self._selector.select(seconds):
            if key.data is not None:
                key.data()
                continue
            ready = key.fileobj
            # It may have gone with what was heard before.
            if not isinstance(ready, socket.socket) or ready not in self._processes:
                continue
            number, process = self._processes[ready]
            if events & selectors.EVENT_WRITE:
                process.flush()
            if events & selectors.EVENT_READ:
                self._read(number, process)

    def _read(self, number: int, process: WorkerProcess) -> None:
        try:
            for message in process.receive():
                self._take(number, process, message)
        except EOFError:
            self._forget(process)

    def _forget(self, process: WorkerProcess) -> None:
        if self._processes.pop(process.line, None) is not None:
            self._selector.unregister(process.line)

    def end(self, number: int, process: WorkerProcess) -> None:
        """Take the last words of a worker that has ended, and close the line."""
        if process.line in self._processes:
            self._read(number, process)
        self._forget(process)
        process.line.close()

    def close_in_child(self) -> None:
        """In a new process: close this end of all lines. The supervisor's are not touched."""
        self._selector.close()
        for line in self._processes:
            line.close()
