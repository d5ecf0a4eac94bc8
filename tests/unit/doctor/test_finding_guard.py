"""A check that hangs or breaks is a failed row, and its error's text is never shown."""

from __future__ import annotations

import asyncio

import pytest

from app.doctor.finding import Finding, guarded

SECRET = "sk-proj-never-to-be-seen"


@pytest.mark.virtual_time
async def test_a_check_that_hangs_is_a_failed_row_in_time() -> None:
    started = asyncio.get_running_loop().time()
    (row,) = await guarded("store", "reach", asyncio.Event().wait, seconds=0.05, fix="look there")  # type: ignore[arg-type]
    assert asyncio.get_running_loop().time() == pytest.approx(started + 0.05)
    assert (row.status, row.detail, row.fix) == ("fail", "no answer within 0.05 s", "look there")


async def test_a_check_that_breaks_is_a_failed_row_without_its_error_s_text() -> None:
    async def broken() -> Finding:
        raise KeyError(SECRET)

    (row,) = await guarded("deployment", "mint", broken, seconds=1, fix="-", subject="voice")
    assert row.status == "fail"
    assert "KeyError" in row.detail
    assert SECRET not in row.detail + row.fix
    assert row.place == "deployment voice"


async def test_what_a_check_finds_comes_back_as_rows() -> None:
    one = Finding("store", "reach", "ok", "-")

    async def single() -> Finding:
        return one

    async def several() -> list[Finding]:
        return [one, one]

    assert await guarded("store", "reach", single, seconds=1, fix="-") == [one]
    assert await guarded("store", "reach", several, seconds=1, fix="-") == [one, one]
