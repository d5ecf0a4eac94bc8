"""An operator ends all calls of one user while a replica dies; those of the others go on.

Half of the calls were relayed by the replica that is killed while both hang up. The command counts, and the
provider's journal is held against its count.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from typing import Any, Final

import aiohttp

from tests.faults.drill import Drill, Figures, Progress
from tests.support.api import mint, relay
from tests.support.clocks import eventually
from tests.support.processes import ROOT
from tests.support.stack import Stack

# Browsers that connect at once.
AT_ONCE: Final = 50
# One call of another user beside so many of the one who is stopped.
_OTHERS: Final = 10
# The provider takes so long for a hang-up, so that the death comes in the middle.
THINKS_SECONDS: Final = 0.3


async def stopped(progress: Progress, rounds: int) -> Figures:
    """``rounds`` calls of one user are ended; a replica is killed after a tenth of them."""
    with Stack(
        peer="static",
        sandbox_arguments=("--peer-cap", "100000"),
        CLOAKROOM_HANDLE_MAX_CALLS="1",
    ) as stack:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
            leaving = await _calls(progress, stack, http, "leaving", rounds)
            staying = await _calls(progress, stack, http, "staying", -(-rounds // _OTHERS))
        slow = {"kind": "delay", "path": "hangup", "seconds": THINKS_SECONDS, "times": 0}
        stack.sandbox.control("POST", "faults", slow)
        command = await _start(stack, "leaving")
        await eventually(lambda: sum(_hangups(stack).values()) >= rounds // 10)
        stack.a.signal(signal.SIGKILL)
        progress.say("a replica is dead")
        out, err = await command.communicate()
        assert command.returncode == 0, (out, err)
        return _judge(stack, json.loads(out), leaving, staying)


async def _calls(
    progress: Progress, stack: Stack, http: aiohttp.ClientSession, subject: str, count: int
) -> set[str]:
    """So many calls of this user, half of them at each replica."""

    async def one(number: int) -> str:
        replica = (stack.a, stack.b)[number % 2]
        subject_header = {"x-cloakroom-subject": subject}
        made = await mint(http, replica.url, stack.planted.client_key, None, **subject_header)
        reply = await relay(http, replica.url, made.json["value"])
        assert reply.status == 201, reply
        return reply.headers["location"].rpartition("/")[2]

    ids: set[str] = set()
    for first in range(0, count, AT_ONCE):
        ids |= set(await asyncio.gather(*map(one, range(first, min(first + AT_ONCE, count)))))
        progress.at(len(ids), count, f"calls of the user {subject!r}")
    return ids


async def _start(stack: Stack, subject: str) -> asyncio.subprocess.Process:
    """The operator's command, over the replica that lives on."""
    arguments = ("-m", "app", "calls", "hangup", "--subject", subject, "--yes", "--json")
    planted = stack.planted
    way = {"CLOAKROOM_ADMIN_URL": stack.b.url, "CLOAKROOM_ADMIN_KEY": planted.admin_key}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        env=way,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


def _hangups(stack: Stack) -> dict[str, int]:
    """How often the provider was asked to end each call, by its path."""
    requests: dict[str, int] = stack.sandbox.control("GET", "state")["requests"]
    return {path: count for path, count in requests.items() if path.endswith("/hangup")}


def _judge(stack: Stack, told: dict[str, Any], leaving: set[str], staying: set[str]) -> Figures:
    calls = {call["call_id"]: call for call in stack.sandbox.control("GET", "calls")["calls"]}
    hangups = _hangups(stack)
    figures: Figures = {
        "calls to end": len(leaving),
        "found by the command": told["found"],
        "ended as it says": told["ended"],
        "hung up at the provider": sum(calls[one]["end_reason"] == "hangup" for one in leaving),
        "asked for twice": sum(count > 1 for count in hangups.values()),
        "of others": len(staying),
        "of others hung up": sum(calls[one]["end_reason"] is not None for one in staying),
    }
    assert told["found"] == told["ended"] == told["noted"] == len(leaving), figures
    assert figures["hung up at the provider"] == len(hangups) == len(leaving), figures
    assert figures["of others hung up"] == 0, figures
    # The replica that died may have ended a call and not noted it. Then the other one asks again.
    assert max(hangups.values()) <= 2, figures
    return figures


DRILLS: Final = (Drill(name="mass-hangup", promise="14", minutes=1.5, rounds=1000, run=stopped),)
