"""Metering over real replicas: a watcher is killed, the command line tells, and the example adds up costs."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import aiohttp
import pytest
import yaml

from app.store import keys
from tests.faults.drill import Progress
from tests.faults.metering import killed_watcher
from tests.support.api import called, hang_up, minted
from tests.support.clocks import PATIENCE, eventually
from tests.support.metering import done, records
from tests.support.onlooker import async_onlooker, onlooker
from tests.support.page import ROOT
from tests.support.stack import Stack
from tests.system.commands import WAYS, Commands

EXAMPLES: Final = ROOT / "docs" / "examples"
PASSWORD: Final = "a-consumers-own-password"


@pytest.fixture
def stack() -> Iterator[Stack]:
    with Stack(peer="static", CLOAKROOM_METERING="on") as own:
        yield own


async def metered(stack: Stack, http: aiohttp.ClientSession) -> str:
    """A call that is over, with its record."""
    call_id = await called(http, stack.a.url, await minted(http, stack.a.url, stack.planted.client_key))
    event = {"event": done("resp_1", heard=40, said=60), "calls": [call_id]}
    await eventually(lambda: stack.sandbox.control("POST", "events", event)["sidebands"] == 1)
    assert (await hang_up(http, stack.b.url, stack.planted.client_key, call_id)).status == 200
    async with async_onlooker(stack.engine.url) as store:
        await eventually(lambda: records(store, call_id))
    return call_id


async def test_a_killed_watcher_loses_no_record_and_what_it_missed_is_marked() -> None:
    figures = await killed_watcher(Progress("metering"), 20)
    assert figures["records"] == 20


async def test_a_replica_that_is_stopped_hands_its_calls_over(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    stack.b.stop()
    call_id = await called(http, stack.a.url, await minted(http, stack.a.url, stack.planted.client_key))

    async def told(name: str) -> bool:
        event = {"event": done(name), "calls": [call_id]}
        return bool(stack.sandbox.control("POST", "events", event)["sidebands"])

    await eventually(lambda: told("resp_1"))
    other = stack.replica("replica-c")
    stack.a.signal(signal.SIGTERM)
    assert await asyncio.to_thread(stack.a.wait) == 0
    await eventually(lambda: told("resp_2"))
    assert (await hang_up(http, other.url, stack.planted.client_key, call_id)).status == 200
    async with async_onlooker(stack.engine.url) as store:
        await eventually(lambda: records(store, call_id))
        (record,) = await records(store, call_id)
    assert (record["responses"], record["gaps"], record["metered"]) == ("2", "1", "incomplete")
    assert record["ended_because"] == "hangup"
    assert not stack.a.events("metering_not_handed_over")


async def test_the_command_line_tells_what_a_call_used_and_why_it_ended(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    call_id = await metered(stack, http)
    commands = Commands(stack)
    for way in WAYS:
        shown = commands.run("calls", "show", call_id, way=way)
        assert "its usage is complete" in shown.out, shown
        assert "1 responses: 40 tokens in, 60 out" in shown.out, shown
        assert "3 s of the provider's voice" in shown.out, shown
        told = commands.run("calls", "show", call_id, "--json", way=way).json
        assert (told["metered"], told["usage"]["output_audio_tokens"]) == ("complete", 60), told
        assert told["seconds"] > 0, told


async def test_the_example_adds_up_costs_as_the_user_that_the_page_shows(
    stack: Stack, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    first = await metered(stack, http)
    page = (ROOT / "docs" / "metering.md").read_text(encoding="utf-8")
    (rule,) = (line for line in page.splitlines() if line.startswith("ACL SETUSER"))
    with onlooker(stack.engine.url) as admin:
        admin.execute_command(*rule.replace("'", "").replace("PASSWORD", PASSWORD).split())
        # One that used what has no price.
        admin.xadd(
            keys.USAGE,
            {"call": "rtc_other", "client": "kiosk", "model": "m", "metered": "complete"}
            | {"input_tokens": "5"},
        )
        address = f"redis://costs:{PASSWORD}@127.0.0.1:{stack.engine.port}/0"
        prices = yaml.safe_load((EXAMPLES / "usage_prices.yaml").read_text(encoding="utf-8"))
        assert prices["gpt-realtime-2.1"].keys() >= {"input_audio", "output_audio", "cached_text"}
        prices["gpt-realtime-2.1"] |= {"input_audio": 30.0, "output_audio": 70.0}
        table = tmp_path / "prices.yaml"
        table.write_text(yaml.safe_dump(prices), encoding="utf-8")

        def run() -> list[str]:
            finished = subprocess.run(
                [sys.executable, str(EXAMPLES / "usage_costs.py"), str(table), "--once"],
                env={**os.environ, "REDIS_URL": address},
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
            assert finished.returncode == 0, finished.stderr
            return finished.stdout.splitlines()

        told = run()
        # 40 tokens at 30 and 60 at 70 for a million.
        assert told[0].startswith(f"{first} shop gpt-realtime-2.1 "), told
        assert told[0].endswith(" complete 0.005400"), told
        assert told[1] == "rtc_other kiosk m ? complete ?", told
        assert told[2:] == [
            "total kiosk 0.000000, 1 calls without a price",
            "total shop 0.005400, 0 calls without a price",
        ]
        # Each was acknowledged.
        assert run() == []
        # The driver tells its name and version where it may.
        assert {entry["object"] for entry in admin.acl_log()} <= {"client|setinfo"}
