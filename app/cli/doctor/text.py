"""The report for people: a table on a terminal, one line a finding where it goes into a pipe or a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final

from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from app.doctor.finding import Finding, Report, Status

# The words alone tell the status: without colour, without these signs, in any locale.
_WORDS: Final[Mapping[Status, str]] = {"ok": "ok", "warn": "warn", "fail": "FAIL", "skipped": "skip"}
_SIGNS: Final[Mapping[Status, str]] = {"ok": "✓", "warn": "!", "fail": "✗", "skipped": "·"}
_STYLES: Final[Mapping[Status, str]] = {"ok": "green", "warn": "yellow", "fail": "bold red", "skipped": "dim"}
_TITLES: Final[Mapping[str, str]] = {
    "settings": "Settings",
    "litellm": "LiteLLM's configuration",
    "store": "Store",
}
# A long name wraps rather than take the room of what is said of it.
_SHARE_OF_NAMES: Final = 0.25
_LONGEST_WORD: Final = max(map(len, _WORDS.values()))


def print_table(console: Console, report: Report, *, only_failures: bool) -> None:
    """Print a block an area, wrapped to the terminal; the fix stands below what it mends."""
    signs = console.encoding.lower().startswith("utf")
    findings = _shown(report, only_failures=only_failures)
    widest = max((len(finding.name) for finding in findings), default=0)
    width = min(widest, int(console.width * _SHARE_OF_NAMES))
    for place, group in groupby(findings, key=lambda finding: finding.place):
        rows = list(group)
        console.print(Text(_title(rows[0], place), style="bold"))
        console.print(Padding(_block(rows, width=width, signs=signs), (0, 0, 1, 2)))
    if not only_failures:
        console.print(Text(_summary(report), style="bold green" if report.healthy else "bold red"))


def print_lines(console: Console, report: Report, *, only_failures: bool) -> None:
    """Print one line a finding: status, place, name, detail and fix, two spaces between them."""
    for finding in _shown(report, only_failures=only_failures):
        parts = [f"{_WORDS[finding.status]:<4}", finding.place, finding.name, finding.detail]
        parts += [f"fix: {finding.fix}"] if finding.fix else []
        console.print("  ".join(parts), soft_wrap=True, markup=False)
    if not only_failures:
        console.print(_summary(report), soft_wrap=True, markup=False)


def _shown(report: Report, *, only_failures: bool) -> Sequence[Finding]:
    return [finding for finding in report.findings if not only_failures or finding.status == "fail"]


def _title(finding: Finding, place: str) -> str:
    return _TITLES.get(place, f"Deployment {finding.subject}")


def _block(rows: Sequence[Finding], *, width: int, signs: bool) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    # The same width in every block, so that the columns of the whole report stand in line.
    table.add_column(no_wrap=True, width=_LONGEST_WORD + (2 if signs else 0))
    table.add_column(width=width, overflow="fold")
    table.add_column(ratio=1, overflow="fold")
    for finding in rows:
        mark = f"{_SIGNS[finding.status]} " if signs else ""
        table.add_row(
            Text(f"{mark}{_WORDS[finding.status]}", style=_STYLES[finding.status]),
            Text(finding.name),
            Group(*_cell(finding)),
        )
    return table


def _cell(finding: Finding) -> Iterator[Text | Table]:
    yield Text(finding.detail, style="dim" if finding.status == "skipped" else "")
    if finding.fix:
        # A table of its own, so that what wraps stays right of the word.
        fix = Table.grid(padding=(0, 1, 0, 0))
        fix.add_column(no_wrap=True)
        fix.add_column(overflow="fold")
        fix.add_row(Text("fix:", style=_STYLES[finding.status]), Text(finding.fix))
        yield fix


def _summary(report: Report) -> str:
    counts = report.counts
    parts = [
        f"{counts['ok']} ok",
        f"{counts['warn']} warning{'' if counts['warn'] == 1 else 's'}",
        f"{counts['fail']} failed",
        f"{counts['skipped']} skipped",
    ]
    verdict = "all is well" if report.healthy else "not well"
    return f"{verdict}: {', '.join(parts)}, in {report.seconds:.1f} s"
