"""The official OpenAI SDK for Python as the client: its base URL is changed, and nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import openai
import pytest

from tests.support.api import post
from tests.support.offers import fresh_offer
from tests.support.stack import Stack


@pytest.fixture
async def backend(static_stack: Stack) -> AsyncIterator[openai.AsyncOpenAI]:
    """The customer's backend: mints on A with its client key."""
    async with openai.AsyncOpenAI(
        api_key=static_stack.planted.client_key, base_url=f"{static_stack.a.url}/v1", max_retries=0
    ) as client:
        yield client


def _browser(stack: Stack, handle: str) -> openai.AsyncOpenAI:
    """The customer's page: relays on B with the handle."""
    return openai.AsyncOpenAI(api_key=handle, base_url=f"{stack.b.url}/v1", max_retries=0)


async def test_the_sdk_mints_and_reads_every_field_of_the_answer(
    static_stack: Stack, backend: openai.AsyncOpenAI
) -> None:
    session: Any = {
        "type": "realtime",
        "model": "gpt-realtime-2.1",
        "instructions": "Be kind.",
        "future_field": [1],
    }
    secret = await backend.realtime.client_secrets.create(
        expires_after={"anchor": "created_at", "seconds": 120}, session=session
    )
    assert secret.value.startswith("ek_")
    assert secret.session.type == "realtime"
    assert secret.session.model == "gpt-realtime-2.1"
    assert secret.session.instructions == "Be kind."
    # OpenAI repeats the key inside the session; there it must be the handle, too.
    assert secret.session.model_extra is not None
    assert secret.session.model_extra["client_secret"]["value"] == secret.value
    assert secret.session.model_extra["future_field"] == [1]


async def test_the_sdk_relays_a_raw_offer(static_stack: Stack, backend: openai.AsyncOpenAI) -> None:
    secret = await backend.realtime.client_secrets.create(
        session={"type": "realtime", "model": "gpt-realtime-2.1"}
    )
    async with _browser(static_stack, secret.value) as browser:
        answer = await browser.realtime.calls.create(sdp=fresh_offer().decode())
    assert answer.response.status_code == 201
    assert answer.text.startswith("v=0")
    assert answer.response.headers["location"].startswith("/v1/realtime/calls/rtc_")


async def test_the_sdk_relays_an_offer_with_a_session_as_multipart(
    static_stack: Stack, backend: openai.AsyncOpenAI
) -> None:
    secret = await backend.realtime.client_secrets.create(
        session={"type": "realtime", "model": "gpt-realtime-2.1"}
    )
    offer = fresh_offer()
    async with _browser(static_stack, secret.value) as browser:
        answer = await browser.realtime.calls.create(
            sdp=offer.decode(), session={"type": "realtime", "model": "gpt-realtime-2.1"}
        )
    assert answer.response.status_code == 201
    assert answer.response.request.headers["content-type"].startswith("multipart/form-data")
    # The provider got the offer byte for byte, raw, as an ephemeral key requires.
    journal = static_stack.sandbox.control("GET", "requests")["requests"]
    entry = [item for item in journal if item["path"].endswith("/calls")][-1]
    assert entry["body_sha256"] == hashlib.sha256(offer).hexdigest()
    assert dict(entry["headers"])["Content-Type"] == "application/sdp"


async def test_the_json_body_of_older_sdk_versions_is_relayed(
    static_stack: Stack, backend: openai.AsyncOpenAI, http: aiohttp.ClientSession
) -> None:
    secret = await backend.realtime.client_secrets.create(
        session={"type": "realtime", "model": "gpt-realtime-2.1"}
    )
    body = {"sdp": fresh_offer().decode(), "session": {"type": "realtime", "model": "gpt-realtime-2.1"}}
    reply = await post(
        http,
        f"{static_stack.b.url}/v1/realtime/calls",
        data=json.dumps(body),
        headers={
            "Authorization": f"Bearer {secret.value}",
            "Content-Type": "application/json",
            "Accept": "application/sdp",
        },
    )
    assert reply.status == 201
    assert reply.headers["content-type"] == "application/sdp"
    assert reply.text.startswith("v=0")


async def test_the_sdk_shows_our_errors_as_its_own(static_stack: Stack, backend: openai.AsyncOpenAI) -> None:
    async with _browser(static_stack, "ek_nonsense") as browser:
        with pytest.raises(openai.AuthenticationError) as refused:
            await browser.realtime.calls.create(sdp=fresh_offer().decode())
    assert refused.value.code == "invalid_handle"
    assert refused.value.request_id
    with pytest.raises(openai.BadRequestError) as wrong:
        await backend.realtime.client_secrets.create(expires_after={"seconds": 5})
    assert (wrong.value.code, wrong.value.param) == ("invalid_request", "expires_after.seconds")
