"""The pages' tables, and that they are what the figures say."""

from __future__ import annotations

import pytest

from tests.bench import growth_tables, pool_tables, report, tables
from tests.bench.tools import BenchError
from tests.unit.bench import figures


def test_a_block_is_made_anew_and_the_text_around_it_stays() -> None:
    page = "before\n<!-- bench: one -->\nold\n<!-- end -->\nafter <!-- bench: one --> alone\n"

    assert report.filled(page, {"one": lambda: "new"}) == (
        "before\n<!-- bench: one -->\nnew\n<!-- end -->\nafter <!-- bench: one --> alone\n"
    )


def test_a_block_that_nobody_makes_is_an_error_that_names_those_there_are() -> None:
    with pytest.raises(BenchError, match="'two'; there are one"):
        report.filled("<!-- bench: two -->\n<!-- end -->", {"one": lambda: ""})


def test_every_row_of_a_table_has_as_many_cells_as_its_head() -> None:
    bench, grown = figures.bench(), figures.grown()
    made = [table(bench) for table in (tables.servers, tables.latencies, tables.memory)]
    made += [table(grown) for table in (growth_tables.growth, growth_tables.operators, growth_tables.beside)]
    made += [table(figures.pool()) for table in (pool_tables.situations, pool_tables.bill)]
    for table in made:
        assert len({line.count(" | ") for line in table.splitlines() if line.startswith("| ")}) == 1


def test_workers_are_compared_with_one() -> None:
    told, _, head, _, *rows = tables.workers(figures.crews()).splitlines()
    assert "2 CPUs, load average 0.4 at the start" in told
    assert {row.count(" | ") for row in rows} == {head.count(" | ")}
    assert rows[0].startswith("| 1 | 4,000 (1.00) | ")
    assert rows[1].startswith("| 2 | 6,000 (1.50) | ")
    assert rows[1].endswith(" | 180 / 180 | 1.20 / 1.20 | 60 / 60 | 150 / 90 | 0 |")


def test_a_busy_machine_is_told() -> None:
    busy = figures.crews()
    assert "busy" not in tables.workers(busy)
    busy["workers"]["1"]["runs"]["mint"]["cpus"] = 0.22
    assert "**Other work kept the machine busy**: one worker had 0.22 CPUs" in tables.workers(busy)


def test_a_mint_from_the_pool_stands_beside_one_of_the_provider() -> None:
    told, _, _, _, *rows = pool_tables.situations(figures.pool()).splitlines()
    assert "a mint takes 400 ms at the provider" in told
    assert "The very first mint after the idle time took 1.5 ms with the pool and 402 ms without." in told
    assert (
        rows[0] == "| steady load, 5 mints/s: with the pool | 1.5 | 4.5 | 4.5 | 600 of 600 (100.0%) | 600 |"
    )
    assert [row.split("|")[1].partition(":")[0].strip() for row in rows[2::2]] == [
        "burst of 50 mints/s for 10 s",
        "after 5 minutes without a mint",
        "the provider fails for a minute",
    ]
    assert rows[-1].endswith(": without | - | - | - | 0 of 600 (0.0%) | 0 |")


def test_a_machine_that_was_busy_with_something_else_is_told_beside_the_pool() -> None:
    busy = figures.pool()
    assert "busy" not in pool_tables.situations(busy)
    busy["machine"]["load"] = 2.1
    assert "**Other work kept the machine busy**" in pool_tables.situations(busy)


def test_what_is_left_in_the_pool_counts_as_waste_too() -> None:
    told = pool_tables.bill(figures.pool())
    assert "| thrown away | 100 (5.0%) |" in told
    assert "| wasted, if no one mints any more | 300 (15.0%) |" in told


def test_a_server_without_limits_has_no_row_for_them() -> None:
    table = tables.servers(figures.bench())

    assert "| mint, limited: Cloakroom |" in table
    assert "| mint, limited: LiteLLM |" not in table
    assert "| mint: LiteLLM | **6,000** | 30.00 |" in table


def test_the_pages_are_what_the_figures_say() -> None:
    makers = report.blocks()
    for name in report.PAGES:
        page = (report.DOCS / name).read_text(encoding="utf-8")
        assert report.filled(page, makers) == page, "run: make bench-report"
