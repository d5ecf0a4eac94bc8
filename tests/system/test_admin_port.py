"""The operations port of a real process: what answers where, and that it drains with the rest."""

from __future__ import annotations

import asyncio
import re
import signal
import socket

import aiohttp
import pytest

from tests.support.api import called, minted, relay
from tests.support.clocks import eventually
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
        "model": "gpt-realtime-2.1",
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
        assert await asyncio.to_thread(replica.wait) == 0


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
    stack, seen = static_stack, bytearray()
    url = f"{stack.b.url}/admin/v1/events"
    async with http.get(url, headers=as_operator(stack)) as response:

        async def read() -> None:
            async for part in response.content.iter_any():
                seen.extend(part)

        async def told_of_a_mint() -> str:
            # Replica A learns within two seconds that somebody watches.
            handle = await minted(http, stack.a.url, stack.planted.client_key)
            return handle if b"event: mint" in seen else ""

        reading = asyncio.create_task(read())
        handle = await eventually(told_of_a_mint)
        call_id = await called(http, stack.a.url, handle)
        await eventually(lambda: f'"call_id":"{call_id}"'.encode() in seen)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    text = seen.decode()
    assert '"replica":"replica-a"' in text
    assert handle not in text
    for secret in stack.planted.all_values():
        assert secret not in text
