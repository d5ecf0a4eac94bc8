"""What the tests of hanging up share: the SDK at a replica, and what the provider says of a call."""

from __future__ import annotations

from typing import Any

import aiohttp
import openai

from tests.support.api import called, minted
from tests.support.clocks import until
from tests.support.processes import Replica
from tests.support.stack import Stack


def sdk(replica: Replica, credential: str) -> openai.AsyncOpenAI:
    """The official SDK with this key or handle; its base URL is changed, and nothing else."""
    return openai.AsyncOpenAI(api_key=credential, base_url=f"{replica.url}/v1", max_retries=0)


def call_at(stack: Stack, call_id: str) -> Any:
    """What the provider remembers of a call."""
    calls = stack.sandbox.control("GET", "calls")["calls"]
    (found,) = [call for call in calls if call["call_id"] == call_id]
    return found


def line_of(replica: Replica, call_id: str) -> dict[str, Any]:
    """The replica's last line about a hang-up of this call."""

    def lines() -> list[dict[str, Any]]:
        return [line for line in replica.events("hangup") if line.get("call_id") == call_id]

    return until(lines, f"{replica.name} has no line about a hang-up of {call_id}")[-1]


async def made(stack: Stack, http: aiohttp.ClientSession) -> tuple[str, str]:
    """Mint on A, relay on B: the handle and the call id."""
    handle = await minted(http, stack.a.url, stack.planted.client_key)
    return handle, await called(http, stack.b.url, handle)
