"""``.bench-venv/bin/python -m tests.bench.plots``: the pictures of docs/performance.md from the figures.

Runs in the benchmark's environment, which has matplotlib; ``make bench-report`` calls it. The same figures
and the same matplotlib give the same files, byte for byte. Nothing is measured.

Each mark has an id such as ``cpu-mint-cloakroom``. tests/unit/bench/test_pictures.py reads the figures back
out of the committed pictures by these ids, so a picture cannot drift from its page.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations, product
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import blended_transform_factory

from tests.bench.goals import FLOOR_TIMES
from tests.bench.pool_tables import SIDES, titles
from tests.bench.tables import KINDS, NAMES
from tests.bench.tools import ROOT, BenchError, read, run_to_end

IMAGES: Final = ROOT / "docs" / "images"

# The Okabe-Ito palette without its light colours: people who see colours differently tell these apart.
_COLOURS: Final = {"floor": "#5f6b7a", "cloakroom": "#0072b2", "litellm": "#d55e00"}
# A mint with the pool is Cloakroom's own, and one without it is as fast as the provider.
_SHOWN_AS: Final = {"with": "cloakroom", "without": "floor"}
_INK, _FAINT, _RULE = "#1c2430", "#55606e", "#d5dae1"
# Inches. 720 CSS pixels: a README shows that unscaled, and its smallest words stay 12 pixels high.
_WIDTH: Final = 7.5
# Where titles and the names of groups begin, as a part of the width.
_LEFT: Final = 0.02
_STYLE: Final = {
    # Words stay words: a reader can search and copy them, and a screen reader reads them.
    "svg.fonttype": "none",
    "svg.hashsalt": "cloakroom",
    # The first comes with matplotlib, so every machine lays out the same. Verdana is as wide.
    "font.sans-serif": ["DejaVu Sans", "Verdana", "sans-serif"],
    "font.size": 9.5,
    "text.color": _INK,
    "xtick.color": _FAINT,
    "ytick.color": _FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.edgecolor": _RULE,
    "grid.color": _RULE,
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
}
_LEGEND: Final[dict[str, Any]] = {"frameon": False, "handletextpad": 0.2, "borderpad": 0}


def cpu(bench: Mapping[str, Any]) -> Figure:
    """CPU a request at 32 connections: Cloakroom beside the floor, then all three on a smaller scale."""
    figure = Figure(figsize=(_WIDTH, 4.9))
    _title(figure, "CPU time per request, in microseconds (less is better)")
    below, all_three = figure.add_axes((0.29, 0.46, 0.63, 0.4)), figure.add_axes((0.29, 0.03, 0.63, 0.32))
    _bars(below, bench, KINDS, ("floor", "cloakroom"), goal=True)
    _bars(all_three, bench, ("mint", "relay"), tuple(NAMES), goal=False)
    _subtitle(below, "Cloakroom and a bare aiohttp server")
    _subtitle(all_three, "The same with LiteLLM, on a smaller scale")
    return figure


def _bars(
    axes: Axes, bench: Mapping[str, Any], kinds: tuple[str, ...], names: tuple[str, ...], *, goal: bool
) -> None:
    """A group of bars for each kind of request, one bar for each server, with its figure at its end."""
    runs = {name: bench["servers"][name]["runs"] for name in names}
    most = max(runs[name][kind]["32"]["cpu_us"] for name in names for kind in kinds)
    if goal:
        most = max(most, *(runs["floor"][kind]["32"]["cpu_us"] * FLOOR_TIMES for kind in kinds))
    places = []
    for group, kind in enumerate(kinds):
        top = group * (len(names) + 0.6)
        _at_the_left(axes, top, kind)
        for row, name in enumerate(names):
            value = runs[name][kind]["32"]["cpu_us"]
            bar = axes.barh(top + row, value, height=0.72, color=_COLOURS[name])[0]
            bar.set_gid(_id("cpu" if goal else "cpu-all", kind, name))
            told = axes.annotate(
                f"{value:,.0f}", (value, top + row), (4, 0), textcoords="offset points", va="center"
            )
            # It stays readable where a goal's mark runs through it.
            told.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1})
            places.append((top + row, NAMES[name]))
        if goal:
            x = runs["floor"][kind]["32"]["cpu_us"] * FLOOR_TIMES
            mark = axes.plot([x, x], [top - 0.45, top + len(names) - 0.55], color=_INK, linewidth=1.5)[0]
            mark.set_gid(_id("goal", kind))
    if goal:
        axes.plot(
            [], [], "|", color=_INK, markersize=11, label=f"goal: at most {FLOOR_TIMES} times bare aiohttp"
        )
        axes.legend(
            loc="lower right", bbox_to_anchor=(1.05, 0.99), frameon=False, handletextpad=0, borderpad=0
        )
    axes.set_yticks([place for place, _ in places], [name for _, name in places])
    axes.set(xlim=(0, most * 1.08), ylim=(places[-1][0] + 0.6, -0.6), xticks=[])
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(length=0)


def latency(bench: Mapping[str, Any]) -> Figure:
    """p50 to p99 at 1, 32 and 256 connections, on a logarithmic axis."""
    figure = Figure(figsize=(_WIDTH, 6.6))
    _title(figure, "Latency in milliseconds (less is better, logarithmic scale)")
    axes = figure.add_axes((0.4, 0.07, 0.55, 0.81))
    axes.set_gid("latency")
    axes.set_xscale("log")
    places = []
    for group, (kind, connections) in enumerate(product(("mint", "relay"), ("1", "32", "256"))):
        top = group * (len(NAMES) + 0.7)
        words = f"{kind}, {connections} connection{'s' if connections != '1' else ''}"
        _at_the_left(axes, top, words)
        for row, name in enumerate(NAMES):
            run, place = bench["servers"][name]["runs"][kind][connections], top + row
            _waits(axes, place, run, _COLOURS[name], (kind, connections, name))
            places.append((place, NAMES[name]))
    axes.set_yticks([place for place, _ in places], [name for _, name in places])
    runs = [bench["servers"][name]["runs"][kind] for name in NAMES for kind in ("mint", "relay")]
    _scale_of_waits(axes, _decades(run for each in runs for run in each.values()))
    axes.set_ylim(places[-1][0] + 0.8, -0.8)
    _legend_of_waits(figure, axes, height=0.945)
    return figure


def pool(found: Mapping[str, Any]) -> Figure:
    """p50 to p99 of the mints that succeeded, with the warm pool and without, and how many did."""
    figure = Figure(figsize=(_WIDTH, 4.5))
    _title(figure, "Latency of a mint in milliseconds (less is better, logarithmic scale)")
    axes = figure.add_axes((0.2, 0.09, 0.56, 0.76))
    axes.set_gid("pool")
    axes.set_xscale("log")
    places, seen = [], []
    for group, (situation, words) in enumerate(titles(found).items()):
        top = group * (len(SIDES) + 1.1)
        _at_the_left(axes, top - 0.85, words)
        for row, (side, name) in enumerate(SIDES.items()):
            one, place = found["situations"][situation][side], top + row
            if one["succeeded"]:
                seen.append(one)
                _waits(axes, place, one, _COLOURS[_SHOWN_AS[side]], (situation, side))
            told = f"{one['succeeded']:,} of {one['mints']:,} succeed"
            axes.text(1.03, place, told, transform=axes.get_yaxis_transform(), va="center")
            places.append((place, name))
    axes.set_yticks([place for place, _ in places], [name for _, name in places])
    _scale_of_waits(axes, _decades(seen))
    axes.set_ylim(places[-1][0] + 0.8, -1.4)
    _legend_of_waits(figure, axes, height=0.93)
    return figure


def _waits(axes: Axes, place: float, run: Mapping[str, Any], colour: str, named: tuple[str, ...]) -> None:
    """A line from p50 to p99, with a dot at each end."""
    axes.hlines(place, run["p50_ms"], run["p99_ms"], color=colour, linewidth=2.5, zorder=2)
    for which, fill in (("p50", colour), ("p99", "white")):
        (dot,) = axes.plot(
            run[f"{which}_ms"], place, "o", color=colour, markerfacecolor=fill, markeredgewidth=1.7
        )
        dot.set_gid(_id(which, *named))


def _scale_of_waits(axes: Axes, ticks: Sequence[float]) -> None:
    axes.set_xticks(ticks, [f"{tick:,g}" for tick in ticks])
    axes.set_xlim(ticks[0], ticks[-1])
    axes.minorticks_off()
    axes.grid(axis="x")
    axes.tick_params(length=0)


def _legend_of_waits(figure: Figure, axes: Axes, *, height: float) -> None:
    for words, fill in (
        ("p50: half of the requests are faster", _INK),
        ("p99: 99 in 100 are faster", "white"),
    ):
        axes.plot([], [], "o", color=_INK, markerfacecolor=fill, markeredgewidth=1.7, label=words)
    figure.legend(loc="upper left", bbox_to_anchor=(_LEFT, height), ncols=2, **_LEGEND)


def _decades(runs: Iterable[Mapping[str, Any]]) -> list[float]:
    """The powers of ten from below the shortest latency to above the longest."""
    found = [run[which] for run in runs for which in ("p50_ms", "p99_ms")]
    first, last = math.floor(math.log10(min(found))), math.ceil(math.log10(max(found)))
    return [10.0**power for power in range(first, last + 1)]


def growth(grown: Mapping[str, Any]) -> Figure:
    """CPU a request against the number of live handles; a level line is the aim."""
    figure = Figure(figsize=(_WIDTH, 3.9))
    _title(figure, "CPU time per request as the store fills, in microseconds (less is better)")
    axes = figure.add_axes((0.08, 0.15, 0.68, 0.66))
    axes.set_gid("growth")
    axes.set_xscale("log")
    sizes = [size["handles"] for size in grown["sizes"]]
    ends = []
    for name in ("cloakroom", "floor"):
        for kind, dash, fill in (("relay", "-", _COLOURS[name]), ("mint", "--", "white")):
            values = [size["runs"][name][kind]["cpu_us"] for size in grown["sizes"]]
            (line,) = axes.plot(
                sizes, values, "o", linestyle=dash, color=_COLOURS[name], markerfacecolor=fill, clip_on=False
            )
            line.set_gid(_id("growth", kind, name))
            ends.append((values[-1], f"{NAMES[name]}, {kind}", _COLOURS[name]))
    axes.set(ylim=(0, max(axes.dataLim.y1, 1) * 1.1), xlabel="live handles")
    axes.xaxis.label.set_color(_FAINT)
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.grid(axis="y")
    axes.tick_params(length=0)
    _names_at_the_end(axes, ends)
    return figure


def _names_at_the_end(axes: Axes, ends: list[tuple[float, str, str]]) -> None:
    """Each line's name beside its last point, moved up where it would touch the one below."""
    step, place = axes.get_ylim()[1] * 0.065, float("-inf")
    for value, words, colour in sorted(ends):
        place = max(value, place + step)
        axes.text(1.03, place, words, transform=axes.get_yaxis_transform(), va="center", color=colour)


def _id(*parts: str) -> str:
    return "-".join(parts).replace(", ", "-")


def _at_the_left(axes: Axes, y: float, words: str) -> None:
    """The name of a group of rows, at the picture's left edge."""
    where = blended_transform_factory(axes.get_figure().transFigure, axes.transData)
    axes.text(_LEFT, y, words, transform=where, va="center", weight="bold")


def _title(figure: Figure, words: str) -> None:
    figure.suptitle(words, x=_LEFT, y=0.98, ha="left", va="top", size=12, weight="bold")


def _subtitle(axes: Axes, words: str) -> None:
    where = blended_transform_factory(axes.get_figure().transFigure, axes.transAxes)
    axes.text(_LEFT, 1.02, words, transform=where, va="bottom", color=_FAINT)


def check(figure: Figure) -> None:
    """Look for words that leave the picture or touch others.

    Raises:
        BenchError: there are such; it names them.
    """
    figure.draw_without_rendering()
    words = [one for one in figure.findobj(Text) if one.get_visible() and one.get_text().strip()]
    boxes = {one: one.get_window_extent() for one in words}
    for one, box in boxes.items():
        if not (box.x0 >= 0 and box.x1 <= figure.bbox.x1 and box.y0 >= 0 and box.y1 <= figure.bbox.y1):
            raise BenchError(f"{one.get_text()!r} leaves the picture")
    for one, other in combinations(words, 2):
        if boxes[one].overlaps(boxes[other]):
            raise BenchError(f"{one.get_text()!r} and {other.get_text()!r} touch in the picture")


def write(figure: Figure, path: Path, title: str) -> None:
    """Write the picture, without a date or a version, which would change a file whose figures stay.

    Raises:
        BenchError: some of its words do not fit.
    """
    check(figure)
    figure.savefig(path, format="svg", metadata={"Title": title, "Date": None, "Creator": None})


def main() -> None:
    bench, grown, pooled = read("bench"), read("growth"), read("pool")
    pictures: dict[str, tuple[Callable[[Mapping[str, Any]], Figure], Mapping[str, Any]]] = {
        "cpu": (cpu, bench),
        "latency": (latency, bench),
        "growth": (growth, grown),
        "pool": (pool, pooled),
    }
    with mpl.rc_context(_STYLE):
        for name, (draw, figures) in pictures.items():
            measured = f"measured on {figures['date']} at commit {figures['commit']}"
            write(draw(figures), IMAGES / f"bench-{name}.svg", f"Cloakroom's benchmark: {name}, {measured}")
    sys.stdout.write("written: docs/images/bench-*.svg\n")


if __name__ == "__main__":
    sys.exit(run_to_end(main))
