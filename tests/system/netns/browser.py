"""``python -m tests.system.netns.browser MINT_URL RELAY_URL``: a browser's side of one call, with real audio.

Three times it speaks for two seconds and then listens. Between its turns the provider answers aloud. The
call stays up until SIGTERM, so that the provider can be asked about it while it lives.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from array import array
from typing import Any, Final

import aiohttp
from av import AudioFrame

from app.sandbox.peer.voice import SAMPLE_RATE, VOICE_RMS, VoiceTrack, loudness, speech
from tests.support.api import minted
from tests.support.webrtc import BrowserPeer

CLIENT_KEY_ENV = "NETNS_CLIENT_KEY"
SECONDS: Final = 10
TURNS: Final = 3
TURN_SECONDS: Final = 2.0
# From one turn's beginning to the next one's. The last turn ends after SECONDS.
PERIOD_SECONDS: Final = 4.5


class Ears:
    """Counts the frames that arrive: all of them by the second, and those loud enough to be a voice."""

    def __init__(self) -> None:
        self.per_second = [0] * SECONDS
        self.loud = 0
        self._since: float | None = None

    def start(self) -> None:
        """Count from here."""
        self._since = asyncio.get_running_loop().time()

    def hear(self, frame: AudioFrame) -> None:
        """Take one frame."""
        if self._since is None:
            return
        second = int(asyncio.get_running_loop().time() - self._since)
        if second < SECONDS:
            self.per_second[second] += 1
        samples = array("h")
        # The plane may be longer than its samples.
        samples.frombytes(bytes(frame.planes[0])[: frame.samples * len(frame.layout.channels) * 2])
        self.loud += loudness(samples) >= VOICE_RMS


def _two_seconds_of_speech() -> array[int]:
    sound: array[int] = array("h")
    while len(sound) < TURN_SECONDS * SAMPLE_RATE:
        sound.extend(speech("Does this sound go around the service? "))
    return sound[: int(TURN_SECONDS * SAMPLE_RATE)]


async def _speak(voice: VoiceTrack, sound: array[int]) -> None:
    loop = asyncio.get_running_loop()
    for turn in range(TURNS):
        next_turn = loop.time() + PERIOD_SECONDS
        utterance = voice.say()
        utterance.feed(sound)
        utterance.finish()
        await utterance.over.wait()
        if turn + 1 < TURNS:
            await asyncio.sleep(next_turn - loop.time())


async def _turns_heard(peer: BrowserPeer) -> list[tuple[int, int]]:
    """When the provider heard each turn begin and end, in milliseconds of the audio that it received."""
    heard = []
    for _ in range(TURNS):
        started = await peer.event("input_audio_buffer.speech_started")
        stopped = await peer.event("input_audio_buffer.speech_stopped")
        heard.append((started["audio_start_ms"], stopped["audio_end_ms"]))
    return heard


async def call(mint_url: str, relay_url: str) -> None:
    """Mint at one replica, relay at the other, talk, and report."""
    sound = _two_seconds_of_speech()  # before the call: making it takes a while
    voice, ears = VoiceTrack(), Ears()
    async with aiohttp.ClientSession() as http, BrowserPeer(voice, ears.hear) as peer:
        handle = await minted(http, mint_url, os.environ[CLIENT_KEY_ENV])
        await peer.connect(http, f"{relay_url}/v1/realtime/calls", handle)
        ears.start()
        turns, _ = await asyncio.gather(_turns_heard(peer), _speak(voice, sound))
        # The answer to the last turn, which nobody interrupts, is heard to its end.
        await peer.event("output_audio_buffer.stopped")
        sent, received = await peer.stats("outbound-rtp"), await peer.stats("inbound-rtp")
        # What the provider reports of the audio that it receives (RTCP receiver reports).
        arrived = await peer.stats("remote-inbound-rtp")
        _tell(
            "report",
            call_id=peer.location.rpartition("/")[2],
            offer=peer.offer,
            answer=peer.answer,
            state=peer.state,
            frames_per_second=ears.per_second,
            loud_frames=ears.loud,
            turns_heard_by_provider=turns,
            packets_sent=sent.packetsSent,
            packets_received=received.packetsReceived,
            packets_received_by_provider=arrived.packetsReceived,
        )
        await asyncio.Event().wait()


def _tell(event: str, **fields: Any) -> None:
    print(json.dumps({"event": event, **fields}), flush=True)


async def main(mint_url: str, relay_url: str) -> None:
    """One call, until SIGTERM."""
    task = asyncio.ensure_future(call(mint_url, relay_url))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
