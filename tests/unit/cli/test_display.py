"""Tables: whole in a pipe, readable on a narrow terminal, and nothing in them moves the cursor."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from app.cli.calls.records import CALLS
from app.cli.display import Column, Columns
from app.cli.handles.list import HANDLES
from tests.unit.cli.values import HANDLE_ID, NOW, call, view


def lines(width: int | None, *rows: list[str]) -> list[str]:
    table = Columns([Column("ID"), Column("NAME", rank=1, most=10), Column("WHAT", rank=2)], width=width)
    return [line.plain for line in table.lines(rows)]


def test_in_a_pipe_every_column_is_there_whole() -> None:
    row = list(HANDLES.row(view(subject="s" * 200, model="m" * 100), NOW))
    header, line = (text.plain for text in Columns(HANDLES.columns, width=None).lines([row]))
    assert header.split() == [column.title for column in HANDLES.columns]
    assert "s" * 200 in line
    assert "m" * 100 in line
    assert line.startswith(HANDLE_ID)


@pytest.mark.parametrize("width", [40, 60, 72, 80, 100, 132, 200])
def test_on_a_terminal_no_line_is_wider_and_the_id_stays_whole(width: int) -> None:
    handle = list(HANDLES.row(view(subject="s" * 200, client="c" * 64, model="m" * 100), NOW))
    for text in Columns(HANDLES.columns, width=width).lines([handle]):
        assert cell_len(text.plain) <= width
    shown = Columns(HANDLES.columns, width=width).lines([handle])[1].plain
    assert shown.startswith(f"{HANDLE_ID}  live")
    listed = Columns(CALLS.columns, width=width).lines([list(CALLS.row(call(), NOW))])[1].plain
    assert listed.startswith("rtc_1  open")


def test_the_least_telling_columns_go_first() -> None:
    wide = lines(60, ["1", "n" * 10, "w" * 40])
    assert wide[0].split() == ["ID", "NAME", "WHAT"]
    narrow = lines(40, ["1", "n" * 10, "w" * 40])
    assert narrow[0].split() == ["ID", "NAME"]


def test_a_long_cell_is_cut_with_a_sign_of_it_and_an_empty_one_is_a_dash() -> None:
    assert lines(60, ["1", "n" * 30, "w"])[1].split() == ["1", "n" * 8 + "..", "w"]
    assert lines(60, ["1", "", "w"])[1].split() == ["1", "-", "w"]


def test_wide_letters_count_for_the_two_cells_that_they_take() -> None:
    header, first, second = lines(60, ["1", "\u6f22\u5b57", "w"], ["2", "abcd", "w"])
    assert cell_len(first) == cell_len(second)
    assert header.index("WHAT") == second.index("w")


def test_the_second_page_has_no_header_and_keeps_the_widths() -> None:
    table = Columns([Column("ID"), Column("NAME")], width=None)
    assert [line.plain for line in table.lines([["1", "a"]])] == ["ID  NAME", "1   a"]
    assert [line.plain for line in table.lines([["2", "b"]])] == ["2   b"]


@pytest.mark.parametrize("evil", ["\x1b[2J", "a\nb", "\x9b31m", "\u202ereversed", "\x00", "\r", "\u2028"])
def test_nothing_in_a_cell_moves_the_cursor_or_forges_a_line(evil: str) -> None:
    (_, line) = lines(None, ["1", f"x{evil}y", "w"])
    assert r"\u00" in line or r"\u20" in line
    assert not set(line) & {"\x1b", "\n", "\r", "\x00", "\x9b", "\u202e", "\u2028"}
