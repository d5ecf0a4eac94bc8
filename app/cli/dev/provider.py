"""The provider in a box as a child: how it is run, and what it says when it listens."""

from __future__ import annotations

import json
from importlib.util import find_spec

from app.cli.dev.child import module_command


def can_connect_calls() -> bool:
    """Whether the extra ``sandbox`` is installed; without it answers are text that nobody stands behind."""
    return find_spec("aiortc") is not None


def sandbox_command(*, webrtc: bool) -> list[str]:
    """Return the command line; it holds no key, that comes by environment."""
    return module_command("app.sandbox", "--port", "0", "--peer", "webrtc" if webrtc else "static")


def ready_url(line: str) -> str | None:
    """Return the base URL from the one JSON line that it prints when it listens; None for any other."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    if isinstance(event, dict) and event.get("event") == "sandbox_ready":
        return str(event["url"])
    return None
