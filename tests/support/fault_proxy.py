"""A TCP proxy between a replica and its store that does what networks, middleboxes and drivers do.

It knows where a command ends and how many replies have come, so that a fault strikes at a known point: before
the server saw the commands, or after it ran them and before their replies are passed on.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from enum import StrEnum
from typing import Any, Final, Self

import hiredis

HOST: Final = "127.0.0.1"
_CHUNK: Final = 65_536
_TURNS: Final = 10
_NOTHING_YET: Final = object()


class Fault(StrEnum):
    """What strikes the commands that came together, or their replies."""

    DELAY = "delay"  # they are late at the server, and everything behind them
    LATE_REPLY = "late reply"  # they run at once, and their replies are late
    STALL = "stall"  # nothing moves for ``stall`` seconds; the commands still run afterwards
    CUT = "cut"  # the connection ends, and the server never saw them
    DROPPED_REPLY = "dropped reply"  # they run, and the connection ends in place of their replies
    REPEAT = "repeat"  # they run twice, over two connections, before a reply comes: a driver's retry
    LATE_REPEAT = "late repeat"  # they run again after their replies: a first try that was stuck on its way


class FaultProxy:
    """Listens on a free port of loopback, and passes on to a server on another one.

    Args:
        port: the server's. It may come and go.
        rates: how likely each fault is for commands that come together; the rest passes.
        seed: of the faults' order.
        stall: seconds that a stall lasts.
        pause: the longest delay in seconds.

    Attributes:
        quiet: while it is true, everything passes.
        struck: how often each fault struck.
    """

    def __init__(
        self,
        port: int,
        rates: Mapping[Fault, float],
        *,
        seed: int = 0,
        stall: float = 1.2,
        pause: float = 0.02,
    ) -> None:
        self._there = port
        self._faults = list(rates)
        self._weights = [*rates.values(), 1 - sum(rates.values())]
        self._random = random.Random(seed)
        self._stall = stall
        self._pause = pause
        self._tasks: set[asyncio.Task[None]] = set()
        self.quiet = False
        self.struck: Counter[Fault] = Counter()
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        # A connection that the server is just taking gets its task in the loop's next turns.
        for _turn in range(_TURNS):
            await asyncio.sleep(0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def url_instead_of(self, url: str) -> str:
        """The URL of the server, with this proxy in its place."""
        direct = f":{self._there}/"
        assert direct in url, "the URL is of another server"
        return url.replace(direct, f":{self.port}/")

    def drawn(self) -> Fault | None:
        """The fault that strikes next, if any."""
        if self.quiet:
            return None
        fault = self._random.choices([*self._faults, None], self._weights)[0]
        if fault is not None:
            self.struck[fault] += 1
        return fault

    async def moment(self) -> None:
        """Wait for a time that is too short for a deadline and long enough to change an order."""
        await asyncio.sleep(self._random.uniform(0, self._pause))

    async def standstill(self) -> None:
        """Wait as long as a stall lasts."""
        await asyncio.sleep(self._stall)

    def first(self) -> bool:
        """Toss a coin."""
        return self._random.random() < 0.5

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        # Also where the task is cancelled before it begins.
        task.add_done_callback(lambda _: writer.transport.abort())
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await _Way(self, (reader, writer), await self.opened()).run()

    def in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Go on with this, until the proxy ends."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def opened(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """One more connection to the server."""
        return await asyncio.open_connection(HOST, self._there)


class _Way:
    """One client's connection, and ours to the server."""

    def __init__(
        self,
        proxy: FaultProxy,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._proxy = proxy
        self._from_client, self._to_client = client
        self._from_server, self._to_server = server
        # The commands that came first sign the client on, and a second connection, too.
        self._sign_on: tuple[bytes, int] | None = None
        self._sent = 0
        self._replies = _Replies()
        self._held: list[bytes] | None = None

    async def run(self) -> None:
        """Pass on until either side ends. Then both end, as the death of a middlebox would have it."""
        tasks = [asyncio.create_task(self._up()), asyncio.create_task(self._down())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._to_client.transport.abort()
            self._to_server.transport.abort()

    async def _up(self) -> None:
        strike: dict[Fault, Callable[[bytes, int], Coroutine[Any, Any, bool]]] = {
            Fault.DELAY: self._delay,
            Fault.LATE_REPLY: self._late_reply,
            Fault.STALL: self._standstill,
            Fault.DROPPED_REPLY: self._dropped_reply,
            Fault.REPEAT: self._repeat,
            Fault.LATE_REPEAT: self._late_repeat,
        }
        rest = b""
        while data := await self._from_client.read(_CHUNK):
            data, count, rest = whole_commands(rest + data)
            if not count:
                continue
            fault = self._proxy.drawn() if self._sign_on is not None else None
            self._sign_on = self._sign_on or (data, count)
            if fault is Fault.CUT:
                return
            if fault is None:
                self._pass_on(data, count)
            elif not await strike[fault](data, count):
                return
            await self._to_server.drain()

    async def _down(self) -> None:
        while data := await self._from_server.read(_CHUNK):
            self._replies.feed(data)
            if self._held is not None:
                self._held.append(data)
            else:
                self._to_client.write(data)
                await self._to_client.drain()

    def _pass_on(self, data: bytes, count: int) -> None:
        self._sent += count
        self._to_server.write(data)

    async def _delay(self, data: bytes, count: int) -> bool:
        await self._proxy.moment()
        self._pass_on(data, count)
        return True

    async def _late_reply(self, data: bytes, count: int) -> bool:
        self._hold()
        self._pass_on(data, count)
        await self._proxy.moment()
        self._let_go()
        return True

    async def _standstill(self, data: bytes, count: int) -> bool:
        self._hold()
        await self._proxy.standstill()
        self._pass_on(data, count)
        self._let_go()
        # Should the client be gone by now, the commands still reach the server.
        await self._replies.come_to(self._sent)
        return True

    async def _dropped_reply(self, data: bytes, count: int) -> bool:
        self._hold()
        self._pass_on(data, count)
        await self._replies.come_to(self._sent)
        return False

    async def _repeat(self, data: bytes, count: int) -> bool:
        self._hold()
        if self._proxy.first():
            await self._run_elsewhere(data, count)
            self._pass_on(data, count)
        else:
            self._pass_on(data, count)
            await self._replies.come_to(self._sent)
            await self._run_elsewhere(data, count)
        await self._replies.come_to(self._sent)
        self._let_go()
        return True

    async def _late_repeat(self, data: bytes, count: int) -> bool:
        self._pass_on(data, count)
        expected = self._sent

        async def again() -> None:
            await self._replies.come_to(expected)
            await self._proxy.moment()
            await self._run_elsewhere(data, count)

        self._proxy.in_background(again())
        return True

    async def _run_elsewhere(self, data: bytes, count: int) -> None:
        """Run these commands over another connection to the end."""
        assert self._sign_on is not None
        reader, writer = await self._proxy.opened()
        try:
            replies = _Replies()
            writer.write(self._sign_on[0] + data)
            while replies.count < self._sign_on[1] + count:
                received = await reader.read(_CHUNK)
                if not received:
                    return
                replies.feed(received)
        finally:
            writer.transport.abort()

    def _hold(self) -> None:
        self._held = []

    def _let_go(self) -> None:
        held, self._held = self._held or [], None
        self._to_client.write(b"".join(held))


class _Replies:
    """Counts replies."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader(notEnoughData=_NOTHING_YET)
        self._news = asyncio.Event()
        self.count = 0

    def feed(self, data: bytes) -> None:
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not _NOTHING_YET:
            # A push is no reply to anything.
            self.count += not isinstance(reply, hiredis.PushNotification)
        self._news.set()

    async def come_to(self, count: int) -> None:
        """Wait until there are so many."""
        while self.count < count:
            self._news.clear()
            await self._news.wait()


def whole_commands(data: bytes) -> tuple[bytes, int, bytes]:
    """The whole commands at the beginning (RESP arrays of bulk strings), how many they are, and the rest."""
    end = count = 0
    while (after := _end_of_command(data, end)) is not None:
        end, count = after, count + 1
    return data[:end], count, data[end:]


def _end_of_command(data: bytes, start: int) -> int | None:
    line = data.find(b"\r\n", start)
    if line < 0:
        return None
    at = line + 2
    for _ in range(int(data[start + 1 : line])):
        line = data.find(b"\r\n", at)
        if line < 0:
            return None
        at = line + 2 + int(data[at + 1 : line]) + 2
        if at > len(data):
            return None
    return at
