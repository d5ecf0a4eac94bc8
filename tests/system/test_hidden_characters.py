"""Characters that move a cursor, turn text or show nothing, in every field that reaches an operator.

Callers cannot put them there (``tests/web``), so they come from who can: the provider, and whoever writes to
the store. Each way to look is then tried: the command line in a pipe, as JSON and at a terminal, the admin
API and its stream, and the log.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

import aiohttp
import pytest

from app.store import keys
from tests.support import api
from tests.support.clocks import PATIENCE, until
from tests.support.handles import claims_of
from tests.support.hidden import found_in, spiked
from tests.support.onlooker import onlooker
from tests.support.stack import Stack
from tests.system.commands import WAYS, Commands, Way

HANDLE_FIELDS: Final = ("model", "deployment", "client", "subject", "origin", "minted_by", "last_call_by")
CALL_FIELDS: Final = ("model", "deployment", "client", "subject", "relayed_by", "last_hangup_failure")
# Of a terminal's own: colours, and the ends of lines.
TERMINAL: Final = ("\x1b", "\r", "\n")


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack(peer="static") as running:
        yield running


@pytest.fixture
async def planted(stack: Stack) -> tuple[str, str]:
    """A handle and its call, whose records somebody with access to the store has changed; their ids."""
    async with aiohttp.ClientSession() as http:
        handle = await api.minted(http, stack.a.url, stack.planted.client_key)
        call_id = await api.called(http, stack.a.url, handle)
    handle_id = str(claims_of(handle)["jti"])
    store = onlooker(stack.engine.url)
    # The answer comes before the last write of its relay.
    until(lambda: store.exists(keys.call(call_id)))
    store.hset(keys.handle(handle_id), mapping={name: spiked(name) for name in HANDLE_FIELDS})
    store.hset(keys.call(call_id), mapping={name: spiked(name) for name in CALL_FIELDS})
    store.close()
    return handle_id, call_id


@pytest.mark.parametrize("way", WAYS)
async def test_no_command_shows_them(cloakroom: Commands, planted: tuple[str, str], way: Way) -> None:
    handle_id, call_id = planted
    for command in (
        ("handles", "list"),
        ("handles", "show", handle_id),
        ("calls", "list"),
        ("calls", "show", call_id),
    ):
        plain = cloakroom.run(*command, way=way)
        assert plain.status == 0, plain
        assert found_in(plain.out + plain.err) == [], command
        assert "\\u202e" in plain.out, command
        document = cloakroom.run(*command, "--json", way=way)
        assert found_in(document.out + document.err) == [], command
        # A program gets the text as it was.
        assert spiked("subject") in _texts(document.json), command
        shown = cloakroom.run_at_a_terminal(*command, way=way, COLUMNS="400", LINES="50").out
        assert found_in(shown, allowed=TERMINAL) == [], command
        assert "\x1b]0;" not in shown
        assert "\x1b[31m\x1b" not in shown


@pytest.mark.parametrize("way", WAYS)
def test_pools_that_somebody_told_in_the_name_of_a_replica_show_none(
    stack: Stack, cloakroom: Commands, way: Way
) -> None:
    paused = {"reason": "limited", "seconds": 600}
    told = {
        "replica": spiked("replica"),
        "process": "none",
        "pools": {spiked("model"): {"target": 1, "max_waste": 0.5, "paused": paused}},
    }
    store = onlooker(stack.engine.url)
    store.hset(keys.replicas(), "none", f"{int(time.time() * 1000)}|{json.dumps(told)}")
    store.close()
    plain = cloakroom.run("pool", "show", way=way)
    assert plain.out.count("\\u202e") >= 2, plain
    shown = cloakroom.run_at_a_terminal("pool", "show", way=way, COLUMNS="400", LINES="50").out
    assert found_in(plain.out + plain.err) == []
    assert found_in(shown, allowed=TERMINAL) == []
    document = cloakroom.run("pool", "show", "--json", way=way)
    assert found_in(document.out + document.err) == []
    assert spiked("model") in _texts(document.json)


def _texts(value: Any) -> list[str]:
    """Every text of a document."""
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) else []


async def test_the_admin_api_shows_none(stack: Stack, planted: tuple[str, str]) -> None:
    handle_id, call_id = planted
    headers = {"Authorization": f"Bearer {stack.planted.admin_key}"}
    async with aiohttp.ClientSession(headers=headers) as http:
        for path in ("handles", f"handles/{handle_id}", "calls", f"calls/{call_id}"):
            async with http.get(f"{stack.b.url}/admin/v1/{path}") as response:
                text = (await response.read()).decode()
            assert response.status == 200
            assert found_in(text) == [], path
            assert spiked("subject") in _texts(json.loads(text)), path


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_live_events_show_none(stack: Stack, cloakroom: Commands, arguments: tuple[str, ...]) -> None:
    """What is published in the store may come from anyone who has its password."""
    store = onlooker(stack.engine.url)
    fields: dict[str, Any] = {
        name: spiked(name) for name in ("subject", "model", "client", "outcome", "deployment", "code")
    }
    fields |= {"at": 1_800_000_000, "replica": "replica-a", "handle": "h", "client": spiked("client")}
    event = json.dumps([[spiked("mint"), fields]])
    stop = threading.Event()

    def publish() -> None:
        while not stop.wait(0.2):
            store.publish(keys.events(), event)

    publisher = threading.Thread(target=publish)
    publisher.start()
    watching = cloakroom.start("handles", "watch", *arguments, way="api")
    try:
        assert watching.stdout is not None
        lines: list[str] = []
        while not lines or "\\u202e" not in lines[-1]:
            line = watching.stdout.readline()
            assert line, "the watch ended"
            lines.append(line)
    finally:
        stop.set()
        publisher.join(PATIENCE)
        watching.terminate()
        watching.communicate(timeout=PATIENCE)
        store.close()
    assert found_in("".join(lines)) == []


async def test_a_provider_s_words_reach_caller_and_log_without_them(stack: Stack) -> None:
    error = {"error": {"message": spiked("no such model"), "type": spiked("t"), "code": "model_not_found"}}
    stack.sandbox.control(
        "POST",
        "faults",
        {"kind": "status", "path": "client_secrets", "status": 404, "body": json.dumps(error), "times": 1},
    )
    before = len(stack.a.lines)
    async with aiohttp.ClientSession() as http:
        reply = await api.mint(http, stack.a.url, stack.planted.client_key)
    assert reply.status == 404
    assert found_in(reply.text) == []
    assert "no such model" in reply.text
    until(lambda: [line for line in stack.a.lines[before:] if '"event":"mint"' in line])
    assert found_in("\n".join(stack.a.lines[before:])) == []
