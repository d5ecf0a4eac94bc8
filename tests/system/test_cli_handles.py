"""``cloakroom handles`` as an operator runs it, over both ways, against replicas, a store and a provider."""

from __future__ import annotations

import json
import secrets
import signal
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest

from app.cli.arguments import read_unverified
from app.store import keys
from tests.support import api
from tests.support.clocks import eventually
from tests.support.onlooker import onlooker
from tests.support.stack import Stack
from tests.system.commands import WAYS, Commands, Way

BY: dict[Way, str] = {"api": "sre", "direct": "cli:"}
# Each test mints as a client of its own, so that no test sees another's handles.
KEYS = {f"client-{number}": "ck_" + secrets.token_urlsafe(32) for number in range(60)}
FRESH = iter(KEYS)
# Of which no other test has handles.
MODELS: dict[Way, str] = {"api": "gpt-realtime-2.1-mini", "direct": "gpt-realtime-1.5"}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A handle opens one call, so that it can be spent."""
    keys = ",".join(f"{name}:{key}" for name, key in KEYS.items())
    with Stack(peer="static", CLOAKROOM_HANDLE_MAX_CALLS="1", CLOAKROOM_API_KEYS=keys) as running:
        yield running


class Caller:
    """A client of its own name for each test."""

    def __init__(self, http: aiohttp.ClientSession, stack: Stack) -> None:
        self.http, self.stack, self.name = http, stack, next(FRESH)

    async def mint(self, *, subject: str = "", model: str = "gpt-realtime-2.1") -> str:
        reply = await api.mint(
            self.http,
            self.stack.a.url,
            KEYS[self.name],
            {"model": model},
            **({"x-cloakroom-subject": subject} if subject else {}),
        )
        assert reply.status == 200, reply
        return str(reply.json["value"])

    async def refused_everywhere(self, handle: str) -> set[str]:
        """The codes that a fresh relay gets at either replica."""
        return {
            (await api.relay(self.http, replica.url, handle)).code for replica in (self.stack.a, self.stack.b)
        }


@pytest.fixture
async def caller(stack: Stack) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession() as http:
        yield Caller(http, stack)


async def test_a_listing_tells_whose_the_handles_are_and_filters_them(
    cloakroom: Commands, caller: Caller, way: Way
) -> None:
    handles = [await caller.mint(subject="user-17" if number else "") for number in range(3)]
    ids = {read_unverified(handle).id for handle in handles}
    await api.called(caller.http, caller.stack.b.url, handles[0])
    mine = ("--client", caller.name)

    table = cloakroom.run("handles", "list", *mine, way=way)
    assert table.status == 0
    assert table.lines[0].split()[:4] == ["ID", "STATE", "CLIENT", "SUBJECT"]
    assert {line.split()[0] for line in table.lines[1:]} == ids
    assert "3 handles" in table.err

    def listed(*filters: str) -> set[str]:
        return set(cloakroom.run("handles", "list", *mine, "-q", *filters, way=way).lines)

    assert listed() == listed("--model", "gpt-realtime-2.1") == listed("--deployment", "openai") == ids
    assert listed("--subject", "user-17") == ids - {read_unverified(handles[0]).id}
    assert listed("--state", "spent") == {read_unverified(handles[0]).id}
    assert listed("--state", "revoked") == listed("--model", "no-such") == set()
    assert cloakroom.run("handles", "list", *mine, "--count", way=way).out == "3\n"
    assert cloakroom.run("handles", "list", *mine, "--count", "--state", "live", way=way).out == "2\n"
    page = cloakroom.run("handles", "list", *mine, "--limit", "2", way=way)
    assert len(page.lines) == 3
    assert "--all" in page.err


async def test_only_suspicious_handles_are_listed_the_latest_event_first(
    cloakroom: Commands, caller: Caller, way: Way
) -> None:
    suspected = ("handles", "list", "--client", caller.name, "--suspected")
    await caller.mint()
    none = cloakroom.run(*suspected, way=way)
    assert (none.status, none.out) == (0, "")
    assert "no suspicious handles" in none.err

    handles = [await caller.mint() for _ in range(2)]
    earlier, later = (read_unverified(handle).id for handle in handles)
    with onlooker(caller.stack.engine.url) as store:
        for handle in handles:
            store.hdel(keys.handle(read_unverified(handle).id), "proof")
            assert await caller.refused_everywhere(handle) == {"invalid_handle"}
        # Both replicas saw both.
        await eventually(
            lambda: all(store.hget(keys.handle(one), "suspicions") == "2" for one in (earlier, later))
        )
        store.hincrby(keys.handle(earlier), "suspected_at", -60)

    table = cloakroom.run(*suspected, way=way)
    assert [line.split()[0] for line in table.lines[1:]] == [later, earlier]
    assert all(line.endswith("record_refused") for line in table.lines[1:])
    assert "2 suspicious handles" in table.err
    assert cloakroom.run(*suspected, "--count", way=way).out == "2\n"
    newest = cloakroom.run(*suspected, "--limit", "1", "--json", way=way).json
    assert ([one["id"] for one in newest["data"]], newest["has_more"]) == ([later], True)
    assert cloakroom.run(*suspected, "--state", "revoked", "-q", way=way).out == ""


async def test_both_ways_tell_the_same(cloakroom: Commands, caller: Caller) -> None:
    handle = await caller.mint(subject="user-17")
    await api.called(caller.http, caller.stack.b.url, handle)
    assert await caller.refused_everywhere(handle) == {"handle_spent"}
    for command in (("list", "--client", caller.name), ("show", handle)):
        found = [cloakroom.run("handles", *command, "--json", way=way).json for way in WAYS]
        for document in found:
            for one in document.get("data", [document]):
                assert 0 < one.pop("seconds_left") <= 600
        assert found[0] == found[1]


async def test_all_handles_come_page_by_page_one_object_a_line(
    cloakroom: Commands, caller: Caller, way: Way
) -> None:
    ids = {read_unverified(await caller.mint()).id for _ in range(620)}
    everything = cloakroom.run("handles", "list", "--client", caller.name, "--all", "--json", way=way)
    assert {json.loads(line)["id"] for line in everything.lines} == ids
    table = cloakroom.run("handles", "list", "--client", caller.name, "--all", way=way)
    assert len(table.lines) == 621
    document = cloakroom.run(
        "handles", "list", "--client", caller.name, "--json", "--limit", "5", way=way
    ).json
    assert (len(document["data"]), document["has_more"]) == (5, True)
    early = cloakroom.start("handles", "list", "--client", caller.name, "--all", "-q", way=way)
    assert early.stdout is not None
    assert early.stderr is not None
    assert early.stdout.readline().strip() in ids
    early.stdout.close()
    said = early.stderr.read()
    early.stderr.close()
    assert (early.wait(30), said) == (0, "")


async def test_show_tells_the_whole_story_for_whatever_is_pasted(
    cloakroom: Commands, caller: Caller, way: Way
) -> None:
    handle = await caller.mint(subject="user-17")
    call_id = await api.called(caller.http, caller.stack.b.url, handle)
    assert await caller.refused_everywhere(handle) == {"handle_spent"}
    handle_id = read_unverified(handle).id
    stories = set()
    for pasted in (handle_id, handle, f"Authorization: Bearer {handle}", f"'Bearer {handle}'\n"):
        done = cloakroom.run("handles", "show", pasted, "--json", way=way)
        assert done.status == 0, done
        stories.add(done.json["id"])
    assert stories == {handle_id}
    text = cloakroom.run("handles", "show", handle, way=way).out
    assert text.startswith(f"Handle {handle_id} is spent: 1 of 1 call used")
    for words in (
        "by replica-a",
        caller.name,
        "user-17",
        "deployment openai",
        "by replica-b",
        "2 claims; the last",
        "handle_spent",
        f"call {call_id} (not hung up, relayed by replica-b)",
    ):
        assert words in text, words
    assert cloakroom.run("handles", "show", handle, "-q", way=way).out == "spent\n"


def test_a_handle_that_is_gone_is_an_exit_status_and_says_what_its_token_claims(
    cloakroom: Commands, way: Way
) -> None:
    done = cloakroom.run("handles", "show", "A" * 22, way=way)
    assert (done.status, done.out) == (1, "")
    assert "expired or never existed" in done.err
    revoked = cloakroom.run("handles", "revoke", "A" * 22, way=way)
    assert revoked.status == 1
    assert f"gone (expired, or never existed): {'A' * 22}" in revoked.err


async def test_a_revoked_handle_is_refused_by_every_replica_at_once(
    cloakroom: Commands, caller: Caller, way: Way
) -> None:
    handle, other = await caller.mint(), await caller.mint()
    done = cloakroom.run("handles", "revoke", f"Bearer {handle}", way=way)
    assert (done.status, done.out) == (0, "revoked 1 handle\n")
    assert await caller.refused_everywhere(handle) == {"handle_revoked"}
    again = cloakroom.run("handles", "revoke", handle, way=way)
    assert (again.status, again.out) == (0, "revoked 0 handles; 1 had been revoked before\n")
    story = cloakroom.run("handles", "show", handle, way=way).out
    assert f"is revoked: by {BY[way]}" in story
    await api.called(caller.http, caller.stack.b.url, other)


@pytest.mark.parametrize("option", ["--model", "--subject", "--client"])
async def test_a_revocation_of_many_asks_first_says_how_many_and_leaves_the_others(
    stack: Stack, caller: Caller, way: Way, option: str
) -> None:
    cloakroom = Commands(stack)
    subject = f"user-of-{caller.name}"
    handles = [await caller.mint(subject=subject, model=MODELS[way]) for _ in range(3)]
    other = await caller.mint(subject="somebody-else")
    # What stands beside the option narrows it down to this test's own.
    chosen = {
        "--model": ("--model", MODELS[way], "--client", caller.name),
        "--subject": ("--subject", subject),
        "--client": ("--client", caller.name, "--model", MODELS[way]),
    }[option]

    refused = cloakroom.run("handles", "revoke", *chosen, way=way)
    assert refused.status == 2
    assert "Revoke 3 handles" in refused.err
    assert "--yes" in refused.err
    dry = cloakroom.run("handles", "revoke", *chosen, "--dry-run", "--json", way=way)
    assert (dry.status, dry.json["would_revoke"], dry.json["dry_run"]) == (0, 3, True)
    no = cloakroom.run_at_a_terminal("handles", "revoke", *chosen, way=way, typed="n\n")
    assert no.status == 2
    assert "nothing was done" in no.out
    states = cloakroom.run("handles", "list", "--client", caller.name, "--json", way=way).json["data"]
    assert {one["state"] for one in states} == {"live"}

    yes = cloakroom.run_at_a_terminal("handles", "revoke", *chosen, way=way, typed="y\n")
    assert yes.status == 0
    assert "revoked 3 handles" in yes.out
    for handle in handles:
        assert await caller.refused_everywhere(handle) == {"handle_revoked"}
    again = cloakroom.run("handles", "revoke", *chosen, "--yes", way=way)
    assert (again.status, again.out) == (0, "revoked 0 handles; 3 had been revoked before\n")
    await api.called(caller.http, caller.stack.b.url, other)


async def test_several_handles_by_name_are_asked_about_and_the_missing_one_is_told(
    cloakroom: Commands, caller: Caller, way: Way
) -> None:
    handles = [await caller.mint() for _ in range(2)]
    assert cloakroom.run("handles", "revoke", *handles, way=way).status == 2
    done = cloakroom.run("handles", "revoke", *handles, "A" * 22, "--yes", "--json", way=way)
    assert done.status == 1
    assert (done.json["revoked"], done.json["gone"]) == (2, ["A" * 22])


def test_what_matches_nothing_is_exit_status_1(cloakroom: Commands, way: Way) -> None:
    done = cloakroom.run("handles", "revoke", "--client", "nobody", "--yes", way=way)
    assert (done.status, done.out) == (1, "revoked 0 handles\n")
    assert cloakroom.run("handles", "revoke", "--client", "nobody", way=way).status == 1


def test_an_id_that_begins_with_a_hyphen_is_no_option(cloakroom: Commands, way: Way) -> None:
    for command in ("show", "revoke"):
        done = cloakroom.run("handles", command, "-" + "A" * 21, way=way)
        assert (done.status, "expired" in done.err) == (1, True)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
async def test_a_terminal_without_unicode_shows_what_it_can(
    cloakroom: Commands, caller: Caller, encoding: str
) -> None:
    await caller.mint()
    surroundings: dict[str, Any] = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": encoding}
    done = cloakroom.run_at_a_terminal("handles", "list", "--client", caller.name, **surroundings)
    assert done.status == 0
    assert "live" in done.out
    assert cloakroom.run("handles", "list", "--help", **surroundings).status == 0


async def test_colour_is_for_terminals_and_not_with_no_color(cloakroom: Commands, caller: Caller) -> None:
    await caller.mint()
    listing = ("handles", "list", "--client", caller.name)
    assert "\x1b[32mlive" in cloakroom.run_at_a_terminal(*listing).out
    assert "\x1b[32m" not in cloakroom.run_at_a_terminal(*listing, NO_COLOR="1").out
    assert "\x1b" not in cloakroom.run(*listing, FORCE_COLOR="1").out


async def test_a_narrow_terminal_has_whole_ids_and_no_folded_lines(
    cloakroom: Commands, caller: Caller
) -> None:
    handle_id = read_unverified(await caller.mint(subject="s" * 120)).id
    done = cloakroom.run_at_a_terminal("handles", "list", "--client", caller.name, COLUMNS="50", NO_COLOR="1")
    (line,) = [line for line in done.lines if handle_id in line]
    assert len(line.strip()) <= 50


async def test_straight_on_the_store_it_works_with_no_replica_up() -> None:
    with Stack(peer="static") as stack:
        async with aiohttp.ClientSession() as http:
            handle = await api.minted(http, stack.a.url, stack.planted.client_key)
        for replica in (stack.a, stack.b):
            replica.signal(signal.SIGTERM)
            assert replica.wait() == 0
        cloakroom = Commands(stack)
        unreached = cloakroom.run("handles", "list")
        assert unreached.status == 3
        assert "nothing listens there" in unreached.err
        assert cloakroom.run("handles", "list", "--count", way="direct").out == "1\n"
        assert cloakroom.run("handles", "revoke", handle, way="direct").status == 0
        late = stack.replica("replica-c")
        async with aiohttp.ClientSession() as http:
            assert (await api.relay(http, late.url, handle)).code == "handle_revoked"
        stack.engine.stop()
        dead = cloakroom.run("handles", "list", way="direct")
        assert dead.status == 3
        assert "nothing accepts connections there" in dead.err


def test_a_wrong_admin_key_and_a_page_that_is_no_service_are_exit_status_3(
    cloakroom: Commands, stack: Stack
) -> None:
    wrong = cloakroom.run("handles", "list", CLOAKROOM_ADMIN_KEY="ck_admin_" + "0123456789abcdef" * 3)
    assert wrong.status == 3
    assert "refuses the admin key" in wrong.err
    client = cloakroom.run("handles", "list", CLOAKROOM_ADMIN_KEY=stack.planted.client_key)
    assert client.status == 3
    elsewhere = cloakroom.run("handles", "list", CLOAKROOM_ADMIN_URL=stack.sandbox.url)
    assert elsewhere.status == 3
    assert "no admin API" in elsewhere.err


async def test_handles_of_a_newer_release_are_shown_and_left_to_it(
    stack: Stack, cloakroom: Commands, caller: Caller, way: Way
) -> None:
    newer, ours = [read_unverified(await caller.mint()).id for _ in range(2)]
    with onlooker(stack.engine.url, decode=False) as store:
        store.hset(keys.handle(newer), "v", "2")
    listed = cloakroom.run("handles", "list", "--client", caller.name, way=way)
    states = {line.split()[0]: line.split()[1] for line in listed.lines[1:]}
    assert states == {newer: "unknown", ours: "live"}
    shown = cloakroom.run("handles", "show", newer, way=way)
    assert "is unknown: a newer release wrote its record (version 2)" in shown.lines[0]
    assert caller.name in shown.out
    done = cloakroom.run("handles", "revoke", newer, way=way)
    assert done.status != 0
    assert "newer release" in done.err
    dry = cloakroom.run("handles", "revoke", "--client", caller.name, "--dry-run", "--json", way=way)
    assert (dry.json["would_revoke"], dry.json["newer_release"]) == (1, 1)
    done = cloakroom.run("handles", "revoke", "--client", caller.name, "--yes", way=way)
    assert (done.status, done.out) == (1, "revoked 1 handle\n")
    assert "a newer release wrote 1 handle, which cannot be revoked from here" in done.err
