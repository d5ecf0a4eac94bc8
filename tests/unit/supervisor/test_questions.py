"""What the workers say together never loses what one of them has counted."""

from __future__ import annotations

import json
from typing import Any, cast

from app.supervisor.messages import ANSWERED, METRICS, PART, STATE, TELL, Message, Messages
from app.supervisor.process import WorkerProcess
from app.supervisor.questions import PATIENCE_SECONDS, Questions


class Heard:
    """A worker that keeps what it is sent."""

    def __init__(self) -> None:
        self._messages = Messages()
        self.heard: list[Message] = []

    def send(self, data: bytes) -> None:
        self.heard += self._messages.feed(data)

    def kinds(self) -> list[str]:
        return [message.kind for message in self.heard]

    def answer(self) -> dict[int | None, Any]:
        """The parts of the last answer."""
        parts: dict[int | None, Any] = {}
        for message in self.heard:
            if message.kind == PART:
                parts[message.fields["worker"]] = json.loads(message.body)
        self.heard.clear()
        return parts


def counted(number: float) -> bytes:
    return json.dumps([["mints", "counter", "Mints.", [["mints_total", {}, number, None]]]]).encode()


def value(parts: dict[int | None, Any], worker: int | None) -> float:
    return float(parts[worker][0][3][0][2])


class Pair:
    """Two workers and the questions that one of them asks."""

    def __init__(self) -> None:
        self.questions = Questions()
        self.workers = [Heard(), Heard()]
        self.asked = 0

    def process(self, number: int) -> WorkerProcess:
        return cast(WorkerProcess, self.workers[number])

    def ask(self, *numbers: int, what: str = METRICS) -> int:
        self.asked += 1
        asked = {number: self.process(number) for number in numbers}
        self.questions.ask(self.process(0), self.asked, what, asked, now=100.0)
        return self.asked


def test_an_answer_is_whole_when_all_have_told() -> None:
    pair = Pair()
    question = pair.ask(0, 1)
    assert pair.workers[0].kinds() == pair.workers[1].kinds() == [TELL]
    pair.questions.told(1, question, METRICS, counted(2))
    assert ANSWERED not in pair.workers[0].kinds()
    pair.questions.told(0, question, METRICS, counted(1))
    assert pair.workers[0].kinds() == [TELL, PART, PART, ANSWERED]
    assert pair.workers[0].answer() == {0: json.loads(counted(1)), 1: json.loads(counted(2))}


def test_a_worker_that_is_late_has_its_last_answer_given() -> None:
    pair = Pair()
    first = pair.ask(0, 1)
    pair.questions.told(0, first, METRICS, counted(1))
    pair.questions.told(1, first, METRICS, counted(5))
    pair.workers[0].answer()
    second = pair.ask(0, 1)
    pair.questions.told(0, second, METRICS, counted(3))
    assert pair.questions.next_deadline == 100.0 + PATIENCE_SECONDS
    pair.questions.look(100.0 + PATIENCE_SECONDS)
    parts = pair.workers[0].answer()
    assert (value(parts, 0), value(parts, 1)) == (3, 5)
    assert pair.questions.next_deadline is None


def test_what_a_dead_worker_counted_stays_and_is_counted_once() -> None:
    pair = Pair()
    first = pair.ask(0, 1)
    pair.questions.told(1, first, METRICS, counted(5))
    # It dies after it told, while the question is open.
    pair.questions.died(1, pair.process(1))
    pair.questions.told(0, first, METRICS, counted(1))
    parts = pair.workers[0].answer()
    assert sorted(parts, key=str) == [0, None]
    assert (value(parts, 0), value(parts, None)) == (1, 5)
    second = pair.ask(0, 1)
    pair.questions.told(0, second, METRICS, counted(1))
    pair.questions.told(1, second, METRICS, counted(2))
    pair.questions.died(1, pair.process(1))
    third = pair.ask(0)
    pair.questions.told(0, third, METRICS, counted(1))
    assert value(pair.workers[0].answer(), None) == 7


def test_nobody_waits_for_a_dead_worker_or_answers_one() -> None:
    pair = Pair()
    pair.ask(0, 1)
    pair.questions.told(0, 1, METRICS, counted(1))
    pair.questions.died(1, pair.process(1))
    assert ANSWERED in pair.workers[0].kinds()
    pair.ask(0, 1)
    pair.questions.died(0, pair.process(0))
    assert pair.questions.next_deadline is None


def test_a_state_is_not_kept_when_its_worker_dies() -> None:
    pair = Pair()
    question = pair.ask(0, 1, what=STATE)
    pair.questions.told(1, question, STATE, b'{"in_flight": 4}')
    pair.questions.died(1, pair.process(1))
    pair.questions.told(0, question, STATE, b'{"in_flight": 1}')
    assert pair.workers[0].answer() == {0: {"in_flight": 1}}
