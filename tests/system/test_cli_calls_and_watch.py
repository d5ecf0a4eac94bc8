"""``cloakroom calls``, ``handles watch``, ``config show`` as an operator runs them; no secret anywhere."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from app.cli.arguments import read_unverified
from tests.support import api
from tests.support.clocks import PATIENCE
from tests.support.sinks import ephemeral_keys
from tests.support.stack import Stack
from tests.system.commands import WAYS, Commands, Way

SHORT = {"model": "gpt-realtime-2.1", "expires_after": {"anchor": "created_at", "seconds": 10}}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack(peer="static", CLOAKROOM_HANDLE_MAX_CALLS="1") as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def mint(http: aiohttp.ClientSession, stack: Stack, body: Any = None) -> str:
    return await api.minted(http, stack.a.url, stack.planted.client_key, body)


@pytest.mark.parametrize("way", WAYS)
async def test_calls_are_listed_and_shown(
    cloakroom: Commands, stack: Stack, http: aiohttp.ClientSession, way: Way
) -> None:
    handle = await mint(http, stack)
    call_id = await api.called(http, stack.b.url, handle)
    assert call_id in cloakroom.run("calls", "list", "--state", "open", "-q", way=way).lines
    assert cloakroom.run("calls", "list", "--client", "nobody", "-q", way=way).out == ""
    table = cloakroom.run("calls", "list", "--model", "gpt-realtime-2.1", way=way)
    assert table.lines[0].split()[:3] == ["ID", "STATE", "CLIENT"]
    shown = cloakroom.run("calls", "show", f"/v1/realtime/calls/{call_id}", way=way)
    assert shown.status == 0
    for words in (f"Call {call_id} is open", "by replica-b", "shop", read_unverified(handle).id):
        assert words in shown.out
    document = cloakroom.run("calls", "show", call_id, "--json", way=way).json
    assert (document["id"], document["relayed_by"], document["ended_at"]) == (call_id, "replica-b", None)
    gone = cloakroom.run("calls", "show", "rtc_nobody", way=way)
    assert (gone.status, gone.out) == (1, "")
    pasted = cloakroom.run("calls", "show", handle, way=way)
    assert pasted.status == 2
    assert "handles show" in pasted.err


async def test_a_hang_up_ends_the_call_at_the_provider_and_a_second_one_says_so(
    cloakroom: Commands, stack: Stack, http: aiohttp.ClientSession
) -> None:
    handle = await mint(http, stack)
    call_id = await api.called(http, stack.b.url, handle)
    done = cloakroom.run("calls", "hangup", call_id)
    assert (done.status, done.out) == (0, f"call {call_id} hung up\n")
    assert cloakroom.run("calls", "hangup", call_id, "-q").out == "repeated\n"
    assert cloakroom.run("calls", "show", call_id, "-q", way="direct").out == "ended\n"
    assert f"call {call_id} (ended" in cloakroom.run("handles", "show", handle).out
    calls = stack.sandbox.control("GET", "calls")["calls"]
    (ended_at,) = [one["ended_at"] for one in calls if one["call_id"] == call_id]
    assert ended_at is not None
    assert cloakroom.run("calls", "hangup", "rtc_nobody").status == 1


@pytest.mark.parametrize("way", WAYS)
async def test_what_a_page_reported_is_listed_and_shown(
    cloakroom: Commands, stack: Stack, http: aiohttp.ClientSession, way: Way
) -> None:
    handle = await mint(http, stack)
    call_id = await api.called(http, stack.b.url, handle)
    choice = ("calls", "list", "--report", "failed", "-q")
    assert call_id not in cloakroom.run(*choice, way=way).lines
    report = {
        "outcome": "ice_timeout",
        "after_ms": 20_004,
        "ice_state": "checking",
        "candidates": {"local": {"host": 2, "srflx": 1}, "remote": {}},
    }
    headers = {"Authorization": f"Bearer {handle}"}
    url = f"{stack.a.url}/v1/realtime/calls/{call_id}/report"
    assert (await api.post(http, url, json=report, headers=headers)).status == 204
    assert call_id in cloakroom.run(*choice, way=way).lines
    assert call_id not in cloakroom.run("calls", "list", "--report", "connected", "-q", way=way).lines
    (row,) = [line for line in cloakroom.run("calls", "list", way=way).lines if call_id in line]
    assert row.split()[-1] == "ice_timeout"
    shown = cloakroom.run("calls", "show", call_id, way=way).out
    assert "no network path to the provider was found, 20.0 s after the answer" in shown
    assert "ICE checking" in shown
    assert "2 host, 1 srflx in the browser, none at the provider" in shown
    assert "its page reported ice_timeout" in cloakroom.run("handles", "show", handle, way=way).out
    assert cloakroom.run("calls", "list", "--report", "lost", way=way).status == 2


async def lines_until(process: subprocess.Popen[str], enough: Callable[[list[str]], bool]) -> list[str]:
    """The lines of a command that goes on, until there are enough of them."""
    assert process.stdout is not None
    found: list[str] = []
    async with asyncio.timeout(PATIENCE):
        while not enough(found):
            found.append(await asyncio.to_thread(process.stdout.readline))
            assert found[-1], "the command ended"
    return found


async def keep_minting(http: aiohttp.ClientSession, stack: Stack) -> None:
    """At both replicas, until cancelled: it takes a moment until each knows of a watcher."""
    while True:
        for replica in (stack.a, stack.b):
            await api.minted(http, replica.url, stack.planted.client_key)
        await asyncio.sleep(0.2)


def told(name: str, lines: list[str]) -> bool:
    """Whether an event of this name is among the lines."""
    return any(f'"event":"{name}"' in line for line in lines)


@pytest.mark.parametrize("way", WAYS)
async def test_a_watch_tells_mints_relays_failures_and_expiries_of_every_replica(
    cloakroom: Commands, stack: Stack, http: aiohttp.ClientSession, way: Way
) -> None:
    longer = {"model": "gpt-realtime-2.1", "expires_after": {"anchor": "created_at", "seconds": 20}}
    before = read_unverified(await mint(http, stack, longer)).id
    process = cloakroom.start("handles", "watch", "--json", "-q", way=way)
    minting = asyncio.create_task(keep_minting(http, stack))
    try:
        await lines_until(
            process,
            lambda lines: all(
                any(f'"{name}"' in line for line in lines) for name in ("replica-a", "replica-b")
            ),
        )
        handle = await mint(http, stack, SHORT)
        call_id = await api.called(http, stack.b.url, handle)
        refused = await api.relay(http, stack.b.url, handle)
        assert refused.code == "handle_spent"
        handle_id = read_unverified(handle).id
        wanted = {
            ("mint", handle_id),
            ("relay", handle_id),
            ("expiry", handle_id),
            ("expiry", before),
        }

        def events(lines: list[str]) -> list[dict[str, Any]]:
            return [json.loads(line) for line in lines]

        seen = events(
            await lines_until(
                process,
                lambda lines: wanted <= {(event["event"], event.get("handle")) for event in events(lines)},
            )
        )
    finally:
        minting.cancel()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    relays = [event for event in seen if (event["event"], event.get("handle")) == ("relay", handle_id)]
    assert [(event["status"], event["code"]) for event in relays] == [(201, None), (409, "handle_spent")]
    assert relays[0]["call_id"] == call_id
    assert {event["replica"] for event in relays} == {"replica-b"}
    # The refused one read no record: the watcher knows whose it is.
    assert relays[1]["client"] in ("shop", None)
    cloakroom.assert_harmless(json.dumps(seen) + out + err)


async def test_a_watch_shows_a_live_view_on_a_terminal_and_ends_with_ctrl_c(
    cloakroom: Commands, stack: Stack, http: aiohttp.ClientSession
) -> None:
    master, slave = pty.openpty()
    with subprocess.Popen(  # noqa: ASYNC220 - a moment, and nothing else runs in this loop
        cloakroom.arguments("api", ["handles", "watch"]),
        env=cloakroom.environment("api", TERM="xterm", COLUMNS="100", LINES="30", NO_COLOR="1"),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    ) as process:
        os.close(slave)
        shown = ""
        async with asyncio.timeout(PATIENCE):
            # Minted until the view tells one: it takes a moment until every replica knows of the watcher.
            while not re.search(r"mint [1-9]", shown):
                await mint(http, stack)
                shown += (await asyncio.to_thread(os.read, master, 65_536)).decode("utf-8", "replace")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
    os.close(master)
    assert "watching http://127.0.0.1" in shown
    cloakroom.assert_harmless(shown)


async def test_a_watch_outlives_its_replica_and_says_that_something_is_missing(
    cloakroom: Commands, stack: Stack, http: aiohttp.ClientSession
) -> None:
    first = stack.replica("replica-c")
    process = cloakroom.start("handles", "watch", "--json", "-q", CLOAKROOM_ADMIN_URL=first.url)
    minting = asyncio.create_task(keep_minting(http, stack))
    try:
        await lines_until(process, lambda lines: told("mint", lines))
        await asyncio.to_thread(first.stop)
        await lines_until(process, lambda lines: told("dropped", lines))
        await asyncio.to_thread(stack.replica, "replica-d", CLOAKROOM_PORT=first.url.rpartition(":")[2])
        await lines_until(process, lambda lines: told("mint", lines))
    finally:
        minting.cancel()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 130


@pytest.mark.parametrize("way", WAYS)
async def test_a_watch_tells_what_was_revoked_whichever_way(
    cloakroom: Commands, stack: Stack, http: aiohttp.ClientSession, way: Way
) -> None:
    process = cloakroom.start("handles", "watch", "--json", "-q", way="direct" if way == "api" else "api")
    minting = asyncio.create_task(keep_minting(http, stack))
    try:
        await lines_until(process, lambda lines: told("mint", lines))
        handle_id = read_unverified(await mint(http, stack)).id
        await asyncio.to_thread(cloakroom.run, "handles", "revoke", handle_id, way=way)
        one = json.loads((await lines_until(process, lambda lines: told("revoke", lines)))[-1])
        minting.cancel()
        await asyncio.to_thread(cloakroom.run, "handles", "revoke", "--client", "shop", "--yes", way=way)
        many = json.loads((await lines_until(process, lambda lines: told("revoke", lines)))[-1])
    finally:
        minting.cancel()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)
    assert (one["handle"], one["revoked"], one["outcome"]) == (handle_id, 1, "revoked")
    assert many["client"] == "shop"
    assert many["revoked"] >= 1
    assert one["by"] == many["by"] != ""


@pytest.mark.parametrize("way", WAYS)
def test_a_watch_ends_by_itself_after_its_seconds(cloakroom: Commands, way: Way) -> None:
    done = cloakroom.run("handles", "watch", "--seconds", "0.5", way=way)
    assert done.status == 0
    assert "watching" in done.err


async def test_no_command_shows_a_secret_whatever_is_pasted_where(
    cloakroom: Commands, stack: Stack, http: aiohttp.ClientSession
) -> None:
    handle = await mint(http, stack)
    await api.called(http, stack.b.url, handle)
    keys = ephemeral_keys(stack)
    assert keys, "the provider saw no ephemeral key: the search would prove nothing"
    secrets = [*stack.planted.all_values(), *keys, handle]
    commands = [
        ("handles", "list"),
        ("handles", "list", "--json"),
        ("handles", "show", handle),
        ("handles", "show", handle, "--json"),
        ("calls", "list", "--json"),
    ]
    for way in WAYS:
        said = [cloakroom.run(*command, way=way) for command in commands]
        for done in said:
            assert done.status == 0
            assert not [secret[:6] for secret in secrets if secret in done.out + done.err]
    wrong = [
        ("handles", "show", "{}"),
        ("handles", "list", "{}"),
        ("handles", "list", "--client", "{}"),
        ("handles", "revoke", "{}", "--yes"),
        ("handles", "list", "--url", "http://{}@127.0.0.1:1"),
        ("handles", "list", "--redis-url", "redis://:{}@127.0.0.1:1/0"),
        ("calls", "hangup", "{}"),
    ]
    for number, secret in enumerate((stack.planted.openai_key, stack.planted.store_password, handle)):
        command = wrong[number::3]
        for each in command:
            done = cloakroom.run(*[word.format(secret) for word in each])
            assert secret not in done.out + done.err


async def test_config_show_masks_every_secret_and_tells_where_each_value_is_from(
    stack: Stack, tmp_path: Path
) -> None:
    cloakroom = Commands(stack)
    file = tmp_path / "cloakroom.yaml"
    hidden = "pw-in-a-header-0123456789"
    file.write_text(
        "deployments:\n"
        "  sweden:\n"
        "    {provider: azure, base_url: 'https://x.openai.azure.com', model: prod, api_key: '${AZURE}'}\n"
        "models:\n"
        "  voice-eu:\n"
        "    deployments: sweden\n"
        f"    locked: {{tools: [{{type: mcp, headers: {{X-Key: {hidden}}}}}], instructions: '{hidden}'}}\n"
        "clients:\n"
        "  kiosk: {api_key: '${KIOSK}', models: [voice-eu]}\n"
        "log_level: warning\n"
    )
    surroundings: dict[str, Any] = stack.environment(
        AZURE=stack.planted.azure_key, KIOSK="ck_" + "kiosk0123456789abcdef", CLOAKROOM_LOG_LEVEL="error"
    )
    done = cloakroom.run("config", "show", "--config", str(file), **surroundings)
    assert done.status == 0, done
    rows = {line.split()[0]: line for line in done.lines}
    assert rows["log_level"].split()[1:] == ["error", "CLOAKROOM_LOG_LEVEL", "over", "the", "file", str(file)]
    assert "sign1:***" in rows["signing_keys"]
    assert rows["deployments.sweden.api_key"].split()[1] == "***"
    assert rows["models.voice-eu.locked.tools"].split()[1] == "***"
    assert hidden not in done.out + done.err
    assert "kiosk0123456789" not in done.out + done.err
    document = cloakroom.run("config", "show", "--json", "--config", str(file), **surroundings)
    assert hidden not in document.out
    settings = document.json["settings"]
    assert settings["port"] == {"value": 8080, "source": "default"}
    assert settings["redis_url"]["value"] == f"redis://127.0.0.1:{stack.engine.port}"
    assert settings["deployments"]["source"] == f"the file {file}"
    unusable = cloakroom.run("config", "show", CLOAKROOM_PORT="many")
    assert unusable.status == 1
    assert "CLOAKROOM_PORT" in unusable.err
