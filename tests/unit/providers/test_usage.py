"""Usage read from a call's events: what counts, what does not, and nothing twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from app.providers.usage import KINDS, Usage, kinds_of
from app.store.records.record import USAGE_FIGURES
from tests import samples

EVENTS: Final = Path(samples.__file__).parent / "openai" / "events"


def sample(name: str) -> str:
    return (EVENTS / f"{name}.json").read_text(encoding="utf-8")


def done(usage: Any, name: str = "resp_1") -> str:
    return orjson.dumps({"type": "response.done", "response": {"id": name, "usage": usage}}).decode()


def test_a_response_counts_with_every_part_that_the_provider_told() -> None:
    usage = Usage()
    grown = usage.read(sample("response.done"))
    assert grown == usage.figures
    assert usage.figures == {
        "responses": 1,
        "input_tokens": 132,
        "input_text_tokens": 119,
        "input_audio_tokens": 13,
        "cached_tokens": 64,
        "cached_text_tokens": 64,
        "output_tokens": 121,
        "output_text_tokens": 30,
        "output_audio_tokens": 91,
        "answer_seconds": 4.55,
    }
    assert usage.figures.keys() <= set(USAGE_FIGURES)


def test_a_response_that_is_told_twice_counts_once_and_each_other_one_counts() -> None:
    usage = Usage()
    usage.read(sample("response.done"))
    assert usage.read(sample("response.done")) == {}
    usage.read(done({"input_tokens": 8, "output_tokens": 1}))
    assert (usage.figures["responses"], usage.figures["input_tokens"]) == (2, 140)


def test_a_watcher_that_takes_over_goes_on_from_the_sums() -> None:
    usage = Usage({"responses": 3, "input_tokens": 100, "speech_seconds": 1.5}, model="gpt-realtime-2.1")
    usage.read(done({"input_tokens": 8}))
    assert usage.figures == {"responses": 4, "input_tokens": 108, "speech_seconds": 1.5}


def test_transcriptions_count_by_tokens_or_by_time() -> None:
    usage = Usage()
    usage.read(sample("transcription.completed-tokens"))
    usage.read(sample("transcription.completed-duration"))
    assert usage.figures == {
        "transcriptions": 2,
        "transcription_input_tokens": 13,
        "transcription_output_tokens": 9,
        "transcription_seconds": 2.4,
    }


def speech(kind: str, item: str, **fields: int) -> str:
    event = {"type": f"input_audio_buffer.speech_{kind}", "item_id": item, **fields}
    return orjson.dumps(event).decode()


def test_the_speaker_s_seconds_are_those_between_two_events_of_one_item() -> None:
    usage = Usage()
    usage.read(speech("started", "a", audio_start_ms=500))
    assert usage.read(speech("stopped", "a", audio_end_ms=1750)) == {"speech_seconds": 1.25}
    for other in (
        speech("stopped", "a", audio_end_ms=9000),
        speech("started", "b", audio_start_ms=9000),
        speech("stopped", "c", audio_end_ms=9900),
        speech("started", "d", audio_start_ms=9000),
        speech("stopped", "d", audio_end_ms=8000),
    ):
        assert usage.read(other) == {}


def test_the_session_names_the_model_and_says_when_its_time_is_over() -> None:
    usage = Usage()
    usage.read('{"type": "session.created", "session": {"model": "gpt-realtime-2.1"}}')
    usage.read('{"type": "session.updated", "session": {"model": 7}}')
    assert (usage.model, usage.ended) == ("gpt-realtime-2.1", "")
    usage.read('{"type": "error", "error": {"code": "session_expired"}}')
    assert usage.ended == "session_expired"


@pytest.mark.parametrize(
    "event",
    [
        "",
        "[]",
        '"response.done"',
        '{"type": "response.done"',
        '{"type": "response.created", "response": {"usage": {"input_tokens": 7}}, "x": "response.done"}',
        '{"type": "response.output_audio.delta", "delta": "\\"response.done\\""}',
        '{"type": ["response.done"], "response": {"usage": {"input_tokens": 7}}}',
    ],
)
def test_anything_else_counts_nothing(event: str) -> None:
    usage = Usage()
    assert usage.read(event) == {}
    assert usage.figures == {}


@pytest.mark.parametrize("value", [None, "7", 7.5, True, -7, 10**12, [7], {"tokens": 7}])
def test_what_is_no_count_is_left_out(value: Any) -> None:
    usage = Usage()
    usage.read(done({"input_tokens": value, "output_tokens": 2, "input_token_details": value}))
    assert usage.figures == {"responses": 1, "output_tokens": 2}


@pytest.mark.parametrize("usage", [None, "much", [1], 7])
def test_a_response_without_usage_is_a_response(usage: Any) -> None:
    read = Usage()
    read.read(done(usage))
    assert read.figures == {"responses": 1}


def test_kinds_are_disjoint_and_add_up_to_all_tokens() -> None:
    usage = Usage()
    usage.read(sample("response.done"))
    kinds = kinds_of(usage.figures)
    assert kinds == {
        "input_text": 55,
        "input_audio": 13,
        "cached_text": 64,
        "output_text": 30,
        "output_audio": 91,
    }
    assert sum(kinds.values()) == 253
    assert kinds.keys() <= set(KINDS)


@pytest.mark.parametrize(
    ("figures", "kinds"),
    [
        ({"input_tokens": 9, "output_tokens": 4}, {"input_other": 9, "output_other": 4}),
        (
            {"input_tokens": 9, "input_text_tokens": 5, "input_audio_tokens": 4, "cached_tokens": 3},
            {"input_other": 6, "cached_other": 3},
        ),
        ({"transcription_input_tokens": 3}, {"transcription_input": 3}),
        ({}, {}),
    ],
)
def test_what_is_told_only_as_a_sum_is_other(figures: dict[str, float], kinds: dict[str, int]) -> None:
    assert kinds_of(figures) == kinds
