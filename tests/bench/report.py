"""``python -m tests.bench.report``: docs/performance.md and docs/capacity.md anew from the figures.

Text is written by hand. Each table stands between ``<!-- bench: NAME -->`` and ``<!-- end -->`` and is
replaced. ``tests.bench.plots`` makes the pictures. Nothing is measured.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from typing import Final

from tests.bench import growth_tables, pool_tables, tables
from tests.bench.plan_tables import capacity_blocks
from tests.bench.tools import ROOT, BenchError, read, run_to_end

DOCS: Final = ROOT / "docs"
PAGES: Final = ("performance.md", "capacity.md")
_BLOCK: Final = re.compile(r"(<!-- bench: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def blocks() -> dict[str, Callable[[], str]]:
    """Every table by its name."""
    bench, grown = read("bench"), read("growth")
    before, profile, crews, pooled = read("before"), read("profile"), read("workers"), read("pool")
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
        "workers": lambda: tables.workers(crews),
        "pool": lambda: pool_tables.situations(pooled),
        "pool-bill": lambda: pool_tables.bill(pooled),
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


def main() -> None:
    makers = blocks()
    for name in PAGES:
        path = DOCS / name
        path.write_text(filled(path.read_text(encoding="utf-8"), makers))
    sys.stdout.write("written: docs/performance.md and docs/capacity.md\n")


if __name__ == "__main__":
    sys.exit(run_to_end(main))
