"""The supervisor's standard output: its messages and its children's lines, none lost or mixed.

Each write waits for the one before it, so a reader that pauses (a pager, Ctrl-S) pauses the children
through their pipes and does not fill our memory. A thread does the waiting, since a signal must still end
everything while the terminal is held.
"""

from __future__ import annotations

import asyncio
import os
import queue
import sys
import threading
from collections.abc import Callable

from rich.console import Console
from rich.text import Text


class Screen:
    """Writes to a file descriptor, in colour where ``console`` says so.

    ``on_gone`` is called on the event loop when the reader has gone.
    """

    def __init__(self, console: Console, fd: int, on_gone: Callable[[], None]) -> None:
        self._console = console
        self._fd = fd
        self._on_gone = on_gone
        self._turn = asyncio.Lock()
        self._work: queue.SimpleQueue[tuple[bytes, asyncio.Future[bool]]] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._gone = False
        # A daemon thread and not sys.stdout: a write that is stuck in a held terminal must not keep the
        # process alive, and the interpreter's last flush would wait for the lock of the stream.
        threading.Thread(target=self._write_forever, name="screen", daemon=True).start()

    @classmethod
    def of_stdout(cls, on_gone: Callable[[], None]) -> Screen:
        """Standard output. rich decides about colour, and honours NO_COLOR."""
        return cls(Console(file=sys.stdout, highlight=False), sys.stdout.fileno(), on_gone)

    def styled(self, text: str, style: str) -> str:
        """Return ``text`` with the escape sequences of ``style``, if the output has colour."""
        with self._console.capture() as captured:
            self._console.print(Text(text, style=style), end="", soft_wrap=True)
        return captured.get()

    async def say(self, text: str, style: str = "") -> None:
        """Print one line of the supervisor."""
        await self.write((self.styled(text, style) if style else text) + "\n")

    async def write(self, text: str) -> None:
        """Write ``text`` unchanged and whole; return when it is out."""
        async with self._turn:
            if self._gone:
                return
            done = self._loop.create_future()
            self._work.put((text.encode("utf-8", "replace"), done))
            if not await done and not self._gone:
                self._gone = True
                self._on_gone()

    def _write_forever(self) -> None:
        while True:
            data, done = self._work.get()
            written = self._write_out(data)
            try:
                self._loop.call_soon_threadsafe(_settle, done, written)
            except RuntimeError:  # the loop is closed: the program is ending
                return

    def _write_out(self, data: bytes) -> bool:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._fd, view) :]
            except OSError:
                return False
        return True


def _settle(future: asyncio.Future[bool], written: bool) -> None:
    if not future.done():
        future.set_result(written)
