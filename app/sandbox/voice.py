"""A synthetic voice: text to speech-like sound, with vowels, syllables and a melody, in plain Python.

It follows the source-filter model of speech: a train of glottal pulses through one resonator for each formant
(Klatt, 1980). Nobody takes it for a person, and nobody takes it for a beep.
"""

from __future__ import annotations

import functools
import math
import random
import re
from array import array

SAMPLE_RATE = 24_000
# Formant frequencies in Hz of an adult's vowels, rounded from Peterson and Barney (1952).
_FORMANTS = {
    "a": (730, 1090, 2440),
    "e": (530, 1840, 2480),
    "i": (300, 2200, 2960),
    "o": (570, 840, 2410),
    "u": (320, 900, 2240),
}
_BANDWIDTHS = (70, 100, 140)
_SYLLABLE_SECONDS = 0.17
_GAP_SECONDS = 0.05
_PAUSE_SECONDS = 0.22
_PITCHES = (118.0, 132.0, 108.0)
_PEAK = 11_000


def speech(text: str) -> array[int]:
    """The text as 16-bit mono samples at SAMPLE_RATE: one syllable for each group of vowel letters."""
    sound: array[int] = array("h")
    number = 0
    for word in re.findall(r"[^\s]+", text):
        for vowel in re.findall(r"[aeiouy]+", word.lower()) or ["e"]:
            sound.extend(_syllable(_heard(vowel), _PITCHES[number % len(_PITCHES)]))
            number += 1
        pause = _PAUSE_SECONDS if word[-1] in ".,;:!?" else _GAP_SECONDS
        sound.extend(array("h", bytes(2 * int(pause * SAMPLE_RATE))))
    return sound


def duration(sound: array[int]) -> float:
    """Length of the sound in seconds."""
    return len(sound) / SAMPLE_RATE


@functools.cache
def room_tone() -> array[int]:
    """One second of a quiet room: frames flow, and a meter shows life, before anybody speaks."""
    noise = random.Random(7)
    return array("h", (int(noise.gauss(0, 60)) for _ in range(SAMPLE_RATE)))


def _heard(letters: str) -> str:
    return "i" if letters[0] == "y" else letters[0]


@functools.cache
def _syllable(vowel: str, pitch: float) -> array[int]:
    count = int(_SYLLABLE_SECONDS * SAMPLE_RATE)
    signal = _glottal_pulses(count, pitch)
    for frequency, bandwidth in zip(_FORMANTS[vowel], _BANDWIDTHS, strict=True):
        signal = _resonate(signal, frequency, bandwidth)
    loudest = max(abs(sample) for sample in signal)
    return array(
        "h", (int(sample / loudest * _PEAK * _envelope(i / count)) for i, sample in enumerate(signal))
    )


def _glottal_pulses(count: int, pitch: float) -> list[float]:
    """Pulses that fall a little in pitch, as a syllable does, on a breath of noise for its consonant."""
    breath = random.Random(count)
    pulses, phase = [0.0] * count, 0.0
    for i in range(count):
        phase += pitch * (1.08 - 0.16 * i / count) / SAMPLE_RATE
        if phase >= 1.0:
            phase -= 1.0
            pulses[i] = 1.0
        pulses[i] += breath.gauss(0, 0.25 if i < count * 0.12 else 0.01)
    return pulses


def _resonate(signal: list[float], frequency: float, bandwidth: float) -> list[float]:
    """A two-pole resonator at `frequency` Hz."""
    radius = math.exp(-math.pi * bandwidth / SAMPLE_RATE)
    first = 2 * radius * math.cos(2 * math.pi * frequency / SAMPLE_RATE)
    second = -radius * radius
    before, earlier, out = 0.0, 0.0, []
    for sample in signal:
        before, earlier = (1 - radius) * sample + first * before + second * earlier, before
        out.append(before)
    return out


def _envelope(position: float) -> float:
    """Fast attack, slow release; position runs from 0 to 1."""
    return min(1.0, position / 0.08, (1.0 - position) / 0.35)
