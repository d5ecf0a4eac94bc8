"""Debian's Chromium under Playwright: where it is, and the flags that keep it to this machine."""

from __future__ import annotations

import os
import shutil
from typing import Final

from playwright.async_api import Browser, Playwright

from tests.support.clocks import PATIENCE

# ``CLOAKROOM_TEST_BROWSER=visible`` shows the browser and slows each step down, for a person who watches.
_VISIBLE: Final = os.environ.get("CLOAKROOM_TEST_BROWSER") == "visible"
_STEP_MS: Final = 250
_QUIET: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A microphone that beeps once a second, whatever the machine has.
    "--use-fake-device-for-media-stream",
)
# Says yes to every question for a microphone; left out where the answer must be no.
_ALLOW_MICROPHONE: Final = "--use-fake-ui-for-media-stream"


def find_chromium() -> str | None:
    """The browser's path; None when it is not installed."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


async def launch(playwright: Playwright, *, microphone: bool = True) -> Browser:
    """Start a browser with a fresh profile of its own, which goes when it is closed."""
    path = find_chromium()
    assert path is not None
    flags = [*_QUIET, _ALLOW_MICROPHONE] if microphone else list(_QUIET)
    if not _VISIBLE:
        flags.append("--headless=new")
    return await playwright.chromium.launch(
        executable_path=path,
        headless=not _VISIBLE,
        args=flags,
        timeout=PATIENCE * 1000,
        slow_mo=_STEP_MS if _VISIBLE else 0,
    )
