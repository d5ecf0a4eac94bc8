"""The provider's end of a call as a real WebRTC peer."""

from __future__ import annotations

import asyncio
import re
import socket
from array import array
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame

from ..calls import CallTerms
from ..conversation.live import LiveSession, allows_channel
from ..conversation.outbox import Outbox, Sink, new_id
from ..conversation.translation import Translation
from ..conversation.turns import Conversation
from ..refusals import invalid_offer
from .offers import reachable_part
from .static import answer_text
from .voice import SpeechDetector, UnsentTrack, VoiceTrack, loudness

_FINGERPRINT = re.compile(r"(?<=^a=fingerprint:)(\S+) (\S+)", re.M)
_OTHER_DIGITS = str.maketrans("0123456789ABCDEFabcdef", "FEDCBA9876543210543210")


@dataclass(frozen=True, slots=True)
class PeerLimits:
    """How long, in seconds, an offer may stay unconnected, and a call may last."""

    ice_seconds: float
    call_seconds: float


class RtcPeer:
    """One connection: it speaks and listens, and has a partner on the terms' data channel.

    `ended` is called once, with a reason, when the connection ends by itself: it failed, the browser left,
    none came in time, or the session lasted its full time. Of the terms' faults, `no_path` answers without a
    peer, `wrong_fingerprint` with another certificate's, and `no_audio` sends none of what is spoken.
    """

    def __init__(
        self,
        terms: CallTerms,
        ended: Callable[[str], None],
        *,
        now: float,
        limits: PeerLimits,
        greeting: str,
    ) -> None:
        # An empty list, not None: with None aiortc asks a public STUN server, and this peer stays home.
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._ended = ended
        self._fault = terms.fault
        self._channel = terms.channel
        self._deaf: socket.socket | None = None
        self._limits = limits
        self._voice = VoiceTrack()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._connected = asyncio.Event()
        passes = allows_channel(terms.session) if terms.gpt_live else None
        outbox = Outbox(filtered=terms.filtered, passes=passes)
        session = {"id": new_id("sess"), "expires_at": int(now + limits.call_seconds), **terms.session}
        self._partner: Conversation | Translation | LiveSession
        if terms.gpt_live:
            self._partner = LiveSession(session, outbox, self._voice, self._start, ended)
        elif session["type"] == "translation":
            self._partner = Translation(session, outbox, self._voice, self._start)
        else:
            self._partner = Conversation(session, outbox, self._voice, self._start, greeting)
        self._connection.on("connectionstatechange", self._on_state)
        self._connection.on("datachannel", self._on_channel)
        self._connection.on("track", self._on_track)

    @property
    def state(self) -> str:
        return str(self._connection.connectionState)

    async def answer(self, offer: str) -> str:
        """The SDP answer, with this host's candidates in it."""
        if self._fault == "no_path":
            # Held open and never read, as behind a firewall that drops everything.
            self._deaf = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._deaf.bind(("127.0.0.1", 0))
            self._start(self._watch_the_clock())
            return answer_text(offer, self._deaf.getsockname()[1])
        sent = UnsentTrack(self._voice) if self._fault == "no_audio" else self._voice
        sender = self._connection.addTrack(sent)
        self._opus_only(sender)
        try:
            await self._connection.setRemoteDescription(
                RTCSessionDescription(sdp=reachable_part(offer), type="offer")
            )
            self._no_video()
            await self._connection.setLocalDescription()
        # aiortc's parser meets a bad offer with whatever its code trips on: AssertionError, KeyError,
        # StopIteration...
        except Exception as error:
            raise invalid_offer("it cannot be answered") from error
        self._start(self._watch_the_clock())
        sdp = str(self._connection.localDescription.sdp)
        return _FINGERPRINT.sub(_of_another, sdp) if self._fault == "wrong_fingerprint" else sdp

    def attach(self, sink: Sink) -> None:
        """Send the conversation's events to this sideband too."""
        self._partner.attach(sink)

    def detach(self, sink: Sink) -> None:
        """Send it no more."""
        self._partner.detach(sink)

    def received(self, message: str, sink: Sink) -> None:
        """A client event of this sideband; it acts on the one conversation."""
        self._partner.received(message, sink)

    def ending(self, reason: str) -> None:
        """A Live session tells its end, while its browser can still hear it."""
        if isinstance(self._partner, LiveSession):
            self._partner.ending(reason)

    async def close(self) -> None:
        """End the conversation, the tasks and the connection."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._voice.stop()
        if self._deaf is not None:
            self._deaf.close()
        await self._connection.close()

    def _opus_only(self, sender: RTCRtpSender) -> None:
        opus = [c for c in RTCRtpSender.getCapabilities("audio").codecs if c.mimeType.lower() == "audio/opus"]
        for transceiver in self._connection.getTransceivers():
            if transceiver.sender is sender:
                transceiver.setCodecPreferences(opus)

    def _no_video(self) -> None:
        for transceiver in self._connection.getTransceivers():
            if transceiver.kind != "audio":
                transceiver.direction = "inactive"

    async def _watch_the_clock(self) -> None:
        end = asyncio.get_running_loop().time() + self._limits.call_seconds
        try:
            async with asyncio.timeout(self._limits.ice_seconds):
                await self._connected.wait()
        except TimeoutError:
            self._ended("never_connected")
            return
        await asyncio.sleep(end - asyncio.get_running_loop().time())
        self._ended("session_expired")

    def _on_state(self) -> None:
        # aiortc knows no "disconnected": a browser that leaves is "closed", one that vanished is "failed".
        if self.state == "connected":
            self._connected.set()
        if self.state in ("failed", "closed"):
            self._ended(self.state)

    def _on_channel(self, channel: RTCDataChannel) -> None:
        if channel.label == self._channel:
            channel.on("message", self._partner.received)
            self._partner.open(channel)

    def _on_track(self, track: MediaStreamTrack) -> None:
        if track.kind == "audio":
            self._start(self._listen(track))
        else:
            track.stop()

    async def _listen(self, track: MediaStreamTrack) -> None:
        """Hear every frame: an unread track would fill memory, and speech has its events."""
        detector = SpeechDetector()
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            if not isinstance(frame, AudioFrame):
                continue
            samples = array("h")
            # The plane may be longer than its samples.
            samples.frombytes(bytes(frame.planes[0])[: frame.samples * len(frame.layout.channels) * 2])
            edge = detector.hear(
                loudness(samples),
                1000 * frame.samples / frame.sample_rate,
                self._partner.turn_detection,
            )
            if edge is not None:
                self._partner.heard(edge)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        if self._closed:
            # An event that came with the hang-up still in the air.
            work.close()
            return
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _of_another(fingerprint: re.Match[str]) -> str:
    """The line's fingerprint with each digit replaced by another one."""
    return f"{fingerprint[1]} {fingerprint[2].translate(_OTHER_DIGITS)}"
