"""A synthetic voice: text to speech-like sound, with vowels, syllables and a melody, in plain Python.

It follows the source-filter model of speech: a train of glottal pulses through one resonator for each formant
(Klatt, 1980). It sounds neither like a person nor like a beep.
"""

from __future__ import annotations

import asyncio
import functools
import math
import random
import re
from array import array
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame

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
    """One second of a quiet room: frames flow, and a meter shows life, before anyone speaks."""
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


# --- The audio track that the provider sends: a quiet room, in which utterances are spoken ------


# 20 ms, the frame that WebRTC's Opus uses.
FRAME_SAMPLES = SAMPLE_RATE // 50
# Behind by more than this many seconds, the track drops time instead of sending a burst.
MAX_LAG = 0.2


class Utterance:
    """Sound on its way out, fed while it is spoken. `over` is set when it was heard to its end or cut off."""

    def __init__(self) -> None:
        self._sound: array[int] = array("h")
        self._position = 0
        self._finished = False
        self.over = asyncio.Event()

    def feed(self, sound: array[int]) -> None:
        """Say this next."""
        self._sound.extend(sound)

    def finish(self) -> None:
        """Nothing more will be fed."""
        self._finished = True
        if self._position >= len(self._sound):
            self.over.set()

    def cut(self) -> None:
        """Fall silent now."""
        self.over.set()

    def take(self, count: int) -> array[int]:
        """The next `count` samples, with silence where nothing has been fed yet."""
        samples = self._sound[self._position : self._position + count]
        self._position += len(samples)
        if self._finished and self._position >= len(self._sound):
            self.over.set()
        samples.extend(array("h", bytes(2 * (count - len(samples)))))
        return samples


class VoiceTrack(MediaStreamTrack):
    """Frames of 20 ms, paced by the clock, from the first moment of the connection to its end."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._queue: deque[Utterance] = deque()
        self._room = room_tone()
        self._sent = 0
        self._due: float | None = None

    def say(self) -> Utterance:
        """A new utterance, heard after whatever is being spoken."""
        utterance = Utterance()
        self._queue.append(utterance)
        if self.readyState != "live":
            utterance.cut()
        return utterance

    async def recv(self) -> AudioFrame:
        """The next frame, when it is due."""
        if self.readyState != "live":
            raise MediaStreamError
        now = asyncio.get_running_loop().time()
        if self._due is None or now - self._due > MAX_LAG:
            self._due = now
        await asyncio.sleep(max(0.0, self._due - now))
        self._due += FRAME_SAMPLES / SAMPLE_RATE
        frame = AudioFrame(format="s16", layout="mono", samples=FRAME_SAMPLES)
        frame.planes[0].update(self._samples().tobytes())
        frame.sample_rate = SAMPLE_RATE
        frame.pts = self._sent
        frame.time_base = Fraction(1, SAMPLE_RATE)
        self._sent += FRAME_SAMPLES
        return frame

    def stop(self) -> None:
        """End the track. An utterance that will not be heard is not waited for."""
        super().stop()
        for utterance in self._queue:
            utterance.cut()
        self._queue.clear()

    def _samples(self) -> array[int]:
        while self._queue and self._queue[0].over.is_set():
            self._queue.popleft()
        if not self._queue:
            start = self._sent % (len(self._room) - FRAME_SAMPLES)
            return self._room[start : start + FRAME_SAMPLES]
        return self._queue[0].take(FRAME_SAMPLES)


class UnsentTrack(MediaStreamTrack):
    """Speaks a voice to its end and hands none of it on, so that its sender sends no packet."""

    kind = "audio"

    def __init__(self, voice: VoiceTrack) -> None:
        super().__init__()
        self._voice = voice

    async def recv(self) -> AudioFrame:
        """Never returns; raises when the voice ends."""
        while True:
            await self._voice.recv()


# --- Hearing when the caller speaks: a voice activity detector by energy. No I/O ------------------


# RMS, of 32767, above which a frame counts as voice at the default threshold of 0.5.
VOICE_RMS = 700.0
# Voice must hold this long to be speech: a click, or the test beep of a browser's fake microphone, is none.
ONSET_MS = 100
# One sample in so many is measured; energy does not need them all, and Python is slow.
STRIDE = 8


@dataclass(frozen=True, slots=True)
class SpeechEdge:
    """Speech began or ended; `at_ms` counts from the first audio of the session."""

    kind: Literal["started", "stopped"]
    at_ms: int


def loudness(samples: array[int]) -> float:
    """RMS of 16-bit samples, 0 to 32767."""
    picked = samples[::STRIDE]
    return math.sqrt(sum(s * s for s in picked) / len(picked)) if picked else 0.0


class SpeechDetector:
    """Finds the edges of speech in frames of loudness, by the session's `turn_detection`."""

    def __init__(self) -> None:
        self._elapsed = 0.0
        self._voiced = 0.0
        self._quiet = 0.0
        self.speaking = False

    def hear(
        self, rms: float, milliseconds: float, turn_detection: Mapping[str, Any] | None
    ) -> SpeechEdge | None:
        """Take one frame. None for `turn_detection` means that the client decides its turns alone."""
        self._elapsed += milliseconds
        if turn_detection is None:
            self.reset()
            return None
        threshold = float(turn_detection.get("threshold") or 0.5)
        if rms >= VOICE_RMS * threshold / 0.5:
            self._voiced, self._quiet = self._voiced + milliseconds, 0.0
        else:
            self._voiced, self._quiet = 0.0, self._quiet + milliseconds
        if not self.speaking and self._voiced >= ONSET_MS:
            self.speaking = True
            padding = float(turn_detection.get("prefix_padding_ms") or 0)
            return SpeechEdge("started", max(0, int(self._elapsed - self._voiced - padding)))
        if self.speaking and self._quiet >= float(turn_detection.get("silence_duration_ms") or 500):
            self.speaking = False
            return SpeechEdge("stopped", int(self._elapsed))
        return None

    def reset(self) -> None:
        """Forget what was heard of the current turn; time goes on."""
        self._voiced = self._quiet = 0.0
        self.speaking = False
