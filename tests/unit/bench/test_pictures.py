"""The committed pictures show the recorded figures: what a reader would measure in them, read back."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from functools import cache

import pytest

from tests.bench.goals import FLOOR_TIMES
from tests.bench.report import DOCS
from tests.bench.tables import KINDS, NAMES
from tests.bench.tools import read

SVG = "{http://www.w3.org/2000/svg}"
# Each picture with the figures that it shows.
PICTURES = {"cpu": "bench", "latency": "bench", "growth": "growth", "pool": "pool"}
HOW = "run: make bench-report"

# Two points of an axis: the value and the place in the picture.
Scale = tuple[tuple[float, float], tuple[float, float]]


@cache
def picture(name: str) -> ET.Element:
    return ET.fromstring((DOCS / "images" / f"bench-{name}.svg").read_bytes())


def part(root: ET.Element, name: str) -> ET.Element:
    found = root.find(f".//{SVG}g[@id='{name}']")
    assert found is not None, f"no mark {name}; {HOW}"
    return found


def points(mark: ET.Element) -> list[tuple[float, float]]:
    """The corners of a bar or a line."""
    path = mark.find(f"{SVG}path")
    assert path is not None
    numbers = [float(number) for number in re.findall(r"-?[\d.]+", path.get("d", ""))]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def dots(mark: ET.Element) -> list[tuple[float, float]]:
    return [(float(dot.get("x", "")), float(dot.get("y", ""))) for dot in mark.iter(f"{SVG}use")]


def texts(root: ET.Element) -> Iterator[tuple[str, float, float, ET.Element]]:
    for text in root.iter(f"{SVG}text"):
        x, y = text.get("x"), text.get("y")
        if x is None or y is None:
            place = re.search(r"translate\((-?[\d.]+) (-?[\d.]+)\)", text.get("transform", ""))
            assert place is not None
            x, y = place.groups()
        yield text.text or "", float(x), float(y), text


def scale(axes: ET.Element, letter: str, of: Callable[[float], float] = float) -> Callable[[float], float]:
    """How a place on this axis is read as a value, by the first and the last of its written ticks.

    Args:
        axes: the group that holds the axis.
        letter: ``x`` or ``y``.
        of: what is even on the axis: ``math.log10``, or the value.
    """
    marks = []
    for tick in axes.iter(f"{SVG}g"):
        if tick.get("id", "").startswith(f"{letter}tick_"):
            # The grid line or, where there is none, the middle of the words.
            ((words, x, y, _),) = texts(tick)
            lines = [points(line)[0] for line in tick.iter(f"{SVG}g") if line.find(f"{SVG}path") is not None]
            place = lines[0] if lines else (x, y)
            marks.append((of(float(words.replace(",", ""))), place[letter == "y"]))
    (low, start), (high, end) = marks[0], marks[-1]
    assert high > low
    return lambda place: low + (high - low) * (place - start) / (end - start)


def test_the_pictures_are_whole_svg_with_every_server_named() -> None:
    for name in ("cpu", "latency"):
        assert picture(name).tag == f"{SVG}svg"
        words = {words for words, *_ in texts(picture(name))}
        assert words >= set(NAMES.values())
    assert picture("growth").tag == f"{SVG}svg"
    assert {"bare aiohttp, mint", "bare aiohttp, relay", "Cloakroom, mint", "Cloakroom, relay"} <= {
        words for words, *_ in texts(picture("growth"))
    }


def test_every_picture_tells_which_run_it_shows() -> None:
    for name, run in PICTURES.items():
        figures = read(run)
        title = picture(name).findtext(f"{SVG}title", "")
        assert title.endswith(f"measured on {figures['date']} at commit {figures['commit']}"), HOW


@pytest.mark.parametrize(
    ("panel", "kinds", "names"),
    [("cpu", KINDS, ("floor", "cloakroom")), ("cpu-all", ("mint", "relay"), tuple(NAMES))],
)
def test_a_bar_is_as_long_as_its_server_costs_and_says_so(
    panel: str, kinds: tuple[str, ...], names: tuple[str, ...]
) -> None:
    servers, root = read("bench")["servers"], picture("cpu")
    costs, lengths = [], []
    for kind in kinds:
        for name in names:
            costs.append(servers[name]["runs"][kind]["32"]["cpu_us"])
            bar = points(part(root, f"{panel}-{kind.replace(', ', '-')}-{name}"))
            start, end = min(x for x, _ in bar), max(x for x, _ in bar)
            assert 0 <= start < end <= float(root.get("viewBox", "").split()[2])
            lengths.append(end - start)
            top, bottom = min(y for _, y in bar), max(y for _, y in bar)
            beside = [words for words, x, y, _ in texts(root) if x > end and top < y < bottom + 2]
            assert beside == [f"{costs[-1]:,.0f}"], HOW

    a_microsecond = sum(lengths) / sum(costs)
    assert lengths == pytest.approx([cost * a_microsecond for cost in costs], abs=0.1), HOW


def test_the_goal_stands_at_its_multiple_of_the_floors_bar() -> None:
    root = picture("cpu")
    for kind in ("mint-limited", "mint", "relay"):
        floor = points(part(root, f"cpu-{kind}-floor"))
        start, end = min(x for x, _ in floor), max(x for x, _ in floor)
        ((x, _), (same, _)) = points(part(root, f"goal-{kind}"))
        assert x == same == pytest.approx(start + FLOOR_TIMES * (end - start), abs=0.1)


def test_every_latency_stands_at_its_place_on_the_axis() -> None:
    servers, root = read("bench")["servers"], picture("latency")
    value_at = scale(part(root, "latency"), "x", math.log10)
    for name in NAMES:
        for kind in ("mint", "relay"):
            for connections, run in servers[name]["runs"][kind].items():
                for which in ("p50", "p99"):
                    ((x, _),) = dots(part(root, f"{which}-{kind}-{connections}-{name}"))
                    assert 10 ** value_at(x) == pytest.approx(run[f"{which}_ms"], rel=0.01), HOW


def test_every_mint_of_the_pool_stands_at_its_place_on_the_axis() -> None:
    situations, root = read("pool")["situations"], picture("pool")
    value_at = scale(part(root, "pool"), "x", math.log10)
    shown = {words for words, *_ in texts(root)}
    for situation, sides in situations.items():
        for side, one in sides.items():
            assert f"{one['succeeded']:,} of {one['mints']:,} succeed" in shown, HOW
            if not one["succeeded"]:
                assert root.find(f".//{SVG}g[@id='p50-{situation}-{side}']") is None, HOW
                continue
            for which in ("p50", "p99"):
                ((x, _),) = dots(part(root, f"{which}-{situation}-{side}"))
                assert 10 ** value_at(x) == pytest.approx(one[f"{which}_ms"], rel=0.01), HOW


def test_every_point_of_a_growing_store_stands_at_its_place_on_both_axes() -> None:
    sizes, root = read("growth")["sizes"], picture("growth")
    axes = part(root, "growth")
    handles_at, value_at = scale(axes, "x", math.log10), scale(axes, "y")
    for name in ("cloakroom", "floor"):
        for kind in ("mint", "relay"):
            line = part(root, f"growth-{kind}-{name}")
            assert dots(line) == points(line)
            shown = [(10 ** handles_at(x), value_at(y)) for x, y in dots(line)]
            assert len(shown) == len(sizes)
            for (handles, cpu_us), size in zip(shown, sizes, strict=True):
                assert handles == pytest.approx(size["handles"], rel=0.01), HOW
                assert cpu_us == pytest.approx(size["runs"][name][kind]["cpu_us"], abs=1), HOW


@pytest.mark.parametrize("name", PICTURES)
def test_nothing_of_a_picture_is_cut_off(name: str) -> None:
    """Words are taken to be wider than they are: one letter more, at 0.55 of the font's size each."""
    root = picture(name)
    _, _, width, height = (float(edge) for edge in root.get("viewBox", "").split())
    for words, x, y, text in texts(root):
        style = text.get("style", "")
        size = re.search(r"([\d.]+)px", style)
        anchor = re.search(r"text-anchor: (\w+)", style)
        assert size is not None
        long = (len(words) + 1) * float(size[1]) * 0.55
        left = {"start": x, "middle": x - long / 2, "end": x - long}[anchor[1] if anchor else "start"]
        assert left >= 0, words
        assert left + long <= width, words
        assert float(size[1]) <= y <= height - 4, words
        # CSS pixels are 4/3 of a point: no word is smaller than 12 of them.
        assert float(size[1]) >= 9, words
