"""Tests do not ask how long something took, and the helpers that they use instead do what they say."""

from __future__ import annotations

import ast
import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.clocks import LENIENCY, eventually, kept_deadline, no_sooner_than, until

TESTS = Path(__file__).parents[1]
# The only modules that read a clock to see how long something took; benches and drills are there to measure.
MAY_MEASURE = (
    *("support/clocks.py", "support/busy.py", "support/onlooker.py", "bench/", "faults/"),
    *("fuzz/__main__.py", "release/__main__.py"),
)
READINGS = frozenset({"monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time"})
LEAST_WAIT_SECONDS = 30


def _called(node: ast.AST) -> str:
    """The last part of the name of what is called, if anything is."""
    if not isinstance(node, ast.Call):
        return ""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _measures_wall_clock(node: ast.AST) -> bool:
    """``time.time()`` less a moment before it, or the other way round; less a constant is another moment."""
    if not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub)):
        return False
    sides = (node.left, node.right)
    return any(_called(one) == "time" for one in sides) and not isinstance(node.right, ast.Constant)


def _impatient(node: ast.Call) -> bool:
    given = [*node.args, *(keyword.value for keyword in node.keywords)]
    values = [one.value for one in given if isinstance(one, ast.Constant)]
    return any(isinstance(value, int | float) and value < LEAST_WAIT_SECONDS for value in values)


def breaches(source: str) -> Iterator[str]:
    """What in this source depends on how busy the machine is, line by line."""
    for node in ast.walk(ast.parse(source)):
        why = ""
        if isinstance(node, ast.Call):
            name = _called(node)
            if name in READINGS:
                why = "measures; use kept_deadline, no_sooner_than or virtual_time"
            elif name == "time" and "loop" in ast.unparse(node) and "virtual_time" not in source:
                why = "measures; a loop's clock is for virtual_time"
            elif name in ("timeout", "wait_for") and _impatient(node):
                why = "is impatient; use PATIENCE, until or eventually"
            elif name == "from_url":
                why = "gives up after five seconds; use onlooker or async_onlooker"
        elif isinstance(node, ast.Compare) and any(map(_measures_wall_clock, ast.walk(node))):
            why = "measures; compare with a time.time() before and one after"
        if why:
            yield f"{getattr(node, 'lineno', 0)}: {ast.unparse(node)[:80]}: {why}"


def test_no_test_asks_how_long_something_took() -> None:
    found = [
        f"{name}:{breach}"
        for path in sorted(TESTS.rglob("*.py"))
        if "node_modules" not in path.parts
        and not (name := str(path.relative_to(TESTS))).startswith(MAY_MEASURE)
        for breach in breaches(path.read_text(encoding="utf-8"))
    ]
    assert found == [], "\n".join(found)


@pytest.mark.parametrize(
    "source",
    [
        "assert time.monotonic() - started < 2",
        "took = perf_counter()",
        "assert time.time() - before < 2",
        "assert asyncio.get_running_loop().time() - before < 2",
        "assert abs(found['expires_at'] - time.time()) < 2",
        "async with asyncio.timeout(1.5): pass",
        "await asyncio.wait_for(done.wait(), 5)",
        "await asyncio.wait_for(done.wait(), timeout=0.5)",
        "store = redis.Redis.from_url(engine.url)",
    ],
)
def test_the_check_finds_each_way_to_ask(source: str) -> None:
    assert list(breaches(source))


@pytest.mark.parametrize(
    "source",
    [
        "census = Census(monotonic=time.monotonic)",
        "assert before + 60 <= found['expires_at'] <= time.time() + 60",
        "assert before - 31 <= found['expires_at'] <= time.time() - 29",
        "await asyncio.wait_for(done.wait(), PATIENCE)",
        "with kept_deadline(3): pass",
    ],
)
def test_the_check_leaves_alone_what_no_busy_machine_breaks(source: str) -> None:
    assert list(breaches(source)) == []


def test_a_deadline_is_kept_within_ten_times_what_is_expected() -> None:
    with kept_deadline(60):
        pass
    with pytest.raises(AssertionError, match=r"s where 0\.001 s are expected"), kept_deadline(0.001):
        time.sleep(0.001 * LENIENCY)


def test_what_is_over_too_soon_is_noticed() -> None:
    with no_sooner_than(0.01):
        time.sleep(0.02)
    with pytest.raises(AssertionError, match="have to pass"), no_sooner_than(60):
        pass


async def test_patience_ends_with_what_the_test_has_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as impatient:
        impatient.setattr("tests.support.clocks.PATIENCE", 0.05)
        with pytest.raises(AssertionError, match="the store is away"):
            until(lambda: False, "the store is away")
        with pytest.raises(AssertionError, match="the store is away"):
            await eventually(lambda: False, lambda: "the store is away")
    looks = iter([0, 0, 7])

    async def look() -> int:
        return next(looks)

    assert await eventually(look) == 7


@pytest.mark.virtual_time
async def test_virtual_time_passes_only_while_nothing_else_can_happen() -> None:
    loop, order = asyncio.get_running_loop(), list[str]()
    begun = loop.time()

    async def after(seconds: float, name: str) -> None:
        await asyncio.sleep(seconds)
        order.append(name)

    with kept_deadline(60):
        await asyncio.gather(after(3600, "an hour"), after(60, "a minute"), after(0, "now"))
    assert order == ["now", "a minute", "an hour"]
    assert loop.time() == begun + 3600
    assert await asyncio.to_thread(lambda: "from a thread") == "from a thread"
    assert loop.time() == begun + 3600


@pytest.mark.virtual_time
async def test_virtual_time_waits_for_bytes_that_are_on_their_way() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()

    begun = asyncio.get_running_loop().time()
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
    writer.write(b"hi\n")
    async with asyncio.timeout(60):
        assert await reader.read() == b"hi\n"
    writer.close()
    server.close()
    assert asyncio.get_running_loop().time() == begun
