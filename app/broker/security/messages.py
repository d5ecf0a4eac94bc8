"""The messages of the webhook for security events: what they say, and how they lie in the queue.

They are sealed there: they hold addresses of callers, and what the webhook signs must be what a replica
wrote.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from app.handles.sealing import Sealer, UnsealError

_PURPOSE: Final = "security-message"
_ID_BYTES: Final = 16
TYPE_PREFIX: Final = "security."
TEST_TYPE: Final = "security.test"


@dataclass(frozen=True, slots=True)
class Message:
    """A message: its id, which stays for all tries, when its event was (epoch seconds), and what is sent."""

    id: str
    at: float
    body: bytes = field(repr=False)


def new_message_id() -> str:
    """A fresh id, by which a receiver tells a repeat."""
    return f"msg_{secrets.token_urlsafe(_ID_BYTES)}"


def body_of(kind: str, data: Mapping[str, Any], *, at: float) -> bytes:
    """The JSON of a message, in the form of Standard Webhooks. ``at`` is epoch seconds."""
    moment = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return orjson.dumps({"type": kind, "timestamp": moment, "data": data})


class Messages:
    """Writes messages for the queue, and reads them.

    Args:
        replica: the name of this one, which is in each message.
    """

    def __init__(self, sealer: Sealer, *, replica: str) -> None:
        self._sealer = sealer
        self._replica = replica

    def written(self, facts: Mapping[str, Any], *, at: float) -> str:
        """A new message for the queue. ``facts`` have the event's ``kind``; ``at`` is epoch seconds."""
        message_id, moment = new_message_id(), f"{at:.3f}"
        body = body_of(f"{TYPE_PREFIX}{facts['kind']}", {**facts, "replica": self._replica}, at=at)
        return f"{message_id} {moment} {self._sealer.seal(body, _PURPOSE, message_id, moment)}"

    def read(self, text: str) -> Message:
        """Open what ``written`` made.

        Raises:
            UnsealError: another key sealed it, or it was changed in the store.
        """
        message_id, _, rest = text.partition(" ")
        moment, _, sealed = rest.partition(" ")
        body = self._sealer.unseal(sealed, _PURPOSE, message_id, moment)
        try:
            return Message(message_id, float(moment), body)
        except ValueError:
            raise UnsealError from None
