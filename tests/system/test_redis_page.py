"""Every shell line of docs/redis.md, run as it stands, with the real redis-cli, by the page's own user."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from app.store import keys
from app.store.acl import OPERATOR, operator_tokens
from tests.support import api
from tests.support.clocks import PATIENCE
from tests.support.handles import claims_of
from tests.support.onlooker import onlooker
from tests.support.page import ROOT, shell_blocks
from tests.support.programs import required
from tests.support.stack import Stack

BLOCKS: Final = shell_blocks("docs/redis.md")
PASSWORD: Final = "operators-own-password"
LIMITED_KEY: Final = "ck_kiosk7Qz4YtWmP1nXcVbKjHgFdSaReZk8wLr2uTn5v"
CLIENTS: Final = json.dumps(
    {"kiosk": {"api_key": LIMITED_KEY, "mints_per_minute": 1000, "max_live_handles": 9}}
)


@dataclass
class Night:
    """What the operator finds: handles of two clients, one of them used up, and a call."""

    stack: Stack
    admin: Any
    shim: Path
    handle: str
    call_id: str
    ended_call_id: str
    others: list[str]

    @property
    def id(self) -> str:
        return id_of(self.handle)

    def run(
        self, heading: str, *, handle: str | None = None, before: str = "", **variables: str
    ) -> list[str]:
        """Run what stands under a heading, after the page's own variables; return its lines."""
        chosen = handle or self.handle
        environment = {
            "PATH": f"{self.shim}:{os.environ['PATH']}",
            "REDISCLI_AUTH": PASSWORD,
            "HANDLE": chosen,
            "ID": id_of(chosen),
            "USER": "alice",
        }
        assigned = "".join(f"{name}={value}\n" for name, value in variables.items())
        done = subprocess.run(
            ["bash", "-c", BLOCKS["Queries"] + assigned + before + BLOCKS[heading]],
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.stderr == "", (heading, done.stderr)
        return done.stdout.splitlines()


def id_of(handle: str) -> str:
    return str(claims_of(handle)["jti"])


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    real = required("redis-cli", package="redis-tools")
    shim = tmp_path_factory.mktemp("shim")
    operator = ("--user", "operator", "on", f"#{sha256(PASSWORD.encode()).hexdigest()}", *operator_tokens())
    with Stack(
        peer="static",
        engine_arguments=operator,
        CLOAKROOM_CLIENTS=CLIENTS,
        CLOAKROOM_HANDLE_MAX_CALLS="2",
        CLOAKROOM_RELAY_TIMEOUT_SECONDS="5",
    ) as stack:
        script = shim / "redis-cli"
        script.write_text(
            f'#!/bin/sh\nexec {real} -p {stack.engine.port} --user operator --no-auth-warning "$@"\n'
        )
        script.chmod(0o755)
        admin = onlooker(stack.engine.url)
        yield asyncio.run(_filled(stack, admin, shim))
        admin.close()


async def _filled(stack: Stack, admin: Any, shim: Path) -> Night:
    async with aiohttp.ClientSession() as http:
        return await _lived(stack, http, admin, shim)


async def _lived(stack: Stack, http: aiohttp.ClientSession, admin: Any, shim: Path) -> Night:
    async def mint(key: str, **headers: str) -> str:
        reply = await api.mint(http, stack.a.url, key, None, **headers)
        return str(reply.json["value"])

    shop = stack.planted.client_key
    handle = await mint(shop, **{"x-cloakroom-subject": "user-7"})
    twin = next(f"twin-{n}" for n in range(10_000) if shares_a_list(f"twin-{n}", "user-7"))
    others = [await mint(shop), await mint(shop, **{"x-cloakroom-subject": twin}), await mint(LIMITED_KEY)]
    call_id = await api.called(http, stack.b.url, handle)
    ended = await api.called(http, stack.b.url, others[0])
    assert (await api.hang_up(http, stack.a.url, shop, ended)).status == 200
    stack.sandbox.control("POST", "faults", {"kind": "stall", "path": "calls", "seconds": 3})
    assert (await api.relay(http, stack.b.url, handle)).code == "upstream_timeout"
    assert (await api.relay(http, stack.a.url, handle)).code == "handle_spent"
    return Night(stack, admin, shim, handle, call_id, ended, others)


def shares_a_list(one: str, other: str) -> bool:
    return keys.subject_handles(one, 1) == keys.subject_handles(other, 1)


# --- what each heading's lines must say ------------------------------------------------------------


def which_handle(night: Night) -> None:
    for handle in (night.handle, *night.others):
        assert night.run("Which handle is this?", handle=handle) == [id_of(handle)]


def how_many(night: Night) -> None:
    assert night.run("How many handles are alive?") == ["4 handles"]


def whose(night: Night) -> None:
    assert night.run("Which clients have handles?") == ["3 shop", "1 kiosk"]


def of_a_client(night: Night) -> None:
    found = night.run("The handles of a client")
    assert sorted(found) == sorted(id_of(handle) for handle in (night.handle, *night.others[:2]))
    assert night.run("The handles of a client", CLIENT="kiosk") == [id_of(night.others[2])]


def of_a_subject(night: Night) -> None:
    assert night.run("The handles of a subject") == [night.id]
    assert night.run("The handles of a subject", SUBJECT="nobody") == []


def story(night: Night) -> None:
    fields = dict(line.split("\t", 1) for line in night.run("What is on a handle's record?"))
    record = night.admin.hgetall(keys.handle(night.id))
    assert fields == {name: value for name, value in record.items() if not name.startswith("sealed_key")}
    assert fields["subject"] == "user-7"
    assert re.fullmatch(rf"\d+ answered {night.call_id}", fields["relay_1"])
    assert fields["relay_2"].endswith(" upstream_timeout")


def life_left(night: Night) -> None:
    (left,) = night.run("How long does a handle live?")
    assert 0 < int(left) <= 600_000
    assert night.run("How long does a handle live?", ID="nobody") == ["-2"]


def why(night: Night) -> None:
    found = dict((line + " ").split(" ", 1) for line in night.run("Why is a handle refused?"))
    assert found["last_refusal"].strip().endswith(" handle_spent")
    assert (found["refusals"], found["calls"], found["max_calls"]) == ("1 ", "2 ", "2 ")
    assert (found["revoked_at"].strip(), found["family"].strip()) == ("", "realtime")


def offers(night: Night) -> None:
    found = [line.split() for line in night.run("What was the outcome of a handle's offers?")]
    assert {state for _, state, *_ in found} == {f"answered:{night.call_id}", "unknown"}
    assert all(0 < int(left) <= 30_000 for _, _, left, *_ in found)


def open_calls(night: Night) -> None:
    assert night.run("How many calls are open?") == ["1 calls"]


def due_calls(night: Night) -> None:
    heading = "Which calls are due to be hung up?"
    assert night.run(heading) == []
    later = str(int(time.time() + 300) * 1000)
    night.admin.zadd(keys.deadlines(night.call_id), {f"undelivered:{night.call_id}": later}, nx=True)
    assert night.run(heading) == [f"undelivered:{night.call_id}\t{later}"]
    night.admin.delete(keys.deadlines(night.call_id))


def which_calls(night: Night) -> None:
    found = {
        line.split()[0]: line.split()[1:] for line in night.run("Which calls were relayed in the last hour?")
    }
    assert found.keys() == {night.call_id, night.ended_call_id}
    assert found[night.call_id][:2] == ["shop", "user-7"]
    assert found[night.call_id][-1] == "replica-b"  # nothing after it: open
    assert found[night.ended_call_id][-1].isdecimal()


def at_once(night: Night) -> None:
    heading = "How many calls and handles has a client at once?"
    assert night.run(heading, CLIENT="kiosk") == ["0", "1", ""]
    day = int(time.time()) // 86_400
    for each in (day, day + 1):  # should the day turn just now
        night.admin.set(keys.call_seconds("kiosk", each), 90, ex=180)
    assert night.run(heading, CLIENT="kiosk") == ["0", "1", "90"]


def pool(night: Night) -> None:
    model = "gpt-realtime-2.1"
    stock, _, marks, _, bill = keys.pool(model)
    night.admin.zadd(stock, {"session|1795274184000|one": 0, "session|1795274185000|two": 0})
    night.admin.zadd(marks, {"session|three": 1795274186000})
    night.admin.hset(bill, mapping={"minted": 5, "used": 3, "minted_2992123": 5})
    found = night.run("What is in a warm pool?")
    assert (found[:2], sorted(found[2:])) == (["2", "1"], ["minted\t5", "used\t3"])


def limit(night: Night) -> None:
    minute = int(time.time()) // 60
    night.admin.set(keys.mint_limit("kiosk", minute), 17, ex=180)
    night.admin.set(keys.mint_limit("kiosk", minute + 1), 17, ex=180)  # should the minute turn just now
    assert night.run("How much of its limit has a client used?", CLIENT="kiosk") == ["17"]
    assert night.run("How much of its limit has a client used?") == [""]


def memory(night: Night) -> None:
    size, encoding = night.run("What does a handle cost in memory?")
    assert 200 < int(size) < 1500
    assert encoding == "listpack"


def replicas(night: Night) -> None:
    found = night.run("Which replicas reach the store?")
    names = sorted(name.rpartition(".")[0] for name in found)
    assert names == [keys.lease("replica-a"), keys.lease("replica-b")]


def watching(night: Night) -> None:
    heading = "Do the live events have a watcher?"
    assert night.run(heading) == ["0", "cloakroom:events\t0"]
    events = urllib.request.Request(
        f"{night.stack.a.url}/admin/v1/events",
        headers={"Authorization": f"Bearer {night.stack.planted.admin_key}"},
    )
    with urllib.request.urlopen(events, timeout=PATIENCE):
        assert night.run(heading) == ["1", "cloakroom:events\t1"]


def server(night: Night) -> None:
    found = dict(line.split(":", 1) for line in night.run("How full is the server?"))
    assert found["maxmemory_policy"] == "noeviction"
    assert found["evicted_keys"] == "0"
    assert found.keys() >= {"used_memory_human", "rejected_connections"}


def revoke_one(night: Night) -> None:
    heading, stopped = "Revoke one handle", id_of(night.others[0])
    life = night.admin.pttl(keys.handle(stopped))
    assert night.run(heading, ID=stopped) == ["1\t1\t0"]
    record = night.admin.hgetall(keys.handle(stopped))
    assert record["revoked_by"] == "alice"
    assert 0 < life - night.admin.pttl(keys.handle(stopped)) < 60_000, "its own expiry stays"
    assert night.run(heading, ID=stopped) == ["0\t0\t0"]
    assert night.admin.hgetall(keys.handle(stopped)) == record
    # Where the handle is gone, nothing is left that does not end.
    assert night.run(heading, ID="just-expired") == ["1\t1\t1"]
    assert 0 < night.admin.pttl(keys.handle("just-expired")) <= 60_000


def revoke_a_client(night: Night) -> None:
    before = BLOCKS["Revoke one handle"].partition("\nrevoke ")[0] + "\n"
    # One of the three was revoked before.
    assert night.run("Revoke all handles of a client", before=before) == ["2 revoked"]
    for handle in (night.handle, *night.others[:2]):
        assert night.admin.hget(keys.handle(id_of(handle)), "revoked_by") == "alice"
    assert night.admin.hget(keys.handle(id_of(night.others[2])), "revoked_by") is None


# In the page's order: the last two change what the others ask for.
def usage(night: Night) -> None:
    for number in range(12):
        night.admin.xadd(keys.USAGE, {"call": f"rtc_{number}", "output_tokens": number})
    lines = night.run("What did the last calls use?")
    assert [*lines[2:5], lines[-1]] == ["rtc_11", "output_tokens", "11", "12"]


CHECKS: Final[dict[str, Callable[[Night], None]]] = {
    "Which handle is this?": which_handle,
    "How many handles are alive?": how_many,
    "Which clients have handles?": whose,
    "The handles of a client": of_a_client,
    "The handles of a subject": of_a_subject,
    "What is on a handle's record?": story,
    "How long does a handle live?": life_left,
    "Why is a handle refused?": why,
    "What was the outcome of a handle's offers?": offers,
    "How many calls are open?": open_calls,
    "Which calls are due to be hung up?": due_calls,
    "Which calls were relayed in the last hour?": which_calls,
    "How many calls and handles has a client at once?": at_once,
    "What did the last calls use?": usage,
    "What is in a warm pool?": pool,
    "How much of its limit has a client used?": limit,
    "What does a handle cost in memory?": memory,
    "Which replicas reach the store?": replicas,
    "Do the live events have a watcher?": watching,
    "How full is the server?": server,
    "Revoke one handle": revoke_one,
    "Revoke all handles of a client": revoke_a_client,
}


@pytest.mark.parametrize("heading", CHECKS)
async def test_the_lines_of_the_page_answer_their_question(night: Night, heading: str) -> None:
    CHECKS[heading](night)


def test_no_line_of_the_page_goes_unchecked() -> None:
    assert BLOCKS.keys() == {"Queries", *CHECKS}


async def test_a_handle_that_was_revoked_by_hand_is_refused_at_every_replica(
    night: Night, http: aiohttp.ClientSession
) -> None:
    revoke_one_more = night.others[2]
    night.run("Revoke one handle", handle=revoke_one_more)
    for replica in (night.stack.a, night.stack.b):
        reply = await api.relay(http, replica.url, revoke_one_more)
        assert (reply.status, reply.code) == (401, "handle_revoked")


async def test_the_operators_user_may_do_what_the_page_shows_and_no_more(night: Night) -> None:
    shown = "\n".join(BLOCKS.values()).lower().replace(" ", "|")
    # Told by no line: what redis-cli sends by itself, and options of it that send a command.
    connecting = {"ping", "select", "command|docs"}
    asked_by_options = {"scan"}
    unused = {name for name in OPERATOR if name not in shown} - connecting - asked_by_options
    assert unused == set()
    refused = [entry for entry in night.admin.acl_log() if entry["username"] == "operator"]
    assert refused == []


def test_every_kind_of_key_is_on_the_page() -> None:
    page = (ROOT / "docs/redis.md").read_text(encoding="utf-8")
    shown = {
        keys.handle("<id>"): "hash",
        keys.call("<call id>"): "hash",
        keys.mint_limit("<client>", 0).replace(":0", ":<minute>"): "string",
        keys.mint_limit("<client>", 0, "<subject's SHA-256, 32 digits>").replace(":0", ":<minute>"): "string",
        keys.lease("<replica>.<process>"): "string",
        keys.handles(0).replace(":0", ":<minute>"): "list",
        keys.client_handles("<client>", 0).replace(":0", ":<minute>"): "list",
        keys.model_handles("<model>", 0).replace(":0", ":<minute>"): "list",
        keys.calls(0).replace(":0", ":<minute>"): "list",
        keys.client_calls("<client>", 0).replace(":0", ":<minute>"): "list",
        keys.ended_calls(0).replace(":0", ":<minute>"): "list",
        keys.USAGE: "stream",
        keys.watches(): "sorted set",
        keys.sums("<call id>"): "hash",
        keys.ALL_DEADLINES[0].replace("{0}", "{<0 to 7>}"): "sorted set",
    }
    for name, kind in shown.items():
        assert f"| `{name}` | {kind}" in page, name
