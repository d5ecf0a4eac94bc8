"""Whatever a peer sends over a socket, in whatever pieces: an answer or ``NoAnswer``, and never a wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.outbound.client import UpstreamClient
from app.outbound.upstream import NoAnswer
from tests.support.clocks import PATIENCE
from tests.support.egress import here
from tests.unit.outbound.client.conftest import post
from tests.unit.outbound.peer import OK, Peer, saying

# Random bytes alone would seldom get beyond the first line.
_PIECES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [
            OK,
            b"\r\n",
            b"HTTP/1.1 ",
            b"HTTP/1.1 103 Hints\r\n\r\n",
            b"HTTP/1.1 204 No Content\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"5\r\nhello\r\n",
            b"0\r\n\r\n",
            b"X: y\r\n",
            b"hi",
        ]
    ),
)

Run = Callable[[Coroutine[Any, Any, None]], None]


async def _outcome(client: UpstreamClient, url: str) -> object:
    try:
        answer = await post(client, url, timeout=PATIENCE)
    except NoAnswer as failure:
        return "late" if failure.timed_out else "lost"
    return answer.status, dict(answer.headers), answer.body


async def _ask(pieces: list[bytes]) -> None:
    peer = Peer(saying(*pieces, then_close=True))
    url = await peer.start()
    client = UpstreamClient(connect_timeout=PATIENCE, egress=here())
    outcomes: list[object] = []
    try:
        for _ in range(2):
            outcomes.append(await _outcome(client, url))
    finally:
        await client.close()
        await peer.close()
    assert "late" not in outcomes
    assert outcomes[0] == outcomes[1] or outcomes[1] == "lost"
    # A kept connection may end just as the second one is written; nothing is ever sent again.
    assert 1 <= len(peer.requests) <= 2


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@hypothesis_settings(max_examples=50)
@given(pieces=st.lists(_PIECES, max_size=6))
def test_any_bytes_end_in_an_answer_or_in_none(run: Run, pieces: list[bytes]) -> None:
    run(_ask(pieces))
