"""The official OpenAI SDK for JavaScript: mint on A, relay on B, hang up on A, errors as its own."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from tests.browser.service import Service
from tests.support.clocks import PATIENCE
from tests.support.offers import fresh_offer

SCRIPT = Path(__file__).parent / "pages" / "openai-npm.mjs"
pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_sdk_from_npm_works_with_its_base_url_changed_and_nothing_else(
    service: Service, sdk: None, tmp_path: Path
) -> None:
    offer = tmp_path / "offer.sdp"
    offer.write_bytes(fresh_offer())
    node = await asyncio.create_subprocess_exec(
        "node",
        str(SCRIPT),
        service.url("replica-a"),
        service.url("replica-b"),
        str(offer),
        env={"PATH": os.environ["PATH"], "CLIENT_KEY": service.planted.client_key},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await asyncio.wait_for(node.communicate(), PATIENCE)
    assert node.returncode == 0, errors.decode()
    seen = json.loads(out)
    assert seen["value"].startswith("ek_")
    assert (seen["status"], seen["model"]) == (201, "gpt-realtime-2.1")
    assert seen["sdp"].startswith("v=0")
    assert seen["callId"].startswith("rtc_")
    assert seen["refused"] == {
        "status": 400,
        "code": "invalid_request",
        "param": "expires_after.seconds",
        "name": "BadRequestError",
    }
    calls = {call["call_id"]: call for call in service.sandbox.control("GET", "calls")["calls"]}
    assert calls[seen["callId"]]["ended_at"] is not None
