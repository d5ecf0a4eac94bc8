"""Security events of real replicas at a real receiver, which is away at times, as replicas are.

The event is a record that was changed in the store. The receiver is the program of the documents.
"""

from __future__ import annotations

import base64
import secrets
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from app.models import USUAL_MODEL
from app.store import keys
from tests.support.api import minted, relay
from tests.support.clocks import eventually
from tests.support.handles import claims_of
from tests.support.offers import certificate, offer_with
from tests.support.onlooker import onlooker
from tests.support.processes import Replica
from tests.support.receiver import Receiver, free_port
from tests.support.stack import Stack


def _secret() -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


# The service signs with both; the receivers know the second one.
NEW, OLD = _secret(), _secret()
EVENTS: Final = 5


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Its replicas A and B have no webhook; tests start those that have."""
    with Stack(peer="static") as own:
        yield own


@pytest.fixture
def port(stack: Stack) -> Iterator[int]:
    yield free_port()
    with onlooker(stack.engine.url) as store:
        store.delete(keys.notices())


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Where the receivers of a test write."""
    return tmp_path / "events"


def with_webhook(stack: Stack, name: str, port: int) -> Replica:
    return stack.replica(
        name,
        CLOAKROOM_SECURITY_WEBHOOK_URL=f"http://127.0.0.1:{port}/hooks",
        CLOAKROOM_SECURITY_WEBHOOK_SECRET=f"{NEW},{OLD}",
    )


async def suspicious(stack: Stack, http: aiohttp.ClientSession, at: Replica) -> str:
    """Change a handle's record, relay with it at this replica, and return its id."""
    handle = await minted(http, stack.a.url, stack.planted.client_key)
    handle_id = str(claims_of(handle)["jti"])
    with onlooker(stack.engine.url) as store:
        store.hset(keys.handle(handle_id), "client", "somebody-else")
    reply = await relay(http, at.url, handle)
    assert (reply.status, reply.code) == (401, "invalid_handle")
    return handle_id


async def queued(stack: Stack, number: int) -> None:
    """Wait until so many messages are in the store."""

    def look() -> bool:
        with onlooker(stack.engine.url) as store:
            return bool(store.zcard(keys.notices()) == number)

    await eventually(look)


async def arrived(receiver: Receiver, expected: dict[str, str]) -> list[dict[str, Any]]:
    """Wait for the events of these handles, each with the replica that saw it, and return all there are."""
    await eventually(
        lambda: {event["handle"] for event in receiver.events()} >= expected.keys(), receiver.events
    )
    found = receiver.events()
    assert {event["handle"]: event["replica"] for event in found} == expected
    return found


@contextmanager
def mute_listener(port: int) -> Iterator[list[bytes]]:
    """A listener that takes requests and never answers; yields what came."""
    came: list[bytes] = []
    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", port)) as listener:

        def accept() -> None:
            try:
                while True:
                    connection, _ = listener.accept()
                    held.append(connection)
                    came.append(connection.recv(65536))
            except OSError:
                return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield came
        listener.shutdown(socket.SHUT_RDWR)
    for connection in held:
        connection.close()
    thread.join()


async def test_what_two_replicas_saw_while_the_receiver_was_away_arrives_once_it_is_back(
    stack: Stack, http: aiohttp.ClientSession, port: int, output: Path
) -> None:
    one, other = with_webhook(stack, "one", port), with_webhook(stack, "other", port)
    expected = {}
    for _ in range(EVENTS):
        for replica in (one, other):
            expected[await suspicious(stack, http, replica)] = replica.name
    await queued(stack, len(expected))
    # At least one try has failed before the receiver comes.
    one.wait_for_event("security_webhook_failed")
    with Receiver(port, OLD, output) as receiver:
        found = await arrived(receiver, expected)
        await queued(stack, 0)
    assert {event["type"] for event in found} == {"security.record_refused"}
    assert {event["seen"]["record"] for event in found} == {"not_proven"}
    one.stop()
    other.stop()


async def test_a_receiver_that_ends_and_comes_back_misses_nothing(
    stack: Stack, http: aiohttp.ClientSession, port: int, output: Path
) -> None:
    replica = with_webhook(stack, "lasting", port)
    expected = {}
    for _ in range(3):
        with Receiver(port, OLD, output) as receiver:
            expected[await suspicious(stack, http, replica)] = replica.name
            await arrived(receiver, expected)
        expected[await suspicious(stack, http, replica)] = replica.name
    with Receiver(port, OLD, output) as receiver:
        await arrived(receiver, expected)
    replica.stop()


async def test_a_replica_that_is_killed_with_events_queued_leaves_them_to_another(
    stack: Stack, http: aiohttp.ClientSession, port: int, output: Path
) -> None:
    doomed = with_webhook(stack, "doomed", port)
    expected = {await suspicious(stack, http, doomed): doomed.name for _ in range(EVENTS)}
    await queued(stack, EVENTS)
    doomed.signal(signal.SIGKILL)
    doomed.stop()
    # There is no replica with a webhook for a moment.
    with Receiver(port, OLD, output) as receiver:
        heir = with_webhook(stack, "heir", port)
        await arrived(receiver, expected)
        await queued(stack, 0)
        heir.stop()


async def test_a_message_whose_sender_is_killed_while_it_sends_is_sent_by_another(
    stack: Stack, http: aiohttp.ClientSession, port: int, output: Path
) -> None:
    doomed = with_webhook(stack, "doomed", port)
    with mute_listener(port) as came:
        expected = {await suspicious(stack, http, doomed): doomed.name}
        await eventually(lambda: came)
        doomed.signal(signal.SIGKILL)
        doomed.stop()
    with Receiver(port, OLD, output) as receiver:
        heir = with_webhook(stack, "heir", port)
        # After the hold of the one that died.
        await arrived(receiver, expected)
        heir.stop()


async def test_a_stolen_handle_is_told_with_both_sides(
    stack: Stack, http: aiohttp.ClientSession, port: int, output: Path
) -> None:
    replica = with_webhook(stack, "watching", port)
    body = {"model": USUAL_MODEL, "bind": {"fingerprint": certificate(1)}}
    handle = await minted(http, stack.a.url, stack.planted.client_key, body)
    # What he knows is no reason to show it to more people.
    headers = {"User-Agent": f"Thief/1.0 {stack.planted.client_key} {handle}"}
    reply = await relay(http, replica.url, handle, offer_with(certificate(2)), **headers)
    assert (reply.status, reply.code) == (403, "wrong_certificate")
    with Receiver(port, OLD, output) as receiver:
        (event,) = await arrived(receiver, {str(claims_of(handle)["jti"]): replica.name})
    assert event["type"] == "security.wrong_certificate"
    assert event["client"] == "shop"
    assert event["expected"] == {"fingerprint": certificate(1)}
    seen = {
        "fingerprint": certificate(2),
        "address": "127.0.0.1",
        "user_agent": "Thief/1.0 [redacted] [redacted]",
    }
    assert event["seen"].items() >= seen.items()
    for secret in (stack.planted.client_key, handle, NEW, OLD):
        assert secret not in f"{replica.output} {event}"
    # And the page itself gets its call.
    assert (await relay(http, stack.a.url, handle, offer_with(certificate(1)))).status == 201
    replica.stop()


async def test_a_replica_that_ends_sends_what_it_saw_last(
    stack: Stack, http: aiohttp.ClientSession, port: int, output: Path
) -> None:
    with Receiver(port, OLD, output) as receiver:
        await eventually(lambda: "listening" in output.read_text())
        ending = with_webhook(stack, "ending", port)
        expected = {await suspicious(stack, http, ending): ending.name}
        ending.signal(signal.SIGTERM)
        assert ending.wait() == 0
        await arrived(receiver, expected)
    await queued(stack, 0)


async def test_a_receiver_with_another_secret_accepts_nothing_and_nothing_is_lost(
    stack: Stack, http: aiohttp.ClientSession, port: int, output: Path
) -> None:
    replica = with_webhook(stack, "patient", port)
    with Receiver(port, _secret(), output) as stranger:
        expected = {await suspicious(stack, http, replica): replica.name}
        assert "status 401" in replica.wait_for_event("security_webhook_failed")["reason"]
        assert stranger.events() == []
    with Receiver(port, OLD, output) as receiver:
        await arrived(receiver, expected)
    replica.stop()


async def test_the_record_and_the_log_tell_the_same(
    stack: Stack, http: aiohttp.ClientSession, port: int
) -> None:
    replica = with_webhook(stack, "telling", port)
    handle_id = await suspicious(stack, http, replica)
    line = replica.wait_for_event("security_event")
    assert (line["level"], line["kind"], line["handle"]) == ("warning", "record_refused", handle_id)

    async def shown() -> Any:
        headers = {"Authorization": f"Bearer {stack.planted.admin_key}"}
        url = f"{stack.b.url}/admin/v1/handles/{handle_id}"
        async with http.get(url, headers=headers) as answer:
            return await answer.json()

    async def noted() -> bool:
        return bool((await shown())["suspicions"])

    await eventually(noted)
    document = await shown()
    assert (document["suspicions"], document["suspicion"]) == (1, "record_refused")
    assert document["suspected_at"] >= document["minted_at"]
    # It waits sealed, and shows nothing.
    await queued(stack, 1)
    with onlooker(stack.engine.url) as store:
        (message,) = store.zrange(keys.notices(), 0, -1)
    assert handle_id not in message
    replica.stop()
