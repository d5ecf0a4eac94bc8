"""Tables: as many columns as a terminal has room for; all of them, unshortened, where they go into a pipe."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from app.cli.output import for_people, printable, write

_GAP: Final = 2
_LEAST: Final = 40


@dataclass(frozen=True, slots=True)
class Column:
    """One column. ``rank`` 0 stays at any width, otherwise the highest is left out first.

    ``most`` is how wide it may get on a terminal; ``styles`` colours a cell by its text.
    """

    title: str
    rank: int = 0
    most: int = 40
    right: bool = False
    styles: Mapping[str, str] | None = None


class Columns:
    """Renders rows page by page; the first page decides the widths, and the header stands above it.

    Args:
        width: of the terminal in characters; None writes every column whole.
    """

    def __init__(self, columns: Sequence[Column], *, width: int | None) -> None:
        self._columns = columns
        self._width = width
        self._layout: dict[int, int] = {}

    def lines(self, rows: Sequence[Sequence[str]]) -> list[Text]:
        """The lines of one page."""
        cells = [[printable(cell) or "-" for cell in row] for row in rows]
        header = [column.title for column in self._columns]
        if self._layout:
            return [self._line(row) for row in cells]
        self._layout = self._laid_out([header, *cells])
        return [self._line(header, header=True), *(self._line(row) for row in cells)]

    def _laid_out(self, rows: Sequence[Sequence[str]]) -> dict[int, int]:
        """The columns that are shown, each with its width."""
        layout = {}
        for at, column in enumerate(self._columns):
            natural = max(cell_len(row[at]) for row in rows)
            layout[at] = natural if self._width is None else min(natural, column.most)
        if self._width is None:
            return layout
        by_rank = sorted(layout, key=lambda at: self._columns[at].rank, reverse=True)
        for at in by_rank:
            if sum(layout.values()) + _GAP * (len(layout) - 1) <= max(self._width, _LEAST):
                break
            if self._columns[at].rank:
                del layout[at]
        return layout

    def _line(self, row: Sequence[str], *, header: bool = False) -> Text:
        line = Text(no_wrap=True)
        shown = list(self._layout.items())
        for place, (at, width) in enumerate(shown):
            column, cell = self._columns[at], row[at]
            is_last = place == len(shown) - 1
            style = "bold" if header else (column.styles or {}).get(cell, "")
            line.append(self._fitted(cell, width, right=column.right, is_last=is_last), style=style)
            if not is_last:
                line.append(" " * _GAP)
        return line

    def _fitted(self, cell: str, width: int, *, right: bool, is_last: bool) -> str:
        length = cell_len(cell)
        if length > width and self._width is not None:
            return set_cell_size(cell, width - 2) + ".."
        padding = " " * max(width - length, 0)
        if right:
            return padding + cell
        return cell if is_last else cell + padding


def terminal_width() -> int | None:
    """Of standard output in characters; None where it is no terminal."""
    return max(shutil.get_terminal_size().columns, _LEAST) if for_people() else None


def print_lines(lines: Sequence[Text]) -> bool:
    """Write the lines, coloured where that is wanted; False once the reader has gone."""
    if not for_people():
        # Without rich, which would take a minute for half a million lines.
        return write("".join(f"{line.plain}\n" for line in lines))
    console = Console(highlight=False, soft_wrap=True)
    with console.capture() as captured:
        for line in lines:
            console.print(line, markup=False)
    return write(captured.get())
