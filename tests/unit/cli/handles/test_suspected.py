"""``cloakroom handles list --suspected``: the latest event comes first, wherever its page was."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from app.cli.handles.list import SUSPECTS
from app.cli.listing import Amount, print_listing
from app.store.listing.views import HandleFilter, HandleView, Page
from tests.unit.cli.values import NOW, view

AT = (30, 90, 60, 10, 90)


def suspects() -> list[HandleView]:
    kinds = {"suspicions": 2, "suspicion": "wrong_certificate"}
    return [view(id=f"handle-{n}", suspected_at=int(NOW) - ago, **kinds) for n, ago in enumerate(AT)]


class Pages:
    """Two handles a page, whatever is asked for."""

    def __init__(self, views: Sequence[HandleView]) -> None:
        self.views = views

    async def __call__(self, *, cursor: str | None, limit: int) -> Page[HandleView]:
        first = int(cursor or 0)
        more = str(first + 2) if first + 2 < len(self.views) else None
        return Page(tuple(self.views[first : first + 2]), more, 2)


async def listed(views: Sequence[HandleView], amount: Amount, **how: bool) -> None:
    options = {"as_document": False, "quiet": False, **how}
    await print_listing(SUSPECTS, Pages(views), amount, **options)


ORDER = ["handle-3", "handle-0", "handle-2", "handle-1", "handle-4"]


async def test_the_latest_event_comes_first_wherever_its_page_was(capsys: pytest.CaptureFixture[str]) -> None:
    await listed(suspects(), Amount())
    out, err = capsys.readouterr()
    header, *rows = out.splitlines()
    assert header.split() == [
        *("ID", "STATE", "CLIENT", "SUBJECT", "MODEL", "LEFT", "EVENTS", "LAST", "WHAT"),
    ]
    assert [row.split()[0] for row in rows] == ORDER
    assert all(row.endswith("wrong_certificate") for row in rows)
    assert "5 suspicious handles" in err


@pytest.mark.parametrize("amount", [Amount(limit=2), Amount(all_pages=True)])
async def test_the_limit_leaves_out_the_oldest_and_says_so(
    amount: Amount, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = ORDER if amount.all_pages else ORDER[:2]
    await listed(suspects(), amount, quiet=True)
    assert capsys.readouterr().out.split() == kept
    await listed(suspects(), amount)
    assert ("more with --limit or --all" in capsys.readouterr().err) is (not amount.all_pages)
    await listed(suspects(), amount, as_document=True)
    out = capsys.readouterr().out
    if amount.all_pages:
        found = [json.loads(line) for line in out.splitlines()]
    else:
        document = json.loads(out)
        found = document["data"]
        assert document["has_more"] is True
    assert [one["id"] for one in found] == kept


async def test_where_there_is_none_it_says_where_to_look(capsys: pytest.CaptureFixture[str]) -> None:
    await listed([], Amount())
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("no suspicious handles")
    assert "security_event" in err


def test_the_filter_asks_for_events() -> None:
    clean, suspicious = view(), suspects()[0]
    for wanted, expected in ((None, [True, True]), (True, [False, True]), (False, [True, False])):
        chosen = HandleFilter(suspected=wanted)
        assert [chosen.matches(clean), chosen.matches(suspicious)] == expected
    assert not HandleFilter(suspected=True, client="kiosk").matches(suspicious)
