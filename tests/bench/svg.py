"""Pictures as SVG text: a canvas with lines, bars, dots and words. Readable on a light and on a dark page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Final, Literal

INK: Final = "#1c2430"
FAINT: Final = "#5d6673"
RULE: Final = "#d5dae1"
PAPER: Final = "#ffffff"
# Told apart by people who see colours differently, too; every mark has its name beside it anyway.
COLOURS: Final = {"floor": "#7b8794", "cloakroom": "#0b66c3", "litellm": "#c25700"}

Anchor = Literal["start", "middle", "end"]


class Canvas:
    """Collects marks. Units are pixels, the origin is at the top left."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self._size = (width, height)
        self._title = title
        self._marks: list[str] = []

    def line(self, x1: float, y1: float, x2: float, y2: float, *, colour: str, width: float = 1) -> None:
        self._marks.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
            f'stroke-width="{width}" stroke-linecap="round"/>'
        )

    def path(self, points: Sequence[tuple[float, float]], *, colour: str, width: float = 2) -> None:
        where = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._marks.append(
            f'<polyline points="{where}" fill="none" stroke="{colour}" stroke-width="{width}" '
            'stroke-linejoin="round"/>'
        )

    def bar(self, x: float, y: float, width: float, height: float, *, colour: str) -> None:
        self._marks.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{height:.1f}" rx="2" '
            f'fill="{colour}"/>'
        )

    def dot(self, x: float, y: float, *, colour: str, hollow: bool = False) -> None:
        fill = PAPER if hollow else colour
        self._marks.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{fill}" stroke="{colour}" stroke-width="2"/>'
        )

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        colour: str = INK,
        size: int = 13,
        anchor: Anchor = "start",
        bold: bool = False,
    ) -> None:
        weight = ' font-weight="600"' if bold else ""
        self._marks.append(
            f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" font-size="{size}" '
            f'text-anchor="{anchor}"{weight}>{escape(words)}</text>'
        )

    def render(self) -> str:
        """The whole file."""
        width, height = self._size
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}" role="img" font-family="system-ui, sans-serif">'
        )
        title = f"<title>{escape(self._title)}</title>"
        paper = f'<rect width="{width}" height="{height}" rx="8" fill="{PAPER}"/>'
        return "\n".join([head, title, paper, *self._marks, "</svg>", ""])


def nice_top(value: float) -> float:
    """The next round number above: an axis ends there. 1, 2, 2.5 and 5 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= value)


def log_place(value: float, low: float, high: float) -> float:
    """Where a value stands between two others on a logarithmic axis, 0 to 1."""
    return (math.log10(value) - math.log10(low)) / (math.log10(high) - math.log10(low))
