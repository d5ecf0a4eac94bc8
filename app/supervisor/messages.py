"""What a supervisor and its workers say to each other, as bytes on a pair of sockets. Pure.

A message is a length, a line of JSON and a body. The body is passed on unread.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import orjson

_LENGTH_BYTES: Final = 4

# From a worker: it serves; it is alive; it asks all workers; its answer to a question of one of them.
LISTENING: Final = "listening"
BEAT: Final = "beat"
ASK: Final = "ask"
TOLD: Final = "told"
# From the supervisor: a question; one worker's answer to it, and the end of the answers; who is there; drain.
TELL: Final = "tell"
PART: Final = "part"
ANSWERED: Final = "answered"
CREW: Final = "crew"
DRAIN: Final = "drain"

# What can be asked: the snapshot of ``app.telemetry.workers.merged``, and what an operator sees of a worker.
METRICS: Final = "metrics"
STATE: Final = "state"


@dataclass(frozen=True, slots=True)
class Message:
    """One message. ``fields`` depend on its kind."""

    kind: str
    fields: dict[str, Any]
    body: bytes = b""


def encode(kind: str, body: bytes = b"", **fields: Any) -> bytes:
    """The bytes of a message."""
    head = orjson.dumps([kind, fields], option=orjson.OPT_APPEND_NEWLINE)
    return (len(head) + len(body)).to_bytes(_LENGTH_BYTES, "big") + head + body


class Messages:
    """Cuts what arrives into messages."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Add what arrived, and yield each message that is whole."""
        rest = self._rest
        rest += data
        while len(rest) >= _LENGTH_BYTES:
            end = _LENGTH_BYTES + int.from_bytes(rest[:_LENGTH_BYTES], "big")
            if len(rest) < end:
                return
            head, _, body = bytes(rest[_LENGTH_BYTES:end]).partition(b"\n")
            del rest[:end]
            kind, fields = orjson.loads(head)
            yield Message(kind, fields, body)
