"""What is safe to repeat is repeated: after which failures, how often, and never beyond its deadline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from app.errors import CloakroomError, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from app.outbound.client import UpstreamClient
from app.outbound.upstream import MAX_TRIES, RETRY_STATUSES, send_until_answered
from app.providers.answers import read_error
from app.providers.base import UpstreamRequest, UpstreamResponse
from app.telemetry.timings import Timings
from tests.support.egress import here
from tests.unit.outbound.peer import OK, Peer, Reply, saying
from tests.unit.values import deployment

pytestmark = pytest.mark.virtual_time

DEADLINE = 3.0


@pytest.fixture
async def client() -> AsyncIterator[UpstreamClient]:
    client = UpstreamClient(connect_timeout=0.2, egress=here())
    yield client
    await client.close()


def read(response: UpstreamResponse) -> bytes:
    if response.status != 200:
        raise read_error(deployment(), response, operation="hangup", secrets=())
    return response.body


def now() -> float:
    return asyncio.get_running_loop().time()


async def send(client: UpstreamClient, url: str) -> bytes:
    request = UpstreamRequest(url, {}, b"")
    return await send_until_answered(
        client, request, read, deadline=DEADLINE, monotonic=now, timings=Timings()
    )


async def sent_to(client: UpstreamClient, reply: Reply) -> tuple[object, Peer]:
    """What came of it, and the peer that was asked."""
    peer = Peer(reply)
    url = await peer.start()
    try:
        return await send(client, url), peer
    except CloakroomError as error:
        return error, peer
    finally:
        await peer.close()


def refusing(status: int, *, code: str = "x", header: str = "") -> bytes:
    body = f'{{"error": {{"message": "No.", "code": "{code}"}}}}'
    return f"HTTP/1.1 {status} No\r\n{header}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def in_turn(*replies: Reply) -> Reply:
    """One reply a request; the last one again and again."""
    waiting = list(replies)

    async def reply(writer: asyncio.StreamWriter) -> None:
        await (waiting.pop(0) if len(waiting) > 1 else waiting[0])(writer)

    return reply


fine = saying(OK + b"\r\nhi")
silent = saying()
cut = saying(OK, then_close=True)


@pytest.mark.parametrize("status", sorted(RETRY_STATUSES))
async def test_a_passing_status_is_asked_again(client: UpstreamClient, status: int) -> None:
    result, peer = await sent_to(client, in_turn(saying(refusing(status)), fine))
    assert (result, len(peer.requests)) == (b"hi", 2)


@pytest.mark.parametrize("failure", [cut, silent], ids=["cut off", "silent"])
async def test_an_answer_that_was_lost_is_asked_for_again(client: UpstreamClient, failure: Reply) -> None:
    result, peer = await sent_to(client, in_turn(failure, fine))
    assert (result, len(peer.requests)) == (b"hi", 2)


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 409, 501])
async def test_a_refusal_that_will_not_change_is_final(client: UpstreamClient, status: int) -> None:
    result, peer = await sent_to(client, saying(refusing(status)))
    assert isinstance(result, UpstreamError)
    assert len(peer.requests) == 1


async def test_an_exhausted_quota_is_final(client: UpstreamClient) -> None:
    result, peer = await sent_to(client, saying(refusing(429, code="insufficient_quota")))
    assert isinstance(result, UpstreamError)
    assert len(peer.requests) == 1


async def test_after_three_tries_the_last_failure_stands(client: UpstreamClient) -> None:
    result, peer = await sent_to(client, saying(refusing(503)))
    assert isinstance(result, UpstreamError)
    assert result.answer_status == 503
    assert len(peer.requests) == MAX_TRIES == 3


async def test_the_providers_retry_after_is_kept_to(client: UpstreamClient) -> None:
    started = now()
    later = saying(refusing(429, header="Retry-After: 1\r\n"))
    result, peer = await sent_to(client, in_turn(later, fine))
    assert (result, len(peer.requests)) == (b"hi", 2)
    assert now() == started + 1


async def test_a_retry_after_beyond_the_deadline_is_told_at_once(client: UpstreamClient) -> None:
    started = now()
    result, peer = await sent_to(client, saying(refusing(429, header="Retry-After: 17\r\n")))
    assert isinstance(result, UpstreamError)
    assert (result.retry_after, len(peer.requests)) == (17, 1)
    assert now() == started


async def test_silence_ends_with_the_deadline(client: UpstreamClient) -> None:
    started = now()
    result, peer = await sent_to(client, silent)
    assert isinstance(result, UpstreamTimeout)
    assert len(peer.requests) == 2
    assert now() == pytest.approx(started + DEADLINE)


async def test_a_port_that_nobody_listens_at_is_tried_three_times_and_named_unreachable(
    client: UpstreamClient,
) -> None:
    peer = Peer(fine)
    url = await peer.start()
    await peer.close()
    started = now()
    with pytest.raises(UpstreamUnreachable) as refused:
        await send(client, url)
    assert refused.value.retry_after == 1
    # Two pauses lie between three tries, of 0.1 s and 0.2 s at least and twice that at most.
    assert 0.3 <= now() - started <= 0.6
