"""The audio track that the provider sends: a quiet room, in which utterances are spoken."""

from __future__ import annotations

import asyncio
from array import array
from collections import deque
from fractions import Fraction

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame

from .voice import SAMPLE_RATE, room_tone

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
        """End the track; nobody waits for an utterance that will not be heard."""
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
