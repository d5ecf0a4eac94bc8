"""Each armed fault does what it says, as often as it says, and nothing is left of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from app.sandbox.faults import KINDS
from tests.support.clocks import PATIENCE, kept_deadline, no_sooner_than

if TYPE_CHECKING:
    from tests.unit.sandbox.conftest import Client, MakeSandbox

Minted = Callable[..., Awaitable[str]]
BEARER = {"Authorization": "Bearer sk-test-0123456789abcdef"}
SECRETS = "/v1/realtime/client_secrets"
CALLS = "/v1/realtime/calls"


async def arm(client: Client, kind: str, **fields: Any) -> None:
    async with client.post("/_sandbox/faults", json={"kind": kind, **fields}) as answer:
        assert answer.status == 201, await answer.text()


async def state(client: Client) -> dict[str, Any]:
    found: dict[str, Any] = await (await client.get("/_sandbox/state")).json()
    return found


class Relay:
    """A call that can be sent again and again."""

    def __init__(self, client: Client, key: str, offer: str) -> None:
        self.client, self.offer = client, offer
        self.headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/sdp"}

    def __call__(self, **options: Any) -> Any:
        return self.client.post(
            CALLS, data=self.offer, headers=self.headers, allow_redirects=False, **options
        )


@pytest.fixture
async def relay(sandbox: MakeSandbox, minted: Minted, offer: str) -> Relay:
    client = await sandbox()
    return Relay(client, await minted(client), offer)


async def test_a_status_strikes_as_often_as_armed_and_nothing_is_done(relay: Relay) -> None:
    body = '{"error":{"message":"m","type":"t","param":null,"code":"insufficient_quota"}}'
    await arm(
        relay.client, "status", path="calls", times=2, status=429, body=body, headers={"Retry-After": "7"}
    )
    for _ in range(2):
        async with relay() as answer:
            assert answer.status == 429
            assert answer.headers["Retry-After"] == "7"
            assert (await answer.json())["error"]["code"] == "insufficient_quota"
    assert (await state(relay.client))["calls"]["opened"] == 0
    async with relay() as answer:
        assert answer.status == 201
    assert (await state(relay.client))["faults"] == []


async def test_a_status_without_a_body_has_the_providers_shape(relay: Relay) -> None:
    await arm(relay.client, "status", status=503)
    async with relay() as answer:
        assert answer.status == 503
        assert (await answer.json())["error"]["type"] == "server_error"


async def test_times_zero_lasts_until_it_is_cleared_and_a_path_spares_the_others(relay: Relay) -> None:
    await arm(relay.client, "status", path="client_secrets", times=0, status=500)
    for _ in range(4):
        async with relay.client.post(SECRETS, headers=BEARER) as answer:
            assert answer.status == 500
    async with relay() as answer:
        assert answer.status == 201
    assert (await state(relay.client))["faults"][0]["hits"] == 4
    async with relay.client.delete("/_sandbox/faults") as answer:
        assert answer.status == 204
    async with relay.client.post(SECRETS, headers=BEARER) as answer:
        assert answer.status == 200


async def test_a_delay_delays_and_then_answers(relay: Relay) -> None:
    await arm(relay.client, "delay", seconds=0.3)
    with no_sooner_than(0.3):
        async with relay() as answer:
            assert answer.status == 201


@pytest.mark.parametrize(("kind", "opened"), [("drop_before", 0), ("drop_after", 1)])
async def test_a_dropped_line_was_or_was_not_acted_on(relay: Relay, kind: str, opened: int) -> None:
    await arm(relay.client, kind, path="calls")
    with pytest.raises((aiohttp.ServerDisconnectedError, ConnectionResetError, aiohttp.ClientOSError)):
        await relay()
    assert (await state(relay.client))["calls"]["opened"] == opened
    entries = (await (await relay.client.get("/_sandbox/requests")).json())["requests"]
    assert entries[-1]["fault"] == kind


@pytest.mark.virtual_time
@pytest.mark.parametrize(("kind", "opened"), [("stall", 0), ("stall_after", 1)])
async def test_a_stall_answers_nothing_and_ends_with_the_connection(
    relay: Relay, kind: str, opened: int
) -> None:
    await arm(relay.client, kind, path="calls")
    with pytest.raises(asyncio.TimeoutError):
        await relay(timeout=aiohttp.ClientTimeout(total=0.3))
    assert (await state(relay.client))["calls"]["opened"] == opened
    with kept_deadline(2):
        await relay.client.close()


async def test_html_and_a_redirect_answer_in_the_providers_place(relay: Relay) -> None:
    await arm(relay.client, "html", path="calls")
    async with relay() as answer:
        assert (answer.status, answer.content_type) == (502, "text/html")
        assert "<h1>" in await answer.text()
    await arm(relay.client, "html", path="calls", status=200)
    async with relay() as answer:
        assert (answer.status, answer.content_type) == (200, "text/html")
    await arm(relay.client, "redirect", path="calls", location="http://evil.example/x")
    async with relay() as answer:
        assert (answer.status, answer.headers["Location"]) == (307, "http://evil.example/x")
    assert (await state(relay.client))["calls"]["opened"] == 0


async def test_garbled_truncated_and_wrongly_typed_answers(relay: Relay) -> None:
    await arm(relay.client, "garble", path="calls")
    async with relay() as answer:
        assert (answer.status, answer.content_type) == (201, "application/sdp")
        assert not (await answer.read()).startswith(b"v=0")
    await arm(relay.client, "wrong_type", path="calls")
    async with relay() as answer:
        assert (answer.status, answer.content_type) == (201, "application/json")
    await arm(relay.client, "truncate", path="calls")
    with pytest.raises(aiohttp.ClientPayloadError):
        async with relay() as answer:
            await answer.read()
    await arm(relay.client, "no_location", path="calls")
    async with relay() as answer:
        assert answer.status == 201
        assert "Location" not in answer.headers
        assert (await answer.text()).startswith("v=0")
    await arm(relay.client, "headers", path="calls", headers={"Location": "/v1/realtime/calls/../x"})
    async with relay() as answer:
        assert answer.headers["Location"] == "/v1/realtime/calls/../x"


async def test_a_mint_answer_with_bad_json_and_with_wrong_types(relay: Relay) -> None:
    await arm(relay.client, "bad_json", path="client_secrets")
    async with relay.client.post(SECRETS, headers=BEARER) as answer:
        assert (answer.status, answer.content_type) == (200, "application/json")
        with pytest.raises(UnicodeDecodeError):
            await answer.json()
    await arm(relay.client, "wrong_type", path="client_secrets")
    async with relay.client.post(SECRETS, headers=BEARER) as answer:
        found = await answer.json()
    assert isinstance(found["value"], list)
    assert isinstance(found["expires_at"], str)
    assert isinstance(found["session"], str)


async def test_illegal_header_bytes_are_on_the_wire(relay: Relay) -> None:
    await arm(relay.client, "bad_header", path="client_secrets")
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.client.port)
    head = f"POST {SECRETS} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n"
    writer.write(f"{head}Authorization: {BEARER['Authorization']}\r\n\r\n".encode())
    raw = await asyncio.wait_for(reader.read(), PATIENCE)
    writer.close()
    await writer.wait_closed()
    assert raw.startswith(b"HTTP/1.1 200 ")
    assert b"\x00\rSet-Cookie: injected=1\r\n\r\n" in raw
    assert b'"value": "ek_' in raw, "the key was minted, and the answer carries it"


@pytest.mark.virtual_time
@pytest.mark.parametrize(("seconds", "often"), [(0, 1), (0.5, 4)])
async def test_raw_bytes_are_on_the_wire_once_or_again_and_again(
    relay: Relay, seconds: float, often: int
) -> None:
    await arm(relay.client, "raw", path="client_secrets", body="HTTP/1.1 103 \u202e\r\n\0", seconds=seconds)
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.client.port)
    head = f"POST {SECRETS} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n"
    writer.write(f"{head}Authorization: {BEARER['Authorization']}\r\n\r\n".encode())
    wanted = "HTTP/1.1 103 \u202e\r\n\0".encode() * often
    assert await asyncio.wait_for(reader.readexactly(len(wanted)), PATIENCE) == wanted
    if not seconds:
        assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_a_key_that_expires_early_looks_well_and_is_refused(relay: Relay) -> None:
    await arm(relay.client, "expire_early", path="client_secrets")
    before = time.time()
    async with relay.client.post(SECRETS, headers=BEARER) as answer:
        found = await answer.json()
    assert found["expires_at"] > before + 500
    relay.headers["Authorization"] = f"Bearer {found['value']}"
    async with relay() as answer:
        assert answer.status == 401


async def test_a_past_expiry_is_in_the_answer(relay: Relay) -> None:
    await arm(relay.client, "past_expiry", path="client_secrets", seconds=30)
    before = time.time()
    async with relay.client.post(SECRETS, headers=BEARER) as answer:
        found = await answer.json()
    assert before - 31 <= found["expires_at"] <= time.time() - 29
    assert found["session"]["client_secret"]["expires_at"] == found["expires_at"]


@pytest.mark.virtual_time
async def test_a_huge_body_is_that_huge_and_a_trickle_is_that_slow(relay: Relay) -> None:
    await arm(relay.client, "huge_body", path="calls", size=3 * 2**20)
    async with relay() as answer:
        assert "Content-Length" not in answer.headers
        assert len(await answer.read()) == 3 * 2**20
    await arm(relay.client, "trickle", path="calls", seconds=0.05)
    answer = await relay(timeout=aiohttp.ClientTimeout(total=0.4))
    assert answer.status == 201
    with pytest.raises(asyncio.TimeoutError):
        await answer.read()


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"kind": "explode"},
        {"kind": "delay", "path": "nowhere"},
        {"kind": "delay", "second": 1},
        {"kind": "delay", "seconds": "1"},
        {"kind": "status", "status": True},
    ],
)
async def test_a_misspelt_fault_is_refused_and_arms_nothing(sandbox: MakeSandbox, body: Any) -> None:
    client = await sandbox()
    async with client.post("/_sandbox/faults", json=body) as answer:
        assert answer.status == 400
    assert (await state(client))["faults"] == []


async def test_every_kind_can_be_armed_and_is_shown(sandbox: MakeSandbox) -> None:
    client = await sandbox()
    for kind in KINDS:
        await arm(client, kind)
    shown = (await (await client.get("/_sandbox/faults")).json())["faults"]
    assert [fault["kind"] for fault in shown] == list(KINDS)
