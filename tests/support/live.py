"""A configuration with GPT-Live beside OpenAI, and Live's requests as its SDK and a page send them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import aiohttp

from tests.support.api import Reply, post

MODEL: Final = "gpt-live-1"
_CONFIG: Final = """\
deployments:
  openai: {provider: openai, base_url: "${OPENAI_BASE_URL}", api_key: "${OPENAI_API_KEY}"}
  live: {provider: openai-live, base_url: "${OPENAI_BASE_URL}", api_key: "${OPENAI_API_KEY}"}
models:
  "*": openai
  gpt-live-1: live
"""


def config_file(folder: Path) -> str:
    """The path of a file for ``CLOAKROOM_CONFIG`` in this folder."""
    path = folder / "live.yaml"
    path.write_text(_CONFIG, encoding="utf-8")
    return str(path)


def body_of(offer: bytes, session: Any = None) -> dict[str, Any]:
    """The body of ``POST /v1/live/sessions``; None for no session."""
    said = {} if session is None else {"session": session}
    return {**said, "transport": {"type": "webrtc", "sdp": offer.decode()}}


async def create(http: aiohttp.ClientSession, base: str, handle: str, body: dict[str, Any]) -> Reply:
    """Send an offer in Live's own form."""
    headers = {"Authorization": f"Bearer {handle}"}
    return await post(http, f"{base}/v1/live/sessions", json=body, headers=headers)
