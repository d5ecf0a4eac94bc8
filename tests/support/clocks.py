"""Time in tests: the only place that reads a clock to see how long something took.

A busy machine makes everything late, so a test does not ask how long something took. It waits for what must
come with ``until`` or ``eventually``, whose patience is only for a test that has failed anyway. It shows that
a deadline is kept in virtual time (``@pytest.mark.virtual_time``), where time moves only while nothing else
can happen. Where real time is the property itself, ``kept_deadline`` allows ten times the expected value.
"""

from __future__ import annotations

import asyncio
import inspect
import selectors
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar, TypeVarTuple, overload

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

# Seconds that a test waits for what must come. An idle machine needs a small part of it.
PATIENCE: Final = 90.0
LENIENCY: Final = 10
_LOOK_AGAIN_SECONDS: Final = 0.02
# Bytes between two sockets of one process arrive at once, or when a kernel thread gets its turn.
_BYTES_ARRIVE_SECONDS: Final = 0.1


def until(found: Callable[[], T], what: object = "it never came to be") -> T:
    """Wait in this thread until ``found`` returns something true, and return that.

    ``what`` is the failure's message, or makes it.
    """
    deadline = time.monotonic() + PATIENCE
    while not (result := found()):
        assert time.monotonic() < deadline, what() if callable(what) else what
        time.sleep(_LOOK_AGAIN_SECONDS)
    return result


@overload
async def eventually(found: Callable[[], Coroutine[Any, Any, T]], what: object = ...) -> T: ...
@overload
async def eventually(found: Callable[[], T], what: object = ...) -> T: ...
async def eventually(found: Callable[[], Any], what: object = "it never came to be") -> Any:
    """Wait in this loop until ``found`` returns something true, and return that; it may be a coroutine."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while True:
        result = found()
        if inspect.isawaitable(result):
            result = await result
        if result:
            return result
        assert asyncio.get_running_loop().time() < deadline, what() if callable(what) else what
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)


@contextmanager
def kept_deadline(expected: float) -> Iterator[None]:
    """What is inside keeps a deadline of ``expected`` seconds: it takes less than ten times as long."""
    begun = time.monotonic()
    yield
    elapsed = time.monotonic() - begun
    assert elapsed < expected * LENIENCY, f"{elapsed:.1f} s where {expected:g} s are expected"


@contextmanager
def no_sooner_than(seconds: float) -> Iterator[None]:
    """What is inside takes at least so long, which a busy machine cannot break."""
    begun = time.monotonic()
    yield
    elapsed = time.monotonic() - begun
    assert elapsed >= seconds, f"{elapsed:.3f} s where {seconds:g} s have to pass"


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop whose clock stands while anything can run, and then jumps to the next timer.

    For tests whose whole world is in their loop: sockets between two ends in it may be used, other processes
    may not, since the clock does not wait for them. What would run in a thread runs at once.
    """

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    def run_in_executor(
        self, executor: Any, func: Callable[[*Arguments], T], *args: *Arguments
    ) -> asyncio.Future[T]:
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done


class _JumpingSelector(selectors.DefaultSelector):
    """Instead of waiting for a timer it lets the time pass at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        # The loop's own pipe is always there; more than that are sockets of the test.
        ready = super().select(_BYTES_ARRIVE_SECONDS if len(self.get_map()) > 1 else 0)
        if not ready:
            self.now += timeout
        return ready
