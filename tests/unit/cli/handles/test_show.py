"""The story of a handle says first whether it works, and if not, why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.broker.desk import call_document, handle_document, story_document
from app.cli.arguments import UnverifiedHandle
from app.cli.handles.show import gone, story_lines, verdict
from app.cli.reach.admin_answers import read_call, read_handle, read_story
from app.cli.reach.base import HandleStory
from app.reports import CallReport, Candidates
from app.store.listing.views import RelayNote
from tests.support.offers import certificate
from tests.unit.cli.values import HANDLE_ID, NOW, call, view

RELAYS = (
    RelayNote(int(NOW) - 50, "upstream_timeout"),
    RelayNote(int(NOW) - 30, "answered", "rtc_1"),
    RelayNote(int(NOW) - 20, "answered", "rtc_gone"),
    RelayNote(int(NOW) - 10, "answered"),
)


def text_of(story: HandleStory) -> str:
    return "\n".join(line.plain for line in story_lines(story, now=NOW))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ["9 min left", "for 1 call"]),
        ({"max_calls": 0}, ["as many calls as the provider allows"]),
        ({"calls": 2}, ["2 of 2 calls used", "handle_spent"]),
        (
            {"calls": 2, "revoked_at": int(NOW) - 120, "revoked_by": "alice"},
            ["by alice 2 min ago", "handle_revoked"],
        ),
        (
            {"relays": (RelayNote(int(NOW) - 5, "upstream_timeout"),)},
            ["last relay failed 5 s ago", "upstream_timeout"],
        ),
    ],
)
def test_the_verdict_says_why(changes: dict[str, Any], words: list[str]) -> None:
    said = verdict(view(**changes), NOW)
    for word in words:
        assert word in said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"suspicions": 3, "suspected_at": int(NOW) - 5, "suspicion": "wrong_certificate"},
            "3 times; the last 5 s ago: wrong_certificate (an offer of another browser came with it)",
        ),
        ({"suspicions": 1, "suspicion": "of-a-newer-release"}, "1 time: of-a-newer-release"),
    ],
)
def test_a_suspicious_handle_says_so_and_survives_the_admin_api(changes: dict[str, Any], said: str) -> None:
    suspicious = view(**changes)
    (line,) = [line for line in text_of(HandleStory(suspicious, {})).splitlines() if "suspicious" in line]
    assert said in line
    assert read_handle(handle_document(suspicious)) == suspicious
    assert "suspicious" not in text_of(HandleStory(view(), {}))


def test_the_story_tells_who_minted_it_where_its_refusals_and_each_relay_with_its_call() -> None:
    story = HandleStory(
        view(
            relays=RELAYS, relays_count=31, refusals=3, last_refusal=RelayNote(int(NOW) - 5, "handle_spent")
        ),
        {"rtc_1": call(ended_at=int(NOW) - 3, ended_by="replica-a")},
    )
    text = text_of(story)
    for words in (
        "by replica-a",
        "deployment sweden (azure)",
        "user 17",
        "https://app.example",
        "1 of 2 calls used; the last 30 s ago by replica-b",
        "3 claims; the last 5 s ago: handle_spent",
        "31 relays, the last 4 of them",
        "upstream_timeout",
        "call rtc_1 (ended 3 s ago by replica-a, relayed by replica-b)",
        "call rtc_gone (no longer on record)",
        "the provider named no call",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"undelivered_at": 1}, "relayed by replica-b; its answer reached no browser)"),
        (
            {"undelivered_at": 1, "ended_at": int(NOW) - 3, "ended_because": "undelivered"},
            "its answer reached no browser; so it was hung up)",
        ),
        ({"undelivered_at": 1, "delivered_at": 2}, "its answer was fetched by a second request)"),
        ({"ended_at": int(NOW) - 3, "ended_because": "lost"}, "its answer came after its caller was told"),
        ({"not_ended_because": "no_hangup"}, "its provider has no way to)"),
        (
            {"ended_at": int(NOW) - 3, "ended_because": "remote", "attached_at": 1},
            "it ended at the provider, as its sideband told)",
        ),
        ({"sideband": "not_found"}, "its provider has no sideband for it"),
    ],
)
def test_the_story_tells_of_a_call_that_no_browser_held(changes: dict[str, Any], words: str) -> None:
    answered = call(**changes)
    story = HandleStory(view(relays=RELAYS[1:2], relays_count=1), {"rtc_1": answered})
    assert words in text_of(story)
    assert read_call(call_document(answered)) == answered


def test_a_call_that_nobody_hung_up_is_not_called_alive() -> None:
    assert "rtc_1 (not hung up" in text_of(
        HandleStory(view(relays=RELAYS[1:2], relays_count=1), {"rtc_1": call()})
    )


def test_nothing_that_a_caller_chose_reaches_the_screen_raw() -> None:
    text = text_of(HandleStory(view(subject="\x1b[2Jx", origin="a\nb", client="\x9bc"), {}))
    assert not set(text) & {"\x1b", "\x9b"}
    assert r"a\u000ab" in text


def test_json_is_read_back_as_it_was_written() -> None:
    full = HandleStory(
        view(relays=RELAYS[:2], relays_count=2, refusals=1, last_refusal=RelayNote(5, "handle_spent")),
        {"rtc_1": call()},
    )
    assert read_story(story_document(full.handle, full.calls)) == full
    bare = view(max_calls=0, calls=0, subject="", origin="", last_call_at=None, last_call_by="")
    assert read_handle(handle_document(bare)) == bare
    report = CallReport("no_audio", 9, "connected", "connected", "udp", "host", "muted", at=5)
    counted = replace(report, local=Candidates(2, 1), remote=Candidates())
    calls = (call(), call(subject="", ended_at=7, ended_by="replica-a"), call(report=report))
    for one in (*calls, call(report=counted), call(report=CallReport("connected", 1, at=2))):
        assert read_call(call_document(one)) == one


def test_a_handle_that_is_gone_is_told_with_what_its_token_said() -> None:
    assert "expired or never existed" in gone(UnverifiedHandle(HANDLE_ID), NOW)
    assert "5 min ago" in gone(UnverifiedHandle(HANDLE_ID, int(NOW) - 300), NOW)
    assert "whether this is the store" in gone(UnverifiedHandle(HANDLE_ID, int(NOW) + 300), NOW)


def test_it_tells_what_the_handle_is_bound_to_and_who_used_it_first() -> None:
    own, page = certificate(1), "https://app.example"
    bound = view(bind_origin=page, bind_fingerprint=own, used_origin="none", used_fingerprint=own)
    text = text_of(HandleStory(bound, {}))
    assert f"bound to   page {page}\n           certificate {own}" in text
    assert f"first use  page none\n           certificate {own}" in text
    half = text_of(HandleStory(view(bind_fingerprint=own), {}))
    assert f"bound to   certificate {own}" in half
    for words in ("bound to", "first use"):
        assert words not in text_of(HandleStory(view(), {}))
    assert read_handle(handle_document(bound)) == bound
