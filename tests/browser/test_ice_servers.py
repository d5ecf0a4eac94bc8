"""A real browser that may use nothing but a TURN server, with the credential that the service gives it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import aiohttp
import orjson
import pytest

from tests.browser.conftest import OpenTab
from tests.browser.demo import Demo
from tests.support.api import minted
from tests.support.clocks import eventually
from tests.support.stack import Stack
from tests.support.turn import TurnServer

pytestmark = pytest.mark.asyncio(loop_scope="session")

SECRET: Final = "planted-secret-of-the-turn-server"
RELAY_ONLY: Final = {"iceTransportPolicy": "relay"}
# A call by cloakroom.js with the service's servers.
_CALL: Final = """async ([callsUrl, handle, rtc]) => {
  const { connect } = await import("/demo/cloakroom.js");
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  const found = { error: null, servers: null };
  const outcome = new Promise((resolve) => {
    found.onStep = (step, detail) => {
      if (step === "ice") found.servers = detail.servers;
      if (step === "outcome") resolve(detail);
    };
  });
  try {
    window.call = await connect({
      callsUrl, handle, stream, rtc, iceServers: "cloakroom", timeout: 10_000, onStep: found.onStep,
    });
  } catch (error) {
    found.error = { code: error.code, outcome: error.outcome };
  }
  return { error: found.error, servers: found.servers, told: await outcome };
}"""


@pytest.fixture(scope="module")
def turn() -> Iterator[TurnServer]:
    with TurnServer(SECRET) as server:
        yield server


def stack_with(turn: TurnServer, secret: str) -> Stack:
    ice = {"servers": [turn.url], "turn_secret": secret}
    return Stack(peer="webrtc", CLOAKROOM_DEMO="true", CLOAKROOM_ICE=orjson.dumps(ice).decode())


@pytest.fixture(scope="module")
def stack(turn: TurnServer) -> Iterator[Stack]:
    with stack_with(turn, SECRET) as running:
        yield running


async def call(
    open_tab: OpenTab, stack: Stack, *, failing: bool = False, rtc: Mapping[str, str] = RELAY_ONLY
) -> tuple[Any, Any]:
    """Mint at replica A and call from replica B's page; ``failing``: it has no servers to give."""
    tab = await open_tab(expected=("Failed to load resource",) if failing else ())
    if failing:
        await tab.page.route("**/ice-servers", lambda route: route.fulfill(status=502, body="{}"))
    await tab.page.goto(f"{stack.b.url}/demo")
    async with aiohttp.ClientSession() as backend:
        handle = await minted(backend, stack.a.url, stack.planted.client_key)
    made = await tab.page.evaluate(_CALL, [f"{stack.b.url}/v1/realtime/calls", handle, rtc])
    return made, tab.page


async def test_a_call_goes_through_the_turn_server(open_tab: OpenTab, stack: Stack, turn: TurnServer) -> None:
    made, page = await call(open_tab, stack)
    assert made["error"] is None, turn.log
    assert made["told"]["outcome"] == "connected"
    assert made["told"]["candidate_type"] == "relay"
    (server,) = made["servers"]
    assert server["urls"] == [turn.url]
    await eventually(
        lambda: f"<{server['username']}>: incoming packet ALLOCATE processed, success" in turn.log
    )
    assert await page.evaluate("window.call.pc.connectionState") == "connected"
    await page.evaluate("window.call.close()")


async def test_the_turn_server_refuses_a_credential_of_another_secret(
    open_tab: OpenTab, turn: TurnServer
) -> None:
    with stack_with(turn, "another-secret-of-nobody") as stranger:
        made, page = await call(open_tab, stranger)
        # The page asks its service for more until it is closed.
        await page.close()
    assert made["error"] == {"code": "connection_failed", "outcome": "ice_timeout"}


async def test_a_call_goes_on_without_servers_that_cannot_be_had(open_tab: OpenTab, stack: Stack) -> None:
    made, page = await call(open_tab, stack, failing=True, rtc={})
    assert (made["error"], made["servers"]) == (None, None)
    assert made["told"]["outcome"] == "connected"
    await page.evaluate("window.call.close()")


async def test_the_demo_page_has_a_switch_for_them(open_tab: OpenTab, stack: Stack) -> None:
    tab = await open_tab()
    await tab.page.goto(f"{stack.a.url}/demo#key={stack.planted.client_key}")
    await tab.page.get_by_text("Ready. Start a call").wait_for()
    await tab.page.get_by_text("More options").click()
    switch = tab.page.get_by_label("Use the service's STUN and TURN servers")
    asked: list[str] = []
    tab.page.on("request", lambda request: asked.append(request.url))
    demo = Demo(tab.page, stack)  # type: ignore[arg-type]  # it is opened here
    await demo.call()
    await demo.end()
    assert [url for url in asked if url.endswith("/ice-servers")] == [
        f"{stack.a.url}/v1/realtime/ice-servers"
    ]
    await switch.uncheck()
    await demo.call()
    await demo.end()
    assert len([url for url in asked if url.endswith("/ice-servers")]) == 1
