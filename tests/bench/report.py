"""``python -m tests.bench.report``: docs/performance.md and docs/capacity.md anew from the figures.

Text is written by hand; tables stand between ``<!-- bench: NAME -->`` and ``<!-- end -->`` and are replaced,
and the pictures are written beside them. Nothing is measured.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from tests.bench import growth_tables, plots, tables
from tests.bench.plan_tables import capacity_blocks
from tests.bench.progress import run_to_end
from tests.bench.tools import RESULTS, ROOT, BenchError

DOCS: Final = ROOT / "docs"
PAGES: Final = ("performance.md", "capacity.md")
_BLOCK: Final = re.compile(r"(<!-- bench: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def read(name: str) -> dict[str, Any]:
    """The figures of one run.

    Raises:
        BenchError: there are none yet.
    """
    path = RESULTS / f"{name}.json"
    if not path.exists():
        raise BenchError(f"{path} is not there: run 'make bench', bench-growth and bench-profile first")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def blocks() -> dict[str, Callable[[], str]]:
    """Every table by its name."""
    bench, grown = read("bench"), read("growth")
    before, profile = read("before"), read("profile")
    return {
        "setup": lambda: tables.setup(bench),
        "goals": lambda: tables.goal_table(bench, grown),
        "servers": lambda: tables.servers(bench),
        "latencies": lambda: tables.latencies(bench),
        "memory": lambda: tables.memory(bench),
        "growth": lambda: growth_tables.growth(grown),
        "operators": lambda: growth_tables.operators(grown),
        "beside": lambda: growth_tables.beside(grown),
        "topologies": lambda: growth_tables.topologies(grown),
        "commands": lambda: growth_tables.commands(grown),
        "optimised": lambda: tables.optimised(before, bench, profile),
        "hot-before": lambda: tables.hot_functions(before["profile"]),
        "hot-after": lambda: tables.hot_functions(profile),
        **capacity_blocks(bench, grown),
    }


def filled(page: str, makers: Mapping[str, Callable[[], str]]) -> str:
    """The page with every block made anew.

    Raises:
        BenchError: the page names a block that nobody makes.
    """

    def replaced(found: re.Match[str]) -> str:
        maker = makers.get(found[2])
        if maker is None:
            raise BenchError(f"no table is called {found[2]!r}; there are {', '.join(sorted(makers))}")
        return f"{found[1]}{maker()}\n{found[3]}"

    return _BLOCK.sub(replaced, page)


def pictures() -> dict[Path, str]:
    """Every picture by its path."""
    bench, grown = read("bench"), read("growth")
    return {
        DOCS / "images" / "bench-cpu.svg": plots.cpu(bench),
        DOCS / "images" / "bench-latency.svg": plots.latency(bench),
        DOCS / "images" / "bench-growth.svg": plots.growth(grown),
    }


def main() -> None:
    makers = blocks()
    for name in PAGES:
        path = DOCS / name
        path.write_text(filled(path.read_text(encoding="utf-8"), makers))
    for path, text in pictures().items():
        path.write_text(text)
    sys.stdout.write("written: docs/performance.md, docs/capacity.md and docs/images/bench-*.svg\n")


if __name__ == "__main__":
    sys.exit(run_to_end(main))
