"""The page's tables and pictures, and that they are what the figures say."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from tests.bench import growth_tables, plots, report, svg, tables
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
    for table in made:
        assert len({line.count(" | ") for line in table.splitlines() if not line.startswith("|-")}) == 1


def test_a_server_without_limits_has_no_row_for_them() -> None:
    table = tables.servers(figures.bench())

    assert "| mint, limited: Cloakroom |" in table
    assert "| mint, limited: LiteLLM |" not in table
    assert "| mint: LiteLLM | **6,000** | 30.00 |" in table


def test_the_pictures_are_whole_svg_with_every_server_named() -> None:
    for picture in (plots.cpu(figures.bench()), plots.latency(figures.bench())):
        words = "".join(ET.fromstring(picture).itertext())
        assert all(name in words for name in ("bare aiohttp", "Cloakroom", "LiteLLM"))
    assert ET.fromstring(plots.growth(figures.grown())).tag.endswith("svg")


def test_a_longer_bar_costs_more_and_none_leaves_the_picture() -> None:
    bars = [
        (float(mark.get("width", "")), float(mark.get("x", "")))
        for mark in ET.fromstring(plots.cpu(figures.bench(ours=300.0))).iter(
            "{http://www.w3.org/2000/svg}rect"
        )
        if mark.get("x") is not None
    ]

    floor, ours = bars[0], bars[1]
    assert ours[0] / floor[0] == pytest.approx(1.5, abs=0.01)
    assert all(x + width <= 860 for width, x in bars)


@pytest.mark.parametrize("ours", [100.0, 240.0, 900.0])
def test_nothing_of_a_picture_is_cut_off(ours: float) -> None:
    """Words are taken to be 8 pixels a letter wide, which is more than they are."""
    told = figures.bench(ours=ours)
    for picture in (plots.cpu(told), plots.latency(told), plots.growth(figures.grown())):
        root = ET.fromstring(picture)
        width, height = (float(root.get(name, "")) for name in ("width", "height"))
        for words in root.iter("{http://www.w3.org/2000/svg}text"):
            x, y, long = float(words.get("x", "")), float(words.get("y", "")), len(words.text or "") * 8
            left = {"start": x, "middle": x - long / 2, "end": x - long}[words.get("text-anchor", "start")]
            size = float(words.get("font-size", "13"))
            if size < 16:
                assert left >= 0, words.text
                assert left + long <= width, words.text
            assert size <= y <= height - 4, words.text


@pytest.mark.parametrize(("value", "top"), [(0, 1), (0.4, 0.5), (1, 1), (211, 250), (7183, 10_000)])
def test_an_axis_ends_at_the_next_round_number(value: float, top: float) -> None:
    assert svg.nice_top(value) == pytest.approx(top)


def test_words_in_a_picture_cannot_break_its_markup() -> None:
    canvas = svg.Canvas(10, 10, "a < b")
    canvas.text(1, 1, "x & <y>")

    assert "x & <y>" in "".join(ET.fromstring(canvas.render()).itertext())


def test_the_page_and_its_pictures_are_what_the_figures_say() -> None:
    makers = report.blocks()
    for name in report.PAGES:
        page = (report.DOCS / name).read_text(encoding="utf-8")
        assert report.filled(page, makers) == page, "run: python -m tests.bench.report"
    for path, text in report.pictures().items():
        assert path.read_text(encoding="utf-8") == text, "run: python -m tests.bench.report"
