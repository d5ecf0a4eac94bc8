"""``cloakroom keys rotate`` leads a ring through its rotation, from what both replicas have in force."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest

from tests.support import warm
from tests.support.api import minted, relay
from tests.support.clocks import eventually
from tests.support.processes import ROOT
from tests.support.secret_fleet import Fleet, start_fleet
from tests.support.stack import Stack

VARIABLE = "CLOAKROOM_SIGNING_KEYS"


class Run(NamedTuple):
    """One run of the command."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture(scope="module")
def store_alone() -> Iterator[Stack]:
    """A store and a provider, at which no other replica tells what it has in force."""
    with Stack(peer="static") as stack:
        stack.a.stop()
        stack.b.stop()
        yield stack


@pytest.fixture
def alone_fleet(store_alone: Stack, http: aiohttp.ClientSession, tmp_path: Path) -> Iterator[Fleet]:
    """The only two replicas of a store."""
    running = start_fleet(store_alone, http, tmp_path)
    yield running
    for replica in running.replicas:
        replica.stop()


async def keys_rotate(fleet: Fleet, *arguments: str, way: str = "url", plain: bool = True) -> Run:
    """Run the command as an operator does, with the present ring in its environment as a file.

    Where it is asked again and again it is not started in the plain way.
    """
    planted, inherited = fleet.stack.planted, {"PATH": os.environ["PATH"]}
    to: Mapping[str, tuple[str, ...]] = {
        "url": ("--url", fleet.replicas[1].url),
        "store": ("--redis-url", fleet.stack.store_url),
    }
    environment = {
        **inherited,
        f"{VARIABLE}_FILE": str(fleet.volume.path(VARIABLE)),
        "CLOAKROOM_ADMIN_KEY": planted.admin_key,
    }
    words = ["keys", "rotate", *arguments, *to[way]]
    if not plain:
        return Run(*await asyncio.to_thread(warm.run, words, environment))
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "app", *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return Run(done.returncode, done.stdout, done.stderr)


async def step(fleet: Fleet, way: str = "url") -> dict[str, Any]:
    """The next step, once both replicas have told what they have in force."""
    found: dict[str, Any] = {}

    async def both() -> bool:
        done = await keys_rotate(fleet, "signing", "--json", way=way, plain=False)
        if done.returncode == 3:
            assert "no replica tells" in done.stderr
            return False
        assert (done.returncode, done.stderr) == (0, "")
        found.update(json.loads(done.stdout))
        return len(found["replicas"]) == 2

    await eventually(both, lambda: found)
    return found


async def until(fleet: Fleet, *actions: str) -> dict[str, Any]:
    found: dict[str, Any] = {}

    async def so() -> bool:
        found.update(await step(fleet))
        return found["action"] in actions

    await eventually(so, lambda: found)
    return found


async def test_it_leads_through_a_whole_rotation_and_no_handle_is_lost(alone_fleet: Fleet) -> None:
    fleet, file = alone_fleet, alone_fleet.volume.path(VARIABLE)
    first, second = fleet.replicas
    old = await minted(fleet.http, first.url, fleet.stack.planted.client_key)
    assert (await step(fleet))["step"] == 1
    assert (await step(fleet, way="store"))["action"] == "add"

    written = await keys_rotate(fleet, "signing", "--write", str(file))
    assert written.returncode == 0, written.stderr
    found = await until(fleet, "first")
    assert found["step"] == 2
    new = found["key"]

    written = await keys_rotate(fleet, "signing", "--write", str(file))
    assert written.returncode == 0, written.stderr
    # On a busy machine the wait is over before it is seen.
    found = await until(fleet, "wait", "drop")
    assert (found["step"], found["key"]) == (3, "sign1")
    assert 0 <= found["wait_seconds"] <= 10
    reply = await relay(fleet.http, second.url, old)
    assert reply.status == 201 or reply.code == "handle_expired"

    found = await until(fleet, "drop")
    assert (found["step"], found["key"]) == (3, "sign1")
    written = await keys_rotate(fleet, "signing", "--write", str(file))
    assert written.returncode == 0, written.stderr
    await fleet.until_all_have("signing", new)
    fresh = await minted(fleet.http, first.url, fleet.stack.planted.client_key)
    assert (await relay(fleet.http, second.url, fresh)).status == 201
    told = await keys_rotate(fleet, "signing")
    assert told.stdout.splitlines()[0].startswith(f"{new} signs, there for ")
    secret = file.read_text(encoding="utf-8").partition(":")[2].strip()
    for text in (told.stdout, written.stdout, json.dumps(found)):
        assert secret not in text
        assert fleet.stack.planted.signing.partition(":")[2] not in text


async def test_nothing_is_written_where_another_ring_is_in_force(alone_fleet: Fleet) -> None:
    fleet, elsewhere = alone_fleet, alone_fleet.volume.path("elsewhere")
    await step(fleet)
    fleet.volume.put(VARIABLE, f"other:{fleet.stack.planted.sealing.partition(':')[2]}")
    done = await keys_rotate(fleet, "signing", "--write", str(elsewhere))
    assert done.returncode != 0
    assert "nothing was written" in done.stderr
    assert not elsewhere.exists()


async def test_a_client_s_key_has_two_steps(alone_fleet: Fleet) -> None:
    fleet = alone_fleet
    await step(fleet)
    await minted(fleet.http, fleet.replicas[0].url, fleet.stack.planted.client_key)
    done = await keys_rotate(fleet, "api", "--name", "shop")
    assert done.returncode == 0, done.stderr
    assert "1 of 2: Add shop-2 with a new key to CLOAKROOM_API_KEYS, beside shop" in done.stdout
    assert "shop minted a handle" in done.stdout
    assert "cloakroom keys new --only api --client shop-2" in done.stdout
    unknown = await keys_rotate(fleet, "api", "--name", "nobody")
    assert unknown.returncode == 2
    assert "known: shop" in unknown.stderr


@pytest.mark.parametrize(
    "arguments", [("api",), ("signing", "--name", "x"), ("admin", "--name", "sre", "--write", "f")]
)
async def test_wrong_usage_reaches_no_service(alone_fleet: Fleet, arguments: tuple[str, ...]) -> None:
    done = await keys_rotate(alone_fleet, *arguments)
    assert done.returncode == 2
