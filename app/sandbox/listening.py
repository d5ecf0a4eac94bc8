"""Hearing when somebody speaks: a voice activity detector by energy. No I/O."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

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
