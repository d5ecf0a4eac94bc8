"""What people see, drawn with rich: tables, labelled facts, lines in colour, progress.

On a terminal a table has the columns that fit; in a pipe it has all of them, unshortened. rich's own tables
squeeze every column instead of leaving one out, cut ids, cannot go on for a second page, and take twenty
times as long, which is minutes for half a million lines.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from app.cli.output import for_people, write
from app.telemetry.redaction import legible

_GAP: Final = 2
_LEAST_WIDTH: Final = 40
_LABEL_WIDTH: Final = 11


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Args:
        rank: a column of rank 0 stays at any width; of the others the highest rank is left out first.
        most: its greatest width on a terminal, in characters.
        styles: the colour of a cell by its text.
    """

    title: str
    rank: int = 0
    most: int = 40
    right: bool = False
    styles: Mapping[str, str] | None = None


class Columns:
    """Renders rows page by page. The first page has the header and decides the widths.

    Args:
        width: of the terminal in characters; None writes every column whole.
    """

    def __init__(self, columns: Sequence[Column], *, width: int | None) -> None:
        self._columns = columns
        self._width = width
        self._widths: dict[int, int] = {}  # of the columns that are shown

    def lines(self, rows: Sequence[Sequence[str]]) -> list[Text]:
        """The lines of one page."""
        cells = [[legible(cell) or "-" for cell in row] for row in rows]
        if self._widths:
            return [self._line(row) for row in cells]
        titles = [column.title for column in self._columns]
        self._widths = self._fitting([titles, *cells])
        return [self._line(titles, style="bold"), *(self._line(row) for row in cells)]

    def _fitting(self, rows: Sequence[Sequence[str]]) -> dict[int, int]:
        natural = [max(map(cell_len, cells)) for cells in zip(*rows, strict=True)]
        if self._width is None:
            return dict(enumerate(natural))
        widths = {at: min(natural[at], column.most) for at, column in enumerate(self._columns)}
        for at in sorted(widths, key=lambda at: self._columns[at].rank, reverse=True):
            if sum(widths.values()) + _GAP * (len(widths) - 1) <= max(self._width, _LEAST_WIDTH):
                break
            if self._columns[at].rank:
                del widths[at]
        return widths

    def _line(self, row: Sequence[str], *, style: str = "") -> Text:
        line = Text(no_wrap=True)
        last = max(self._widths)
        for at, width in self._widths.items():
            column, cell = self._columns[at], row[at]
            line.append(
                self._fitted(cell, width, right=column.right, last=at == last),
                style=style or (column.styles or {}).get(cell, ""),
            )
            if at != last:
                line.append(" " * _GAP)
        return line

    def _fitted(self, cell: str, width: int, *, right: bool, last: bool) -> str:
        length = cell_len(cell)
        if length > width and self._width is not None:
            return set_cell_size(cell, width - 2) + ".."
        padding = " " * (width - length)
        if right:
            return padding + cell
        return cell if last else cell + padding


def terminal_width() -> int | None:
    """The width of standard output in characters; None when it is not a terminal."""
    return max(shutil.get_terminal_size().columns, _LEAST_WIDTH) if for_people() else None


def print_lines(lines: Sequence[Text]) -> bool:
    """Write the lines, in colour where the terminal has it. Returns False once the reader has gone."""
    if not for_people():
        # Without rich, which would take a minute for half a million lines.
        return write("".join(f"{line.plain}\n" for line in lines))
    console = Console(highlight=False, soft_wrap=True)
    with console.capture() as captured:
        for line in lines:
            console.print(line, markup=False)
    return write(captured.get())


def fact_lines(facts: Iterable[tuple[str, str]]) -> Iterator[Text]:
    """One line a fact, the labels in bold and of one width."""
    for label, text in facts:
        yield Text(f"{label:<{_LABEL_WIDTH}}", style="bold").append(legible(text), style="not bold")


@contextlib.contextmanager
def progress(*, shown: bool, console: Console | None = None) -> Iterator[Callable[[str], None]]:
    """Yield a function that shows how far a long piece of work is; silent without a terminal.

    Args:
        shown: False keeps it silent.
        console: default: standard error, so that standard output stays clean.
    """
    console = Console(stderr=True) if console is None else console
    if not shown or not console.is_terminal or console.is_dumb_terminal:
        yield lambda text: None
        return
    # A spinner of ASCII signs, for terminals of any encoding.
    with console.status("looking", spinner="line") as status:
        yield lambda text: status.update(Text(text))
