"""The operations port of a real process: what answers where, and that it drains with the rest."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
from typing import Any

import aiohttp
import pytest

from tests.support.api import called, minted, relay
from tests.support.handles import claims_of
from tests.support.processes import Replica
from tests.support.stack import Stack

PATHS = ("/admin/v1/stats", "/admin/v1/handles", "/admin/v1/events", "/metrics")


def with_operations_port(stack: Stack, name: str, **settings: str) -> tuple[Replica, str]:
    """A replica, and the URL of its second port."""
    replica = stack.replica(name, CLOAKROOM_OPS_PORT="0", **settings)
    listening = replica.wait_for_event("listening")
    return replica, "http://" + listening["operations"][0]


def as_operator(stack: Stack) -> dict[str, str]:
    return {"Authorization": f"Bearer {stack.planted.admin_key}"}


async def answered(http: aiohttp.ClientSession, url: str, **headers: str) -> tuple[int, str]:
    async with http.get(url, headers=headers) as response:
        status, body = response.status, b""
        if response.content_type != "text/event-stream":
            body = await response.read()
        found = re.search(rb'"code":"([a-z_]+)"', body)
        return status, found[1].decode() if found else ""


async def test_admin_and_metrics_answer_on_the_second_port_alone_and_health_on_both(
    static_stack: Stack, http: aiohttp.ClientSession
) -> None:
    replica, operations = with_operations_port(static_stack, "two-ports")
    operator = as_operator(static_stack)
    for path in PATHS:
        assert await answered(http, replica.url + path, **operator) == (404, "not_found"), path
        assert await answered(http, operations + path, **operator) == (200, ""), path
    for base in (replica.url, operations):
        for path in ("/livez", "/readyz"):
            assert await answered(http, base + path) == (200, "")
    for path in ("/openapi.json", "/docs", "/v1/realtime/calls"):
        assert await answered(http, operations + path, **operator) == (404, "not_found"), path
    async with http.post(f"{operations}/v1/realtime/client_secrets", json={}) as response:
        assert response.status == 404


async def test_the_second_port_sees_and_revokes_what_the_first_one_minted(
    static_stack: Stack, http: aiohttp.ClientSession
) -> None:
    replica, operations = with_operations_port(static_stack, "revoking")
    handle = await minted(http, replica.url, static_stack.planted.client_key)
    handle_id = str(claims_of(handle)["jti"])
    call_id = await called(http, replica.url, handle)
    async with http.post(
        f"{operations}/admin/v1/handles/{handle_id}/revoke", headers=as_operator(static_stack)
    ) as response:
        assert response.status == 200
    for base in (replica.url, static_stack.a.url, static_stack.b.url):
        assert (await relay(http, base, handle)).code == "handle_revoked"
    # Another replica, on its one port, ends the call.
    async with http.post(
        f"{static_stack.b.url}/admin/v1/calls/{call_id}/hangup", headers=as_operator(static_stack)
    ) as response:
        assert (await response.json())["outcome"] == "ended"
    lines = {line["action"]: line for line in replica.events("audit")}
    assert lines["handles.revoke"] | {"time": "", "level": ""} == {
        "event": "audit",
        "admin": "sre",
        "action": "handles.revoke",
        "outcome": "revoked",
        "status": 200,
        "request_id": lines["handles.revoke"]["request_id"],
        "handle": handle_id,
        "revoked": 1,
        "client": "shop",
        "model": "gpt-realtime",
        "deployment": "openai",
        "replica": "revoking",
        "time": "",
        "level": "",
    }


async def test_a_draining_replica_ends_its_watches_and_both_ports(
    static_stack: Stack, http: aiohttp.ClientSession
) -> None:
    replica, operations = with_operations_port(
        static_stack, "watched", CLOAKROOM_DRAIN_SECONDS="60", CLOAKROOM_SHUTDOWN_SECONDS="60"
    )
    url = f"{operations}/admin/v1/events"
    async with http.get(url, headers=as_operator(static_stack)) as response:
        assert await response.content.readline() == b": watching\n"
        replica.signal(signal.SIGTERM)
        await asyncio.to_thread(replica.wait_for_event, "draining")
        # The stream ends by itself, well before the drain does.
        await response.content.read()
    assert await answered(http, url, **as_operator(static_stack)) == (503, "draining")
    assert await answered(http, f"{operations}/readyz") == (503, "draining")
    replica.signal(signal.SIGINT)
    await asyncio.to_thread(replica.wait)
    with pytest.raises(aiohttp.ClientConnectorError):
        await answered(http, url)
    outcomes = [line["outcome"] for line in replica.events("audit") if line["action"] == "events.watch"]
    assert outcomes == ["begun", "drained", "draining"]


async def test_a_watch_does_not_hold_up_the_end(static_stack: Stack, http: aiohttp.ClientSession) -> None:
    replica = static_stack.replica("ending", CLOAKROOM_SHUTDOWN_SECONDS="600")
    async with http.get(f"{replica.url}/admin/v1/events", headers=as_operator(static_stack)) as response:
        await response.content.readline()
        replica.signal(signal.SIGTERM)
        assert await asyncio.to_thread(replica.wait, 20) == 0


async def test_a_second_port_that_is_taken_stops_the_start_with_the_settings_to_look_at(
    static_stack: Stack,
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with pytest.raises(AssertionError) as failed:
            await asyncio.to_thread(static_stack.replica, "taken", CLOAKROOM_OPS_PORT=port)
    assert "_OPS_PORT" in str(failed.value)


async def test_a_watcher_at_one_replica_sees_what_the_other_does_and_no_secret(
    static_stack: Stack, http: aiohttp.ClientSession
) -> None:
    stack, seen = static_stack, dict[str, Any]()
    url = f"{stack.b.url}/admin/v1/events"
    async with http.get(url, headers=as_operator(stack)) as response, asyncio.timeout(30):
        text = await response.content.readline()
        while b"event: mint" not in text:
            # Replica A learns within two seconds that somebody watches.
            handle = await minted(http, stack.a.url, stack.planted.client_key)
            await asyncio.sleep(0.3)
            text += await _what_is_there(response)
        call_id = await called(http, stack.a.url, handle)
        assert call_id
        while f'"call_id":"{call_id}"'.encode() not in text:
            text += await _what_is_there(response)
    seen["stream"] = text.decode()
    assert '"replica":"replica-a"' in seen["stream"]
    assert handle not in seen["stream"]
    for secret in stack.planted.all_values():
        assert secret not in seen["stream"]


async def _what_is_there(response: aiohttp.ClientResponse) -> bytes:
    try:
        return await asyncio.wait_for(response.content.readany(), 0.5)
    except TimeoutError:
        return b""
