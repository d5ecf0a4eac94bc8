"""The two requests of every test, as a client and a browser send them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import aiohttp

from app.models import USUAL_MODEL
from tests.support.conformance import Conformance, Exchange
from tests.support.offers import fresh_offer


@dataclass(frozen=True)
class Reply:
    """Status, headers and body of an answer."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        import orjson

        return orjson.loads(self.text)

    @property
    def code(self) -> str:
        """The error's code."""
        return str(self.json["error"]["code"])


async def post(
    http: aiohttp.ClientSession,
    url: str,
    *,
    data: Any = None,
    json: Any = None,
    headers: dict[str, str] | None = None,
) -> Reply:
    """POST to a service and read the answer whole.

    It is held to the reference here too, since replicas that are processes of their own have no hook inside.
    """
    async with http.post(url, data=data, json=json, headers=headers) as response:
        # Header names in lower case, as the tests write them.
        found = {name.lower(): value for name, value in response.headers.items()}
        body = await response.read()
        conformance = Conformance()
        conformance.see(Exchange("POST", response.url.path, response.status, found, body))
        conformance.raise_breaches()
        return Reply(response.status, found, body.decode())


async def mint(
    http: aiohttp.ClientSession, base: str, client_key: str, body: Any = None, **headers: str
) -> Reply:
    """Mint at ``base``, by default for the usual model in LiteLLM's short form."""
    return await post(
        http,
        f"{base}/v1/realtime/client_secrets",
        json={"model": USUAL_MODEL} if body is None else body,
        headers={"Authorization": f"Bearer {client_key}", **headers},
    )


async def minted(http: aiohttp.ClientSession, base: str, client_key: str, body: Any = None) -> str:
    """Mint and return the handle."""
    reply = await mint(http, base, client_key, body)
    assert reply.status == 200, reply
    return str(reply.json["value"])


async def relay(
    http: aiohttp.ClientSession, base: str, handle: str, offer: bytes | None = None, **headers: str
) -> Reply:
    """Relay a raw offer at ``base``, by default a fresh one."""
    return await post(
        http,
        f"{base}/v1/realtime/calls",
        data=fresh_offer() if offer is None else offer,
        headers={"Authorization": f"Bearer {handle}", "Content-Type": "application/sdp", **headers},
    )


async def called(
    http: aiohttp.ClientSession, base: str, handle: str, offer: bytes | None = None, **headers: str
) -> str:
    """Relay at ``base`` and return the call id."""
    reply = await relay(http, base, handle, offer, **headers)
    assert reply.status == 201, reply
    return reply.headers["location"].rpartition("/")[2]


async def report(
    http: aiohttp.ClientSession, base: str, handle: str, call_id: str, report: dict[str, Any]
) -> Reply:
    """Tell what became of a call, as its page does."""
    headers = {"Authorization": f"Bearer {handle}"}
    return await post(http, f"{base}/v1/realtime/calls/{call_id}/report", json=report, headers=headers)


async def hang_up(
    http: aiohttp.ClientSession, base: str, credential: str, call_id: str, **headers: str
) -> Reply:
    """End a call at ``base`` with a client key or a handle."""
    url = f"{base}/v1/realtime/calls/{call_id}/hangup"
    return await post(http, url, headers={"Authorization": f"Bearer {credential}", **headers})
