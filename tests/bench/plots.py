"""The pictures of docs/performance.md, from the figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tests.bench.svg import COLOURS, FAINT, INK, RULE, Canvas, log_place, nice_top

NAMES: Final = {"floor": "bare aiohttp", "cloakroom": "Cloakroom", "litellm": "LiteLLM"}
GOAL: Final = 1.25
_WIDTH: Final = 860
_ROW: Final = 26
# Pixels that the words beside a goal's mark take.
_GOAL_WORDS: Final = 160


def cpu(bench: Mapping[str, Any]) -> str:
    """CPU a request: all three servers on one scale, and Cloakroom against the floor on its own."""
    kinds = ("mint, limited", "mint", "relay")
    canvas = Canvas(_WIDTH, 500, "CPU microseconds a request")
    canvas.text(24, 32, "CPU a request, microseconds, 32 connections (less is better)", size=16, bold=True)
    bottom = _bars(canvas, bench, kinds, ("floor", "cloakroom"), top=64, goal=True)
    _bars(canvas, bench, ("mint", "relay"), ("floor", "cloakroom", "litellm"), top=bottom + 34, goal=False)
    return canvas.render()


def _bars(
    canvas: Canvas,
    bench: Mapping[str, Any],
    kinds: tuple[str, ...],
    names: tuple[str, ...],
    *,
    top: float,
    goal: bool,
) -> float:
    """Bars of each kind below each other, one for each server; returns where they end."""
    left, right = 230, _WIDTH - 90
    runs = {name: bench["servers"][name]["runs"] for name in names}
    goals = {kind: runs["floor"][kind]["32"]["cpu_us"] * GOAL for kind in kinds if goal}
    most = nice_top(
        max(*(runs[name][kind]["32"]["cpu_us"] for name in names for kind in kinds), *goals.values())
    )
    y = top
    for kind in kinds:
        canvas.text(24, y + 17, kind, bold=True)
        for name in names:
            value = runs[name][kind]["32"]["cpu_us"]
            width = (right - left) * value / most
            canvas.text(left - 10, y + 17, NAMES[name], colour=FAINT, anchor="end")
            canvas.bar(left, y + 3, width, _ROW - 8, colour=COLOURS[name])
            canvas.text(left + width + 8, y + 17, f"{value:,.0f}")
            y += _ROW
        if kind in goals:
            x = left + (right - left) * goals[kind] / most
            canvas.line(x, y - _ROW - 2, x, y + 4, colour=INK, width=1.5)
            words = f"goal: {GOAL} times the floor"
            if x + _GOAL_WORDS < _WIDTH:
                canvas.text(x + 6, y + 7, words, size=11, colour=FAINT)
            else:
                canvas.text(x - 6, y + 7, words, size=11, colour=FAINT, anchor="end")
        y += 18
    return y


def latency(bench: Mapping[str, Any]) -> str:
    """p50 to p99 at 1, 32 and 256 connections, on a logarithmic axis."""
    left, right, low, high = 250, _WIDTH - 60, 0.1, 10_000.0
    canvas = Canvas(_WIDTH, 660, "Latency from the middle to the slowest hundredth")
    canvas.text(24, 32, "Latency, milliseconds: p50 (full) to p99 (hollow), logarithmic", size=16, bold=True)

    def place(value: float) -> float:
        return left + (right - left) * log_place(min(max(value, low), high), low, high)

    for tick in (0.1, 1, 10, 100, 1000, 10_000):
        canvas.line(place(tick), 52, place(tick), 620, colour=RULE)
        canvas.text(place(tick), 640, f"{tick:,g}", colour=FAINT, anchor="middle")
    y = 72.0
    for kind in ("mint", "relay"):
        for connections in ("1", "32", "256"):
            canvas.text(24, y + 5, f"{kind}, {connections} conn.", bold=True)
            for name, title in NAMES.items():
                run = bench["servers"][name]["runs"][kind][connections]
                middle, slow = place(run["p50_ms"]), place(run["p99_ms"])
                canvas.text(left - 14, y + 5, title, colour=FAINT, anchor="end")
                canvas.line(middle, y, slow, y, colour=COLOURS[name], width=3)
                canvas.dot(slow, y, colour=COLOURS[name], hollow=True)
                canvas.dot(middle, y, colour=COLOURS[name])
                y += _ROW
            y += 14
    return canvas.render()


def growth(grown: Mapping[str, Any]) -> str:
    """CPU a request against the number of live handles: a level line is what one wants to see."""
    left, right, top, bottom = 90, _WIDTH - 170, 60, 320
    canvas = Canvas(_WIDTH, 380, "CPU a request as the store fills")
    canvas.text(24, 32, "CPU a request, microseconds, as the store fills", size=16, bold=True)
    sizes = [size["handles"] for size in grown["sizes"]]
    runs = [size["runs"] for size in grown["sizes"]]
    highest = nice_top(
        max(one["cpu_us"] for each in runs for kinds in each.values() for one in kinds.values())
    )
    for part in range(5):
        y = bottom - (bottom - top) * part / 4
        canvas.line(left, y, right, y, colour=RULE)
        canvas.text(left - 10, y + 4, f"{highest * part / 4:,.0f}", colour=FAINT, anchor="end")

    def x_of(size: float) -> float:
        return left + (right - left) * log_place(size, 1, max(10, sizes[-1]))

    for size in sizes:
        canvas.text(x_of(size), bottom + 22, f"{size:,}", colour=FAINT, anchor="middle")
    canvas.text((left + right) / 2, bottom + 44, "live handles", colour=FAINT, anchor="middle")
    ends: list[tuple[float, str, str]] = []
    for name, kind in (("cloakroom", "relay"), ("cloakroom", "mint"), ("floor", "relay"), ("floor", "mint")):
        points = [
            (x_of(size), bottom - (bottom - top) * each[name][kind]["cpu_us"] / highest)
            for size, each in zip(sizes, runs, strict=True)
        ]
        canvas.path(points, colour=COLOURS[name])
        for x, y in points:
            canvas.dot(x, y, colour=COLOURS[name], hollow=kind == "mint")
        ends.append((points[-1][1] + 4, f"{NAMES[name]}, {kind}", COLOURS[name]))
    # Names in the order of their lines, each below the one before where they would touch.
    place = 0.0
    for wanted, words, colour in sorted(ends):
        place = max(wanted, place + 16)
        canvas.text(right + 14, place, words, colour=colour)
    return canvas.render()
