"""An event as one line, for a screen or a pipe. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from rich.text import Text

from app.cli.handles.watching import failed
from app.cli.output import printable
from app.store.events import Event

NAME_STYLES: Final[Mapping[str, str]] = {
    "mint": "green",
    "relay": "cyan",
    "hangup": "blue",
    "revoke": "magenta",
    "expiry": "dim",
    "dropped": "yellow",
}


def event_line(event: Event) -> Text:
    """Time in UTC, what happened, how it ended, to whom, where."""
    fields = event.fields
    line = Text(f"{_clock(fields.get('at'))}  ", no_wrap=True, overflow="ellipsis")
    line.append(f"{printable(event.name)[:8]:<8}", style=NAME_STYLES.get(event.name, ""))
    line.append(f"{_result(event):<16}  ", style="red" if failed(event) else "")
    line.append("  ".join(part for part in _details(event) if part))
    return line


def event_document(event: Event) -> dict[str, Any]:
    """The event as a JSON object: its name, then its fields as they came."""
    return {"event": event.name, **event.fields}


def _result(event: Event) -> str:
    if event.name == "dropped":
        count = event.fields.get("count")
        return f"{count if count is not None else 'some'} missed"
    if event.name == "expiry":
        return "expired"
    if failed(event):
        return printable(str(event.fields.get("code") or event.fields.get("status")))
    return printable(str(event.fields.get("outcome") or "ok"))


def _details(event: Event) -> list[str]:
    fields = event.fields
    parts = [_text(fields.get(name)) for name in ("client", "model", "handle", "call_id")]
    if fields.get("revoked") is not None:
        parts.append(f"{fields['revoked']} revoked")
    if fields.get("by"):
        parts.append(f"by {_text(fields['by'])}")
    if fields.get("replica"):
        parts.append(f"at {_text(fields['replica'])}")
    total = fields.get("total_ms")
    if isinstance(total, int | float):
        parts.append(f"{total:.0f} ms" if total >= 10 else f"{total:.1f} ms")
    return parts


def _text(value: Any) -> str:
    return printable(str(value)) if value is not None else ""


def _clock(at: Any) -> str:
    try:
        return f"{datetime.fromtimestamp(float(at), UTC):%H:%M:%S}"
    except (TypeError, ValueError, OverflowError, OSError):
        return "--:--:--"
