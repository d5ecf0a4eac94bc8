"""A revocation that is interrupted, or fails on the way, says how far it got; and what it expects."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.cli.failure import CliFailure
from app.cli.handles.revoke import Choice, scope_of
from app.cli.handles.revoking import Scope, Tally, estimate, revoke_matching
from app.store.listing.views import HandleFilter, HandleView, Page, Revoked
from tests.unit.cli.values import HANDLE_ID, view

SHOP = HandleFilter(client="shop")


class Steps:
    """An operator that revokes 2000 handles a step; after the second one it fails, or hangs."""

    def __init__(self, ending: str, bound: int = 0) -> None:
        self._ending, self._bound = ending, bound
        self.cursors: list[str | None] = []
        self.hanging = asyncio.Event()

    async def revoke_step(self, wanted: HandleFilter, *, cursor: str | None, calls: bool = False) -> Revoked:
        assert (wanted, calls) == (SHOP, False)
        self.cursors.append(cursor)
        if len(self.cursors) <= 2:
            return Revoked(revoked=1990, already=10, examined=2000, next_cursor=f"c{len(self.cursors)}")
        if self._ending == "fails":
            raise CliFailure("the store went away", status=3)
        if self._ending == "hangs":
            self.hanging.set()
            await asyncio.Event().wait()
        return Revoked(revoked=5, already=0, examined=5, next_cursor=None)

    async def count(self, wanted: HandleFilter) -> int:
        return self._bound

    async def handles(self, wanted: HandleFilter, *, cursor: str | None, limit: int) -> Page[HandleView]:
        if cursor is None:
            return Page((), "next", 2000)
        return Page((view(), view(revoked_at=1), view(calls=2)), None, 3)


async def test_a_revocation_goes_on_until_there_are_no_more() -> None:
    operator, tally = Steps("ends"), Tally()
    await revoke_matching(as_operator(operator), SHOP, tally, quiet=True)
    assert operator.cursors == [None, "c1", "c2"]
    assert (tally.revoked, tally.already) == (3985, 20)


async def test_ctrl_c_says_how_far_it_got(capsys: pytest.CaptureFixture[str]) -> None:
    operator, tally = Steps("hangs"), Tally()
    work = asyncio.create_task(revoke_matching(as_operator(operator), SHOP, tally, quiet=True))
    await operator.hanging.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    said = capsys.readouterr().err
    assert "stopped early: revoked 3,980 handles; 20 had been revoked before" in said
    assert "Run it again" in said


async def test_a_failure_on_the_way_says_how_far_it_got(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CliFailure, match="the store went away"):
        await revoke_matching(as_operator(Steps("fails")), SHOP, Tally(), quiet=True)
    assert "stopped early: revoked 3,980 handles" in capsys.readouterr().err


async def test_what_is_expected_leaves_out_what_was_revoked_and_looks_behind_an_empty_page() -> None:
    tally = Tally()
    await estimate(as_operator(Steps("ends", bound=3)), Scope(wanted=SHOP), tally, exactly=False, quiet=True)
    assert (tally.expected, tally.rough) == (2, False)


async def test_very_many_are_not_looked_at_one_by_one_before_anybody_is_asked() -> None:
    tally = Tally()
    operator = as_operator(Steps("ends", bound=1_000_000))
    await estimate(operator, Scope(wanted=SHOP), tally, exactly=False, quiet=True)
    assert (tally.expected, tally.rough) == (1_000_000, True)


def test_a_scope_is_either_named_or_described_and_never_everybody() -> None:
    named = scope_of([HANDLE_ID, HANDLE_ID], Choice())
    assert [one.id for one in named.named] == [HANDLE_ID]
    for pasted, client in (([], None), ([HANDLE_ID], "shop"), ([], "")):
        with pytest.raises(CliFailure) as refused:
            scope_of(pasted, Choice(client=client))
        assert refused.value.status == 2


def as_operator(steps: Steps) -> Any:
    """Only what a revocation asks for is there; the rest would be an error."""
    return steps
