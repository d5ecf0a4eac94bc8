"""What becomes of a call after its answer, found by a real browser and reported to the service."""

from __future__ import annotations

from typing import Any, Final

import aiohttp
import pytest
from playwright.async_api import expect

from tests.browser.conftest import OpenDemo
from tests.browser.demo import Demo
from tests.browser.service import Service
from tests.support.api import minted
from tests.support.clocks import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

# A call by cloakroom.js with short times; how it ended, and what it told its page.
_CALL: Final = """async ([callsUrl, handle, options]) => {
  const { connect } = await import("/demo/cloakroom.js");
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  const steps = [];
  const outcome = new Promise((resolve) => {
    options.onStep = (step, detail) => {
      steps.push(step === "answer" ? detail.id : step);
      if (step === "outcome") resolve(detail);
    };
  });
  const found = { error: null };
  try {
    window.call = await connect({ callsUrl, handle, stream, ...options });
  } catch (error) {
    found.error = { code: error.code, outcome: error.outcome };
  }
  return { ...found, told: await outcome, id: steps[2] };
}"""


async def call(demo: Demo, service: Service, fault: str = "", **options: Any) -> Any:
    """Call from the page's own script, with a fault that strikes after the answer."""
    async with aiohttp.ClientSession() as backend:
        handle = await minted(backend, service.url("replica-a"), service.planted.client_key)
    url = f"{service.url('replica-b')}/v1/realtime/calls"
    if fault:
        service.sandbox.control("POST", "faults", {"kind": fault, "path": "calls"})
    try:
        return await demo.page.evaluate(_CALL, [url, handle, options])
    finally:
        service.sandbox.control("DELETE", "faults")


async def report_of(service: Service, call_id: str) -> Any:
    """The report on the call's record as another replica shows it, once it is there."""

    async def found() -> Any:
        headers = {"Authorization": f"Bearer {service.planted.admin_key}"}
        url = f"{service.url('replica-a')}/admin/v1/calls/{call_id}"
        async with aiohttp.ClientSession(headers=headers) as http, http.get(url) as answer:
            assert answer.status == 200
            return (await answer.json())["report"]

    return await eventually(found)


async def test_a_call_that_connects_is_reported_with_its_path(open_demo: OpenDemo, service: Service) -> None:
    demo, _tab = await open_demo()
    made = await call(demo, service)
    assert made["error"] is None
    report = await report_of(service, made["id"])
    assert report["outcome"] == made["told"]["outcome"] == "connected"
    assert (report["ice_state"], report["dtls_state"], report["protocol"]) == (
        "connected",
        "connected",
        "udp",
    )
    assert report["candidate_type"] in ("host", "prflx")
    assert report["microphone"] == "live"
    assert report["candidates"]["remote"]["host"] >= 1
    await demo.page.evaluate("window.call.close()")


async def test_a_call_without_a_network_path_is_an_ice_timeout(open_demo: OpenDemo, service: Service) -> None:
    demo, _tab = await open_demo()
    made = await call(demo, service, "no_path", timeout=3000)
    assert made["error"] == {"code": "connection_failed", "outcome": "ice_timeout"}
    report = await report_of(service, made["id"])
    assert report["outcome"] == "ice_timeout"
    assert report["after_ms"] >= 3000
    assert (report["ice_state"], report["dtls_state"]) == ("checking", "new")
    # No path was chosen.
    assert (report["protocol"], report["candidate_type"]) == (None, None)
    assert report["candidates"]["remote"]["host"] == 1


async def test_a_path_without_an_encrypted_connection_is_a_dtls_timeout(
    open_demo: OpenDemo, service: Service
) -> None:
    demo, tab = await open_demo()
    service.sandbox.control("POST", "faults", {"kind": "wrong_fingerprint", "path": "calls"})
    try:
        await demo.start_button.click()
        said = await demo.problem_text()
    finally:
        service.sandbox.control("DELETE", "faults")
    assert "The encrypted connection failed" in said
    assert "dtls_timeout" in said
    assert "no encrypted connection after" in await demo.fact("Outcome")
    await tab.picture("dtls-timeout")
    report = await report_of(service, await demo.fact("Call ID"))
    assert report["outcome"] == "dtls_timeout"
    assert (report["ice_state"], report["dtls_state"]) == ("connected", "failed")
    assert report["protocol"] == "udp"

    await demo.way_back("Try again")
    await demo.in_call()
    await demo.end()


async def test_a_call_in_which_no_audio_comes_goes_on_and_says_so(
    open_demo: OpenDemo, service: Service
) -> None:
    demo, tab = await open_demo()
    service.sandbox.control("POST", "faults", {"kind": "no_audio", "path": "calls"})
    try:
        await demo.call()
    finally:
        service.sandbox.control("DELETE", "faults")
    said = await demo.problem_text()
    assert "No audio from the provider" in said
    assert "The call continues." in said
    await tab.picture("no-audio")
    report = await report_of(service, await demo.fact("Call ID"))
    assert report["outcome"] == "no_audio"
    assert (report["ice_state"], report["dtls_state"]) == ("connected", "connected")
    assert report["microphone"] == "live"
    await demo.way_back("Dismiss")
    await expect(demo.problem).to_be_hidden()
    await demo.end()


async def test_a_call_that_ends_before_audio_could_come_did_connect(
    open_demo: OpenDemo, service: Service
) -> None:
    demo, _tab = await open_demo()
    service.sandbox.control("POST", "faults", {"kind": "no_audio", "path": "calls"})
    try:
        await demo.call()
    finally:
        service.sandbox.control("DELETE", "faults")
    call_id = await demo.fact("Call ID")
    await demo.end()
    assert (await report_of(service, call_id))["outcome"] == "connected"


async def test_a_page_can_turn_the_report_off_and_still_learns_the_outcome(
    open_demo: OpenDemo, service: Service
) -> None:
    demo, _tab = await open_demo()
    sent: list[str] = []
    demo.page.on("request", lambda request: sent.append(request.url))
    made = await call(demo, service, report=False)
    assert made["told"]["outcome"] == "connected"
    await demo.page.evaluate("window.call.close()")
    assert [url for url in sent if url.endswith("/report")] == []
    # The next one is sent, so the page would have been seen to.
    await call(demo, service)
    await demo.page.evaluate("window.call.close()")
    assert len([url for url in sent if url.endswith("/report")]) == 1


async def test_a_report_that_cannot_be_sent_changes_nothing_for_the_call(
    open_demo: OpenDemo, service: Service
) -> None:
    demo, _tab = await open_demo(expected=("Failed to load resource",))
    await demo.page.route("**/report", lambda route: route.abort())
    made = await call(demo, service)
    assert made["error"] is None
    assert await demo.page.evaluate("window.call.pc.connectionState") == "connected"
    await demo.page.evaluate("window.call.close()")
