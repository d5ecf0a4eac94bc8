"""One tab, watched: whatever goes wrong in it unasked fails the test that opened it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from playwright.async_api import BrowserContext, ConsoleMessage, Page, Request

from tests.support.clocks import PATIENCE, eventually

ARTIFACTS: Final = Path(__file__).resolve().parents[2] / "artifacts" / "browser"
# How Chromium tells of an answer that is an error, and of one that CORS keeps from the page.
FAILED_ANSWER: Final = "Failed to load resource"
REFUSED_BY_CORS: Final = "has been blocked by CORS policy"

# Keeps the page's connections reachable for their statistics, and makes each breach of the policy heard.
_WATCH = """
window.peers = [];
window.channels = [];
window.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(...given) {
    super(...given);
    window.peers.push(this);
  }
  createDataChannel(...given) {
    const channel = super.createDataChannel(...given);
    window.channels.push(channel);
    return channel;
  }
};
addEventListener("securitypolicyviolation", (breach) =>
  console.error(`CSP ${breach.violatedDirective} ${breach.blockedURI}`));
"""
_INBOUND = """async () => {
  const stats = [...(await window.peers.at(-1).getStats()).values()];
  const found = stats.find((entry) => entry.type === "inbound-rtp" && entry.kind === "audio");
  return found ? { bytes: found.bytesReceived, energy: found.totalAudioEnergy } : { bytes: 0, energy: 0 };
}"""


class Tab:
    """A page with its complaints.

    ``expected`` are parts of console errors that the test is about; any other one is a complaint.
    """

    def __init__(self, page: Page, expected: tuple[str, ...]) -> None:
        self.page = page
        self._expected = expected
        self._complaints: list[str] = []
        page.set_default_timeout(PATIENCE * 1000)
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self._complaints.append(f"uncaught: {error}"))
        page.on("request", self._requested)

    @classmethod
    async def open(cls, context: BrowserContext, expected: tuple[str, ...]) -> Tab:
        """Open an empty tab."""
        await context.add_init_script(_WATCH)
        return cls(await context.new_page(), expected)

    def assert_quiet(self) -> None:
        """Fail when anything went wrong that the test did not ask for."""
        assert not self._complaints, "\n".join(self._complaints)

    async def inbound_audio(self) -> dict[str, float]:
        """Bytes and energy of the audio that the newest connection received, by the browser's own count."""
        found: Any = await self.page.evaluate(_INBOUND)
        return {name: float(value) for name, value in found.items()}

    async def hears(self) -> dict[str, float]:
        """Wait until it received more than silence, and return the same."""

        async def heard() -> dict[str, float]:
            found = await self.inbound_audio()
            return found if found["energy"] > 0 else {}

        return await eventually(heard, "nothing but silence came")

    async def picture(self, name: str) -> None:
        """Keep a picture of the whole page as an artefact of the run."""
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        # A page of many screens takes a machine under load more than the ten seconds that a click may take.
        await self.page.screenshot(path=ARTIFACTS / f"{name}.png", full_page=True, timeout=PATIENCE * 1000)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not any(part in message.text for part in self._expected):
            self._complaints.append(f"console: {message.text}")

    def _requested(self, request: Request) -> None:
        host = urlsplit(request.url).hostname
        if host != "127.0.0.1" and not request.url.startswith(("data:", "blob:")):
            self._complaints.append(f"a request beyond this machine: {request.url}")
