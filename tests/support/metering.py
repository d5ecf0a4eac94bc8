"""What tests of metering look at: the records in the stream, and events that a provider sends."""

from __future__ import annotations

from typing import Any

from app.store import keys

Record = dict[str, str]


def done(name: str, *, heard: int = 40, said: int = 60) -> dict[str, Any]:
    """A ``response.done`` of this id, which read ``heard`` tokens of audio and made ``said``."""
    usage = {
        "total_tokens": heard + said,
        "input_tokens": heard,
        "output_tokens": said,
        "input_token_details": {"text_tokens": 0, "audio_tokens": heard, "cached_tokens": 0},
        "output_token_details": {"text_tokens": 0, "audio_tokens": said},
    }
    return {"type": "response.done", "response": {"id": name, "status": "completed", "usage": usage}}


async def records(client: Any, *call_ids: str) -> list[Record]:
    """The usage records of these calls, oldest first; of all without an id."""
    found = [fields for _, fields in await client.xrange(keys.USAGE)]
    return [fields for fields in found if not call_ids or fields["call"] in call_ids]
