"""Runs a call's tools on your server while its browser talks: ``python sideband_tools.py CALL_ID``.

Needs ``pip install 'openai[realtime]'``, ``CLOAKROOM_URL`` (https://voice.example.com) and
``CLOAKROOM_CLIENT_KEY``. The page sends you the call id: the last segment of ``Location``.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from openai import AsyncOpenAI

TOOLS: list[Any] = [
    {
        "type": "function",
        "name": "opening_hours",
        "description": "When a shop is open.",
        "parameters": {
            "type": "object",
            "properties": {"shop": {"type": "string", "description": "The shop's town."}},
        },
    }
]


def run_tool(name: str, arguments: dict[str, Any]) -> str:
    """Your own code: it may use what no browser may see."""
    if name == "opening_hours":
        return f"{arguments.get('shop', 'Every shop')} is open from nine to six"
    return f"there is no tool {name}"


async def serve(call_id: str) -> None:
    """Answer the tools of one call until it is over."""
    client = AsyncOpenAI(
        base_url=os.environ["CLOAKROOM_URL"].rstrip("/") + "/v1", api_key=os.environ["CLOAKROOM_CLIENT_KEY"]
    )
    # With a handler, the client connects again by itself after 1012: the call goes on.
    async with client.realtime.connect(call_id=call_id, on_reconnecting=lambda _: None) as connection:
        await connection.session.update(session={"type": "realtime", "tools": TOOLS})
        async for event in connection:
            if event.type == "session.updated":
                print("ready", flush=True)
            elif event.type == "response.done":
                calls = [item for item in event.response.output or [] if item.type == "function_call"]
                for item in calls:
                    output = run_tool(item.name or "", json.loads(item.arguments or "{}"))
                    print(f"{item.name}: {output}", flush=True)
                    await connection.conversation.item.create(
                        item={"type": "function_call_output", "call_id": item.call_id or "", "output": output}
                    )
                if calls:
                    await connection.response.create()
    print("the call is over", flush=True)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
