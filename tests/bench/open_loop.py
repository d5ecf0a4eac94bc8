"""A load that does not wait for answers: so many requests a second, whatever becomes of them.

``wrk`` sends the next request when it has the last answer, so it never offers more than a server can do. This
one sends at random moments (a Poisson process) over as many connections as that takes. It runs in a process
of its own, which costs about 30 us of CPU a request::

    with OpenLoop(url, [load], rate=9000, seconds=8, cpus={1}) as running:
        told = running.result()

Without a rate it is a closed loop over ``connections``, which finds a server's capacity.
"""

from __future__ import annotations

import base64
import json
import os
import random
import select
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self
from urllib.parse import urlsplit

from app.store.embedded import lifeline
from tests.bench.tools import ROOT
from tests.bench.wrk import SERIAL, TOKEN, Load

_OPEN_AT_START: Final = 64
_MOST_CONNECTIONS: Final = 6000
# Answers that are still to come when the load has ended get so long.
_LAST_SECONDS: Final = 5.0
_PATIENCE: Final = 60.0
_READ: Final = 65_536


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers of one status; times in milliseconds from the moment of sending."""

    count: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    # How many have a Retry-After.
    told_when: int

    @classmethod
    def of(cls, seconds: Sequence[float], told_when: int) -> Answers:
        ordered = sorted(seconds)

        def at(share: float) -> float:
            return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000, 2)

        return cls(len(ordered), at(0.5), at(0.99), at(0.999), at(1), told_when)


@dataclass(frozen=True, slots=True)
class Told:
    """What a load saw, by status and for ``2xx`` together.

    ``lost`` are requests without an answer; ``unsent`` found no connection.
    """

    seconds: float
    sent: int
    unsent: int
    lost: int
    connections: int
    # By how much requests were sent later than they should have been: more is a generator without CPU.
    late_p99_ms: float
    by_status: dict[str, Answers]
    # Without those that were sent in the first second.
    later: dict[str, Answers]

    @property
    def answered(self) -> int:
        return sum(one.count for status, one in self.by_status.items() if status.isdigit())

    @property
    def accepted(self) -> int:
        found = self.by_status.get("2xx")
        return found.count if found is not None else 0


class OpenLoop:
    """The generator's process; a context that ends it.

    Args:
        loads: take turns, one request of each.
        rate: requests a second; None is a closed loop.
        seconds: it ends after so long, or after so many ``requests``.
        cpus: where it runs.
        patience: seconds that answers may still take when the load has ended.
    """

    def __init__(
        self,
        url: str,
        loads: Sequence[Load],
        *,
        rate: float | None,
        seconds: float,
        cpus: set[int],
        connections: int = _OPEN_AT_START,
        requests: int | None = None,
        patience: float = _LAST_SECONDS,
    ) -> None:
        order = {
            "url": url,
            "loads": [[base64.b64encode(load.template).decode(), list(load.tokens)] for load in loads],
            "rate": rate,
            "seconds": seconds,
            "connections": connections,
            "requests": requests,
            "patience": patience,
        }
        self._process = lifeline.popen(
            [sys.executable, "-m", "tests.bench.open_loop"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            start_new_session=True,
        )
        os.sched_setaffinity(self._process.pid, cpus)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode())
        self._process.stdin.close()

    def result(self) -> Told:
        """Wait for its end and return what it saw."""
        assert self._process.stdout is not None
        text = self._process.stdout.read()
        assert self._process.wait(_PATIENCE) == 0, "the load generator failed"
        told = json.loads(text)
        for name in ("by_status", "later"):
            told[name] = {status: Answers(**one) for status, one in told[name].items()}
        return Told(**told)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


@dataclass(slots=True)
class _Wire:
    """One connection of the generator: the request that is under way, and what came of its answer."""

    socket: socket.socket
    sent: float = 0.0
    answer: bytearray = field(default_factory=bytearray)


class _Generator:
    def __init__(self, order: dict[str, Any]) -> None:
        where = urlsplit(order["url"])
        self._address = (where.hostname or "", where.port or 80)
        self._loads = [_requests(base64.b64decode(text), tokens) for text, tokens in order["loads"]]
        self._rate: float | None = order["rate"]
        self._seconds: float = order["seconds"]
        self._requests: float = order["requests"] or float("inf")
        self._patience: float = order["patience"]
        self._poll = select.epoll()
        self._wires: dict[int, _Wire] = {}
        self._idle: deque[_Wire] = deque()
        self._random = random.Random(20_261_127)
        self._next: Callable[[], bytes] = _in_turn(self._loads)
        # (when sent, how long, status, whether it has a Retry-After)
        self.answers: list[tuple[float, float, str, bool]] = []
        self.late: list[float] = []
        self.sent = self.unsent = self.lost = self.most = 0
        for _ in range(order["connections"]):
            self._idle.append(self._open())

    def run(self) -> dict[str, Any]:
        begun = time.perf_counter()
        end, due = begun + self._seconds, begun
        if self._rate is None:
            while self._idle:
                self._send(self._idle.popleft(), begun)
        while (now := time.perf_counter()) < end and self.sent < self._requests:
            while self._rate is not None and due <= now:
                self.late.append(now - due)
                self._offer(now)
                due += self._random.expovariate(self._rate)
            self._read(0.001, again=self._rate is None)
        self._ended = time.perf_counter()
        last = self._ended + self._patience
        while len(self._idle) < len(self._wires) and time.perf_counter() < last:
            self._read(0.05, again=False)
        self.lost += len(self._wires) - len(self._idle)
        return self._report(begun)

    def _report(self, begun: float) -> dict[str, Any]:
        self.late.sort()
        return {
            "seconds": round(self._ended - begun, 2),
            "sent": self.sent,
            "unsent": self.unsent,
            "lost": self.lost,
            "connections": self.most,
            "late_p99_ms": round(self.late[int(len(self.late) * 0.99)] * 1000, 2) if self.late else 0.0,
            "by_status": _by_status(self.answers),
            "later": _by_status([one for one in self.answers if one[0] >= begun + 1]),
        }

    def _open(self) -> _Wire:
        wire = _Wire(socket.create_connection(self._address, timeout=_PATIENCE))
        wire.socket.setblocking(False)
        wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._wires[wire.socket.fileno()] = wire
        self._poll.register(wire.socket.fileno(), select.EPOLLIN)
        self.most = max(self.most, len(self._wires))
        return wire

    def _offer(self, now: float) -> None:
        if self._idle:
            self._send(self._idle.pop(), now)
        elif len(self._wires) < _MOST_CONNECTIONS:
            self._send(self._open(), time.perf_counter())
        else:
            self.unsent += 1

    def _send(self, wire: _Wire, now: float) -> None:
        request = self._next()
        wire.sent = now
        self.sent += 1
        try:
            whole = wire.socket.send(request) == len(request)
        except OSError:
            whole = False
        if not whole:
            self._lose(wire)

    def _lose(self, wire: _Wire) -> None:
        """The server closed a connection: in the middle of a request, or an idle one."""
        if wire in self._idle:
            self._idle.remove(wire)
        else:
            self.lost += 1
        self._close(wire)

    def _close(self, wire: _Wire) -> None:
        self._wires.pop(wire.socket.fileno())
        wire.socket.close()

    def _read(self, wait: float, *, again: bool) -> None:
        for number, _ in self._poll.poll(wait):
            wire = self._wires[number]
            try:
                part = wire.socket.recv(_READ)
            except OSError:
                part = b""
            if not part:
                self._lose(wire)
                if again:
                    self._send(self._open(), time.perf_counter())
                continue
            wire.answer += part
            if not _is_whole(wire.answer):
                continue
            now, head = time.perf_counter(), wire.answer
            self.answers.append((wire.sent, now - wire.sent, head[9:12].decode(), b"\r\nRetry-After" in head))
            wire.answer = bytearray()
            if b"\r\nConnection: close" in head:
                self._close(wire)
                if not again:
                    continue
                wire = self._open()
            if again:
                self._send(wire, now)
            else:
                self._idle.append(wire)


def _is_whole(answer: bytearray) -> bool:
    end = answer.find(b"\r\n\r\n")
    if end < 0:
        return False
    at = answer.find(b"\r\nContent-Length: ", 0, end)
    length = int(answer[at + 18 : answer.find(b"\r\n", at + 2)]) if at >= 0 else 0
    return len(answer) >= end + 4 + length


def _requests(template: bytes, tokens: Sequence[str]) -> Iterator[bytes]:
    head, placed, tail = template.partition(TOKEN)
    named = [token.encode() if placed else b"" for token in tokens]
    before, marker, after = tail.partition(SERIAL)
    seed, number = random.SystemRandom().randrange(10**9), 0
    while True:
        serial = b"%09d%09d" % (seed, number) if marker else b""
        yield b"".join((head, named[number % len(named)], before, serial, after))
        number += 1


def _in_turn(loads: Sequence[Iterator[bytes]]) -> Callable[[], bytes]:
    turn = [load.__next__ for load in loads]
    number = -1

    def following() -> bytes:
        nonlocal number
        number += 1
        return turn[number % len(turn)]()

    return following


def _by_status(answers: Sequence[tuple[float, float, str, bool]]) -> dict[str, Any]:
    found: dict[str, list[tuple[float, bool]]] = {}
    for _, took, status, told in answers:
        found.setdefault(status, []).append((took, told))
        if status[0] == "2":
            found.setdefault("2xx", []).append((took, told))
    return {
        status: {name: getattr(one, name) for name in Answers.__slots__}
        for status, taken in found.items()
        for one in (Answers.of([took for took, _ in taken], sum(told for _, told in taken)),)
    }


if __name__ == "__main__":
    json.dump(_Generator(json.load(sys.stdin)).run(), sys.stdout)
