"""The doctor's report in its three forms: a table, lines, one JSON document."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from app.cli.display import progress
from app.cli.doctor import as_json, looking_at, print_lines, print_table
from app.doctor.finding import Finding, Report

LONG = (
    "set deployments.voice.model to a deployment's name as the resource of deployments.voice.base_url has "
    "it, which is not the model's name"
)
REPORT = Report(
    [
        Finding("settings", "signing keys", "ok", "k1 signs (HS256)"),
        Finding("settings", "CORS", "warn", "pages of any origin may call", "set CLOAKROOM_CORS_ORIGINS"),
        Finding(
            "litellm", "model_list entry 12 (a-rather-long-model-name)", "ok", "served as [bold]deployment[/]"
        ),
        Finding("store", "reach", "ok", "connected in 1.0 ms"),
        Finding("deployment", "mint", "fail", "a: 404 DeploymentNotFound: " + "word " * 30, LONG, "voice"),
        Finding("deployment", "mint", "skipped", "not asked for", "add --mint", "spare"),
    ],
    seconds=1.26,
)
WELL = Report([Finding("store", "reach", "ok", "-")], seconds=0.1)


def table(
    width: int, report: Report = REPORT, *, quiet: bool = False, encoding: str = "utf-8", colour: bool = False
) -> str:
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(
        file=out,
        width=width,
        highlight=False,
        force_terminal=True,
        color_system="standard" if colour else None,
    )
    print_table(console, report, only_failures=quiet)
    out.flush()
    out.seek(0)
    return out.read()


def lines(report: Report = REPORT, *, quiet: bool = False) -> list[str]:
    out = io.StringIO()
    print_lines(Console(file=out, width=40, highlight=False), report, only_failures=quiet)
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_table_fits_its_terminal_and_loses_no_word(width: int) -> None:
    shown = table(width)
    assert max(map(len, shown.splitlines())) <= width
    words = shown.split()
    for finding in REPORT.findings:
        for word in [*finding.detail.split(), *finding.fix.split()]:
            assert word in words or word in "".join(words)


def test_a_table_is_grouped_by_area_in_order() -> None:
    heads = [line for line in table(100).splitlines() if line and not line.startswith(" ")]
    assert [head.strip() for head in heads] == [
        "Settings",
        "LiteLLM's configuration",
        "Store",
        "Deployment voice",
        "Deployment spare",
        "not well: 3 ok, 1 warning, 1 failed, 1 skipped, in 1.3 s",
    ]


def test_a_fix_wraps_right_of_its_word_below_what_it_mends() -> None:
    shown = table(80).splitlines()
    (start,) = [number for number, line in enumerate(shown) if "fix: set deployments.voice" in line]
    column = shown[start].index("fix:")
    following = shown[start + 1]
    assert following.index(following.strip()) == column + len("fix: ")


def test_the_columns_of_all_areas_stand_in_line() -> None:
    shown = table(100).splitlines()
    starts = {
        line.index(word)
        for line in shown
        for word in ("k1 signs", "connected in", "a: 404", "not asked")
        if word in line
    }
    assert len(starts) == 1


def test_a_status_is_told_without_colour_and_without_signs() -> None:
    for encoding, signs in (
        ("utf-8", ["✓ ok", "! warn", "✗ FAIL", "· skip"]),
        ("ascii", ["ok", "warn", "FAIL", "skip"]),
    ):
        shown = table(100, encoding=encoding)
        assert "\x1b[" not in shown
        marks = [line.strip() for line in shown.splitlines() if line.startswith("  ")]
        for sign in signs:
            assert any(mark.startswith(sign) for mark in marks), (encoding, sign)
    assert "✓" not in table(100, encoding="ascii")
    assert "\x1b[" in table(100, colour=True)


def test_a_line_a_finding_never_wraps_and_is_not_read_as_markup() -> None:
    shown = lines()
    assert len(shown) == len(REPORT.findings) + 1
    assert shown[0] == "ok    settings  signing keys  k1 signs (HS256)"
    assert shown[1] == ("warn  settings  CORS  pages of any origin may call  fix: set CLOAKROOM_CORS_ORIGINS")
    assert "[bold]deployment[/]" in shown[2]
    assert shown[4].startswith("FAIL  deployment voice  mint  a: 404")
    assert shown[4].endswith(f"fix: {LONG}")


def test_quiet_shows_failures_only_and_nothing_when_there_are_none() -> None:
    assert len(lines(quiet=True)) == 1
    assert lines(WELL, quiet=True) == []
    assert table(80, WELL, quiet=True) == ""
    assert "Settings" not in table(80, quiet=True)
    assert "DeploymentNotFound" in table(80, quiet=True)


def test_the_document_has_a_summary_and_every_finding() -> None:
    document = json.loads(as_json(REPORT, only_failures=False))
    assert document["summary"] == {
        "healthy": False,
        "seconds": 1.26,
        "ok": 3,
        "warn": 1,
        "fail": 1,
        "skipped": 1,
    }
    assert document["findings"][0] == {
        "area": "settings",
        "name": "signing keys",
        "status": "ok",
        "detail": "k1 signs (HS256)",
        "fix": None,
        "subject": None,
    }
    assert [finding["subject"] for finding in document["findings"]] == [
        None,
        None,
        None,
        None,
        "voice",
        "spare",
    ]


def test_the_quiet_document_counts_all_and_lists_failures() -> None:
    document = json.loads(as_json(REPORT, only_failures=True))
    assert document["summary"]["ok"] == 3
    assert [finding["status"] for finding in document["findings"]] == ["fail"]


def test_progress_is_for_terminals_only() -> None:
    for console, shown, expected in [
        (Console(file=io.StringIO(), force_terminal=False), True, False),
        (Console(file=io.StringIO(), force_terminal=True), False, False),
        (Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "dumb"}), True, False),
        (Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "xterm"}, width=80), True, True),
    ]:
        with progress(shown=shown, console=console) as said:
            tell = looking_at(said)
            tell(["the store", "deployment voice"])
            tell([])
        text = console.file.getvalue()  # type: ignore[attr-defined]
        assert ("looking at the store, deployment voice" in text) is expected
        assert expected or text == ""
