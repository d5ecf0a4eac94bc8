"""Messages come out of the line as they went in, however the bytes are cut."""

from __future__ import annotations

import pytest

from app.supervisor.messages import ASK, BEAT, TOLD, Message, Messages, encode

SENT = [
    Message(BEAT, {}),
    Message(TOLD, {"question": 7, "what": "metrics"}, b'[["a\\n","gauge"]]\nand a second line' * 100),
    Message(ASK, {"ask": 1, "what": "state"}),
]


@pytest.mark.parametrize("size", [1, 3, 64, 100_000])
def test_messages_are_whole_again(size: int) -> None:
    stream = b"".join(encode(one.kind, one.body, **one.fields) for one in SENT)
    line = Messages()
    parts = [stream[start : start + size] for start in range(0, len(stream), size)]
    assert [message for part in parts for message in line.feed(part)] == SENT
