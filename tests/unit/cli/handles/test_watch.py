"""The parts of the watch: the stream's lines, expiries, filters, and how an event is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from app.cli.failure import CliFailure
from app.cli.handles.watch import Screen, event_document, event_line
from app.cli.handles.watching import ExpiryBook, Wanted, Watching, failed
from app.cli.reach.admin_answers import EventReader
from app.cli.reach.base import HandleStory
from app.store.events import Event
from app.store.listing.views import HandleFilter, HandleView, Page
from tests.unit.cli.values import NOW, view

REFUSED = Event("relay", {"status": 409, "code": "handle_spent", "handle": "h1", "client": None, "at": NOW})


def read(*lines: bytes) -> list[Event]:
    reader = EventReader()
    return [event for event in map(reader.feed, lines) if event is not None]


def test_events_are_read_from_their_lines_and_comments_are_passed_over() -> None:
    found = read(
        *(
            b": watching\n",
            b"\n",
            b"event: mint\n",
            b'data: {"status":200}\n',
            b"\n",
            b": keep-alive\n",
            b"\n",
        ),
        *(b"event:relay\r\n", b"id: 7\r\n", b'data:{"status":\r\n', b"data: 409}\r\n", b"\r\n"),
        *(b"data: {}\n", b"\n"),
    )
    assert found == [Event("mint", {"status": 200}), Event("relay", {"status": 409})]


@pytest.mark.parametrize("data", [b"data: [1]\n", b"data: nonsense\n", b"data: \xff\n"])
def test_data_that_is_no_object_is_an_error(data: bytes) -> None:
    with pytest.raises((TypeError, ValueError)):
        read(b"event: mint\n", data, b"\n")


def test_a_handle_expires_once_when_its_life_is_over_and_not_before() -> None:
    book = ExpiryBook()
    book.add(view(id="later", life=20), now=100)
    book.add(view(id="sooner", life=10), now=100)
    book.add(view(id="sooner", life=99), now=101)
    assert book.due(now=109.9, wall=NOW) == []
    (first,) = book.due(now=112, wall=NOW)
    assert (first.name, first.fields["handle"], first.fields["at"]) == ("expiry", "sooner", NOW - 2)
    assert [event.fields["handle"] for event in book.due(now=500, wall=NOW)] == ["later"]
    assert book.due(now=999, wall=NOW) == []


def test_what_a_refused_relay_does_not_tell_comes_from_the_handle_that_was_seen() -> None:
    book = ExpiryBook()
    assert book.with_names(REFUSED) is REFUSED
    book.add(view(id="h1"), now=0)
    named = book.with_names(REFUSED)
    assert (named.fields["client"], named.fields["model"], named.fields["code"]) == (
        "shop",
        "gpt-realtime-2.1",
        "handle_spent",
    )
    other = Event("mint", {"handle": "h1", "client": "other", "model": "m", "deployment": "d"})
    assert book.with_names(other) is other


def test_only_what_is_wanted_is_shown_but_what_was_missed_concerns_everybody() -> None:
    mint = Event("mint", {"status": 200, "client": "shop", "model": "m", "deployment": "d"})
    assert Wanted().shows(mint)
    assert Wanted(client="shop", model="m", deployment="d").shows(mint)
    for wanted in (Wanted(client="x"), Wanted(model="x"), Wanted(deployment="x"), Wanted(failures=True)):
        assert not wanted.shows(mint)
        assert wanted.shows(Event("dropped", {"count": 3}))
    assert Wanted(failures=True).shows(REFUSED)
    assert failed(REFUSED)
    assert not failed(Event("expiry", {}))
    assert failed(Event("report", {"status": 204, "outcome": "ice_timeout"}))
    assert not failed(Event("report", {"status": 204, "outcome": "connected"}))


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (
            Event("mint", {"status": 200, "client": "shop", "at": NOW, "total_ms": 3.21}),
            ["mint", "ok", "shop", "3.2 ms"],
        ),
        (REFUSED, ["relay", "handle_spent", "h1"]),
        (Event("relay", {"status": 502, "code": None, "at": NOW}), ["relay", "502"]),
        (Event("hangup", {"status": 200, "outcome": "ended", "by": "sre", "at": NOW}), ["ended", "by sre"]),
        (Event("revoke", {"status": 200, "outcome": "revoked", "revoked": 5, "at": NOW}), ["5 revoked"]),
        (Event("report", {"status": 204, "outcome": "connected", "at": NOW}), ["report", "connected"]),
        (Event("report", {"status": 204, "outcome": "no_audio", "at": NOW}), ["report", "no_audio"]),
        (Event("report", {"status": 429, "code": "rate_limited", "outcome": "no_audio"}), ["rate_limited"]),
        (Event("expiry", {"handle": "h1", "at": NOW}), ["expired", "h1"]),
        (Event("dropped", {"count": 7, "at": None}), ["--:--:--", "7 missed"]),
        (Event("dropped", {"count": None}), ["some missed"]),
        (Event("mint", {"client": "\x1b[2J\n", "at": "soon"}), [r"\u001b[2J\u000a"]),
    ],
)
def test_an_event_is_one_line_that_says_how_it_ended(event: Event, words: list[str]) -> None:
    line = event_line(event).plain
    assert all(word in line for word in words), line
    assert not set(line) & {"\x1b", "\n"}
    assert event_document(event) == {"event": event.name, **event.fields}


def test_the_screen_counts_everything_and_shows_the_last_of_it() -> None:
    screen = Screen("here")
    screen.add([Event("mint", {"status": 200, "handle": f"h{number}", "at": NOW}) for number in range(60)])
    screen.add([REFUSED])
    shown = [str(getattr(line, "plain", line)) for line in screen.rendered(20).renderables]
    assert "mint 60" in shown[1]
    assert "failed 1" in shown[1]
    assert len(shown) < 20
    assert "handle_spent" in shown[-1]


class Operator:
    """An operator whose events are given; what is not asked here is not there."""

    def __init__(self, batches: Sequence[Sequence[Event]], *, fails: bool = False) -> None:
        self._batches, self._fails = batches, fails
        self.listed_after = -1
        self.told = 0

    async def events(self) -> AsyncIterator[Sequence[Event]]:
        for batch in self._batches:
            self.told += 1
            yield batch
        if self._fails:
            raise CliFailure("lost", status=3)

    async def handles(self, wanted: HandleFilter, *, cursor: str | None, limit: int) -> Page[HandleView]:
        self.listed_after = self.told
        return Page((view(id="h1", life=0),), None, 1)

    async def handle(self, handle_id: str) -> HandleStory | None:
        return HandleStory(view(id=handle_id, life=0))


async def watched(operator: Any, wanted: Wanted) -> list[Event]:
    events: list[Event] = []

    async def all_of_them() -> None:
        async for batch in Watching(operator, wanted).batches():
            events.extend(batch)

    with pytest.raises(CliFailure, match="lost"):
        await all_of_them()
    return events


async def test_handles_are_listed_once_the_events_come_so_that_none_falls_between() -> None:
    operator = Operator([[], [REFUSED]], fails=True)
    events = await watched(operator, Wanted())
    assert operator.listed_after == 1
    names = [event.name for event in events]
    assert "relay" in names
    assert "expiry" in names


async def test_a_watch_that_is_refused_ends_with_the_reason() -> None:
    assert await watched(Operator([], fails=True), Wanted()) == []
