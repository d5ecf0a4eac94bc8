"""What came of each server: pytest's report, read and put into one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from tests.support.store_server import StoreServer

_COLUMNS: Final = ("server", "version", "from", "passed", "failed", "skipped", "seconds")
_FIGURES: Final = 3  # the column where the figures begin, which stand on the right


@dataclass(frozen=True, slots=True)
class Outcome:
    """The tests on one server; ``missing`` says why they did not run or did not end."""

    where: str
    server: StoreServer | None = None
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    missing: str = ""

    @property
    def well(self) -> bool:
        """Whether every test passed, and there was one."""
        return not self.missing and self.failed == 0 and self.passed > 0


def read_outcome(where: str, server: StoreServer, report: Path, ended: int) -> Outcome:
    """Read pytest's report in JUnit's form.

    Args:
        ended: pytest's exit status. Other than 0 (all passed) and 1 (some failed) not every test was run,
            whatever the report says.
    """
    cut_short = Outcome(where, server, missing="pytest did not end; its messages stand above")
    if ended not in (0, 1):
        return cut_short
    try:
        suite = ElementTree.parse(report).getroot().find("testsuite")
        if suite is None:
            return cut_short
        tests, skipped = int(suite.attrib["tests"]), int(suite.attrib["skipped"])
        failed = int(suite.attrib["failures"]) + int(suite.attrib["errors"])
        seconds = float(suite.attrib["time"])
    except (OSError, ElementTree.ParseError, KeyError):
        return cut_short
    return Outcome(where, server, max(tests - failed - skipped, 0), failed, skipped, seconds)


def table(outcomes: Sequence[Outcome]) -> str:
    """One line a server, and below it the reasons of those that did not run."""
    rows = [_COLUMNS, *(_row(outcome) for outcome in outcomes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if column < _FIGURES else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    reasons = [f"{outcome.where}: {outcome.missing}" for outcome in outcomes if outcome.missing]
    return "\n".join([*lines, *reasons])


def status(outcomes: Sequence[Outcome]) -> int:
    """The exit status: a server that could not be had is a failure, too, since nothing is shown for it."""
    return 0 if all(outcome.well for outcome in outcomes) else 1


def _row(outcome: Outcome) -> tuple[str, ...]:
    kind, version = (outcome.server.kind, outcome.server.version) if outcome.server else ("-", "-")
    if outcome.missing:
        return (kind, version, outcome.where, "-", "-", "-", "-")
    figures = (outcome.passed, outcome.failed, outcome.skipped, round(outcome.seconds))
    return (kind, version, outcome.where, *(f"{figure:,}" for figure in figures))
