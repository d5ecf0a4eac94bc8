"""The partner's voice is speech-like, and its ear finds speech: pure functions."""

from __future__ import annotations

import math
from array import array

import pytest

from app.sandbox.conversation.response import ECHO_WORDS, reply_to
from app.sandbox.peer.offers import reachable_part
from app.sandbox.peer.voice import SAMPLE_RATE, SpeechDetector, duration, loudness, room_tone, speech

VAD = {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 500}
LOUD, QUIET, FRAME_MS = 3000.0, 50.0, 20.0


def power_at(samples: array[int], frequency: float) -> float:
    """Goertzel: the share of the energy at one frequency."""
    turn = 2 * math.cos(2 * math.pi * frequency / SAMPLE_RATE)
    before = earlier = 0.0
    for sample in samples:
        before, earlier = sample + turn * before - earlier, before
    energy = sum(s * s for s in samples) * len(samples) / 2
    return (before * before + earlier * earlier - turn * before * earlier) / energy


def test_a_vowel_spreads_over_many_frequencies_as_a_beep_does_not() -> None:
    beep = array("h", (int(8000 * math.sin(2 * math.pi * 120 * i / SAMPLE_RATE)) for i in range(3000)))
    voice = speech("a")[600:3600]
    strongest = [max(power_at(sound, 10 * f) for f in range(5, 300)) for sound in (beep, voice)]
    assert strongest[0] > 0.9
    assert strongest[1] < 0.5


def test_speech_is_loud_in_its_syllables_and_silent_between_its_words() -> None:
    sound = speech("good day")
    levels = [loudness(sound[i : i + 240]) for i in range(0, len(sound) - 240, 240)]
    assert max(levels) > 1000
    assert min(levels) < 10
    assert max(abs(sample) for sample in sound) <= 11_000


def test_more_words_take_longer_at_a_talkers_pace() -> None:
    few, many = duration(speech("one two")), duration(speech("one two three four five six seven eight"))
    assert many > 3 * few
    assert 1.5 < 8 / many < 6, "words a second"


def test_the_room_is_quiet_and_not_dead() -> None:
    assert 10 < loudness(room_tone()) < 200


def test_speech_starts_after_its_onset_and_stops_after_the_silence_that_the_session_names() -> None:
    detector = SpeechDetector()
    edges = []
    for rms, frames in ((QUIET, 50), (LOUD, 25), (QUIET, 40)):
        for _ in range(frames):
            if edge := detector.hear(rms, FRAME_MS, VAD):
                edges.append((edge.kind, edge.at_ms))
    assert edges == [("started", 700), ("stopped", 2000)]


@pytest.mark.parametrize("voiced_frames", [1, 2, 4])
def test_a_click_or_a_beep_is_no_speech(voiced_frames: int) -> None:
    detector = SpeechDetector()
    for _ in range(10):
        for rms, frames in ((LOUD, voiced_frames), (QUIET, 20)):
            for _ in range(frames):
                assert detector.hear(rms, FRAME_MS, VAD) is None


def test_without_turn_detection_nothing_is_an_edge() -> None:
    detector = SpeechDetector()
    assert all(detector.hear(LOUD, FRAME_MS, None) is None for _ in range(100))


def test_an_offer_loses_its_hidden_candidates_and_nothing_else(offer: str) -> None:
    kept = reachable_part(offer + "a=end-of-candidates\r\n")
    removed = set(offer.split("\r\n")) - set(kept.split("\r\n"))
    assert [line.split()[4] for line in removed] == ["8f0c9a54-61c2-4d0e-b7a3-2f1e90d4c6ab.local"]
    assert "end-of-candidates" not in kept
    assert "198.51.100.23 54400 typ srflx" in kept


def test_the_partner_obeys_a_quotation_and_shortens_what_is_long() -> None:
    assert reply_to([], {}, 'Say exactly "well met" now').words == "well met"
    long = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a " * 99}]}
    assert len(reply_to([long], {}, None).words.split()) == 2 + ECHO_WORDS + 3
    assert "provider in a box" in reply_to([], {}, None).words
