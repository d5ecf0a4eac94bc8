"""Security events: counted each time, told once a minute, bounded, and never in the way of a request."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson
import pytest
from structlog.testing import capture_logs

from app.broker.security import events
from app.broker.security.delivery import Deliveries
from app.broker.security.events import (
    FOLD_SECONDS,
    KINDS,
    MOST_A_SECOND,
    MOST_WAITING,
    SecurityEvent,
    SecurityLog,
)
from app.broker.security.messages import Messages
from app.errors import StoreUnavailable
from app.handles.keyring import parse_sealing_ring
from app.handles.sealing import Sealer, UnsealError
from app.models import Clocks
from app.outbound.webhook import SENDING_AT_ONCE, WebhookFault
from app.store.records.notices import KEPT_SECONDS
from app.store.records.suspicions import Suspicion
from app.telemetry.metrics import Metrics
from app.telemetry.parts.security import SecurityMetrics
from tests.unit.values import NOW, ring

EVENT: Final = SecurityEvent(
    kind="wrong_certificate",
    handle="Zq3vT0m1S2uYx8bKc4dWnB",
    client="shop",
    subject="user-7",
    model="assistant",
    expected={"fingerprint": "sha-256 AA:BB"},
    seen={"fingerprint": "sha-256 CC:DD", "origin": "https://app.example", "address": "203.0.113.9"},
)


@dataclass
class Store:
    """The queue and the records, in memory; ``away``: it takes nothing."""

    away: bool = False
    room: int = 1000
    queue: list[str] = field(default_factory=list)
    noted: list[Suspicion] = field(default_factory=list)
    postponed: list[tuple[str, float]] = field(default_factory=list)

    def _require(self) -> None:
        if self.away:
            raise StoreUnavailable("Away.")

    async def put(self, messages: Sequence[str]) -> int:
        self._require()
        fresh = [message for message in messages if message not in self.queue]
        taken = fresh[: max(self.room - len(self.queue), 0)]
        self.queue += taken
        return len(fresh) - len(taken)

    async def note(self, suspicions: Sequence[Suspicion]) -> None:
        self._require()
        self.noted += suspicions

    async def take(self, *, hold: float, at_most: int) -> list[str]:
        self._require()
        return self.queue[:at_most]

    async def postpone(self, message: str, *, seconds: float) -> None:
        self._require()
        self.queue.remove(message)
        self.postponed.append((message, seconds))

    async def remove(self, message: str) -> None:
        self._require()
        self.queue.remove(message)


@dataclass
class Receiver:
    """Takes messages, or fails with ``fault``."""

    fault: WebhookFault | None = None
    bodies: list[dict[str, Any]] = field(default_factory=list)
    tries: list[float] = field(default_factory=list)
    closed: bool = False
    shown: str = "https://soc.example.com"

    async def send(self, message_id: str, body: bytes) -> None:
        self.tries.append(asyncio.get_running_loop().time())
        if self.fault is not None:
            raise self.fault
        self.bodies.append({"id": message_id, **orjson.loads(body)})

    async def close(self) -> None:
        self.closed = True


class World:
    """A ``SecurityLog`` over these, in the time of the test's loop."""

    def __init__(self, *, with_webhook: bool) -> None:
        loop = asyncio.get_running_loop()
        self.registry = Metrics(models=(), deployments=())
        self.store, self.receiver = Store(), Receiver()
        self.clocks = Clocks(now=lambda: NOW + loop.time(), monotonic=loop.time)
        metrics = SecurityMetrics(self.registry, KINDS)
        self.messages = Messages(Sealer(parse_sealing_ring(ring("a"))), replica="replica-a")
        fakes: tuple[Any, Any] = (self.store, self.receiver)
        store, receiver = fakes
        self.deliveries = Deliveries(
            notices=store, messages=self.messages, webhook=receiver, metrics=metrics, clocks=self.clocks
        )
        self.log = SecurityLog(
            metrics=metrics,
            suspicions=store,
            clocks=self.clocks,
            messages=self.messages if with_webhook else None,
            notices=store if with_webhook else None,
            deliveries=self.deliveries if with_webhook else None,
        )

    def count(self, name: str, label: str) -> float:
        found = self.registry.registry.get_sample_value(
            f"cloakroom_security_{name}_total", dict([label.split("=")])
        )
        return 0.0 if found is None else found


@asynccontextmanager
async def world(*, with_webhook: bool = True, grace: float = 5.0) -> AsyncIterator[World]:
    made = World(with_webhook=with_webhook)
    made.log.start()
    yield made
    await made.log.close(grace=grace)


pytestmark = pytest.mark.virtual_time


async def test_an_event_is_counted_logged_noted_and_sent() -> None:
    with capture_logs() as lines:
        async with world() as made:
            made.log.report(EVENT)
            # The caller has its answer by now: all of this comes after.
            assert not made.store.noted
            assert not made.receiver.bodies
            await asyncio.sleep(5)
            (noted,), (sent,) = made.store.noted, made.receiver.bodies
    assert made.count("events", "kind=wrong_certificate") == 1
    assert made.count("webhook_deliveries", "result=delivered") == 1
    assert (noted.handle_id, noted.kind, noted.times) == (EVENT.handle, EVENT.kind, 1)
    (line,) = [line for line in lines if line["event"] == "security_event"]
    assert line["log_level"] == "warning"
    facts = {
        name: getattr(EVENT, name)
        for name in ("kind", "handle", "client", "subject", "model", "expected", "seen")
    }
    assert line.items() >= facts.items()
    assert sent["type"] == "security.wrong_certificate"
    assert sent["data"] == {**facts, "replica": "replica-a"}
    assert made.store.queue == []
    assert made.receiver.closed


async def test_without_a_webhook_the_rest_is_done() -> None:
    async with world(with_webhook=False) as made:
        made.log.report(EVENT)
        await asyncio.sleep(5)
        assert [one.handle_id for one in made.store.noted] == [EVENT.handle]
        assert not made.store.queue
        assert not made.receiver.tries


async def test_the_same_event_is_counted_each_time_and_told_once_a_minute() -> None:
    with capture_logs() as lines:
        async with world() as made:
            for _ in range(100):
                made.log.report(EVENT)
                await asyncio.sleep(0.1)
            other = replace(EVENT, seen={**EVENT.seen, "origin": "https://evil.example"})
            made.log.report(other)
            await asyncio.sleep(FOLD_SECONDS)
            made.log.report(EVENT)
            await asyncio.sleep(5)
            assert len(made.receiver.bodies) == 3
    assert made.count("events", "kind=wrong_certificate") == 102
    assert sum(one.times for one in made.store.noted) == 102
    assert sum(line["event"] == "security_event" for line in lines) == 3


async def test_what_a_caller_sent_is_cleaned_and_cut_before_anyone_reads_it() -> None:
    evil = replace(
        EVENT,
        subject="a\x1b[2Jb\u202ec",
        seen={
            "user_agent": "\udcff" + "xxx " * 1000,
            "origin": "https://e.example\r\nlevel: info",
            "other": "unknown",
        },
    )
    with capture_logs() as lines:
        async with world() as made:
            made.log.report(evil)
            await asyncio.sleep(5)
            (sent,) = made.receiver.bodies
    (line,) = [line for line in lines if line["event"] == "security_event"]
    for told in (line, sent["data"]):
        assert told["subject"] == r"a\u001b[2Jb\u202ec"
        assert told["seen"].keys() == {"user_agent", "origin"}
        assert len(told["seen"]["user_agent"]) == 200
        assert told["seen"]["user_agent"].startswith(r"\udcffxxx")
        assert told["seen"]["origin"] == "https://e.example level: info"


async def test_an_id_is_shown_whole_whatever_it_looks_like() -> None:
    with capture_logs() as lines:
        async with world() as made:
            for handle in ("ek_AAAAAAAAAAAAAAAAAAA", "a\nb ek_secret-0123456789"):
                made.log.report(replace(EVENT, handle=handle))
    shown = [line["handle"] for line in lines if line["event"] == "security_event"]
    assert shown == ["ek_AAAAAAAAAAAAAAAAAAA", "a b [redacted]"]


async def test_a_flood_is_bounded_and_what_is_left_out_is_counted() -> None:
    with capture_logs() as lines:
        async with world(grace=0) as made:
            made.store.away = True
            for second in range(20):
                for number in range(2 * MOST_A_SECOND):
                    made.log.report(replace(EVENT, handle=f"handle-{second}-{number}"))
                told = sum(line["event"] == "security_event" for line in lines)
                assert told == min((second + 1) * MOST_A_SECOND, MOST_WAITING)
                await asyncio.sleep(1)
            made.store.away = False
            await asyncio.sleep(60)
            assert len(made.store.noted) == MOST_WAITING
    overrun = 40 * MOST_A_SECOND - MOST_WAITING
    assert made.count("events", "kind=wrong_certificate") == 40 * MOST_A_SECOND
    assert made.count("events_dropped", "reason=overrun") == overrun
    dropped = [line for line in lines if line["event"] == "security_events_dropped"]
    assert {line["reason"] for line in dropped} == {"overrun"}
    assert sum(line["number"] for line in dropped) == overrun


async def test_a_store_that_is_away_gets_it_later_and_once() -> None:
    async with world() as made:
        made.store.away = True
        made.log.report(EVENT)
        await asyncio.sleep(30)
        assert made.store.queue == []
        made.store.away = False
        await asyncio.sleep(5)
        assert len(made.receiver.bodies) == 1
        assert sum(one.times for one in made.store.noted) == 1


async def test_what_finds_no_room_in_the_queue_is_counted_and_logged() -> None:
    with capture_logs() as lines:
        async with world() as made:
            made.store.room = 0
            made.log.report(EVENT)
            await asyncio.sleep(5)
    assert made.count("events_dropped", "reason=queue_full") == 1
    assert [line["reason"] for line in lines if line["event"] == "security_events_dropped"] == ["queue_full"]


async def test_while_the_receiver_is_away_it_is_tried_less_and_less_often_and_then_gets_all() -> None:
    async with world() as made:
        made.receiver.fault = WebhookFault("away")
        for number in range(20):
            made.log.report(replace(EVENT, handle=f"handle-{number}"))
        await asyncio.sleep(1800)
        tries = made.receiver.tries
        pauses = [later - earlier for earlier, later in itertools.pairwise(tries)]
        # The first look takes several. Afterwards one at a time, and in the end one a minute.
        assert len(tries) < SENDING_AT_ONCE + 60
        assert min(pauses[-10:]) > 30
        waiting = [message for message, _ in made.store.postponed]
        assert waiting
        assert made.count("webhook_deliveries", "result=unreachable") == len(tries)


async def test_one_message_is_tried_again_after_half_of_its_age_and_what_the_receiver_asks() -> None:
    made = World(with_webhook=True)
    made.receiver.fault = WebhookFault("busy", refused=True)
    for age, least, most in ((0, 0.75, 1.25), (100, 37, 63), (10_000, 450, 750)):
        made.store.queue = [made.messages.written({"kind": EVENT.kind}, at=made.clocks.now() - age)]
        await made.deliveries._look()
        (_, seconds) = made.store.postponed.pop()
        assert least <= seconds <= most
    made.receiver.fault = WebhookFault("busy", refused=True, retry_after=300)
    made.store.queue = [made.messages.written({"kind": EVENT.kind}, at=made.clocks.now())]
    await made.deliveries._look()
    assert made.store.postponed.pop()[1] == 300
    assert made.count("webhook_deliveries", "result=refused") == 4


async def test_however_much_waits_the_rate_is_bounded() -> None:
    async with world() as made:
        at = made.clocks.now()
        made.store.queue = [made.messages.written({"kind": EVENT.kind}, at=at) for _ in range(200)]
        await asyncio.sleep(60)
        assert made.store.queue == []
        tries = made.receiver.tries
        for start in range(0, len(tries) - SENDING_AT_ONCE):
            assert tries[start + SENDING_AT_ONCE] - tries[start] >= 0.75


def _changed(text: str) -> str:
    return text[:-6] + ("A" if text[-6] != "A" else "B") + text[-5:]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_changed, "unreadable"),
        (lambda text: "nonsense", "unreadable"),
        (lambda text: text.replace("msg_", "msg_0"), "unreadable"),
    ],
)
async def test_a_message_that_was_changed_in_the_store_is_not_sent(
    spoil: Callable[[str], str], reason: str
) -> None:
    async with world() as made:
        made.store.queue = [spoil(made.messages.written({"kind": EVENT.kind}, at=made.clocks.now()))]
        await asyncio.sleep(5)
        assert not made.store.queue
        assert not made.receiver.tries
        assert made.count("events_dropped", f"reason={reason}") == 1


async def test_a_message_that_waited_for_a_day_is_dropped() -> None:
    async with world() as made:
        made.store.queue = [
            made.messages.written({"kind": EVENT.kind}, at=made.clocks.now() - KEPT_SECONDS - 1)
        ]
        await asyncio.sleep(5)
        assert not made.store.queue
        assert not made.receiver.tries
        assert made.count("events_dropped", "reason=expired") == 1


async def test_at_its_end_a_replica_writes_and_sends_what_waits() -> None:
    made = World(with_webhook=True)
    made.log.start()
    await asyncio.sleep(5)
    for number in range(10):
        made.log.report(replace(EVENT, handle=f"handle-{number}"))
    await made.log.close(grace=5)
    assert len(made.receiver.bodies) == 10
    assert made.store.queue == []


async def test_an_end_while_all_is_away_takes_no_longer_than_its_grace() -> None:
    made = World(with_webhook=True)
    made.log.start()
    made.store.away = True
    made.log.report(EVENT)
    with capture_logs() as lines:
        closing = asyncio.create_task(made.log.close(grace=5))
        await asyncio.sleep(6)
        assert closing.done()
    assert made.count("events_dropped", "reason=shutdown") == 1
    assert "security_events_dropped" in {line["event"] for line in lines}


def test_the_queue_keeps_nothing_in_clear() -> None:
    messages = Messages(Sealer(parse_sealing_ring(ring("a"))), replica="replica-a")
    text = messages.written({"kind": EVENT.kind, "seen": {"address": "203.0.113.9"}}, at=NOW)
    assert "203.0.113.9" not in text
    assert messages.read(text).at == NOW
    with pytest.raises(UnsealError):
        Messages(Sealer(parse_sealing_ring(ring("b"))), replica="replica-a").read(text)


def test_a_message_of_a_kind_that_reporters_use_is_a_known_one() -> None:
    assert EVENT.kind in events.KINDS
