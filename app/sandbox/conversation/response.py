"""What the partner answers. No I/O.

It understands nothing; it repeats what it was told, so that a person and a test can see that it was heard.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..peer.voice import Utterance, VoiceTrack, speech
from .items import Items, text_of
from .outbox import Outbox, new_id

HELLO = (
    "Hello! I am the provider in a box. Your offer was relayed, and this voice comes straight to you. "
    "Say something, or type something."
)
# Longer texts are not read out whole.
ECHO_WORDS = 40


@dataclass(frozen=True, slots=True)
class Reply:
    """Words to say, or a tool to call with these arguments (JSON text)."""

    words: str = ""
    tool: str | None = None
    arguments: str = "{}"


def reply_to(items: Sequence[Mapping[str, Any]], session: Mapping[str, Any], instructions: Any) -> Reply:
    """The answer to the newest item.

    A response's own `instructions` that quote something to say are obeyed; a message that names one of the
    session's tools calls it; a tool's output is read out; everything else is repeated.
    """
    if isinstance(instructions, str) and (quoted := _quoted(instructions)):
        return Reply(quoted)
    newest = next((i for i in reversed(items) if i.get("role") not in ("assistant", "system")), None)
    if newest is None:
        return Reply(HELLO)
    if newest["type"] == "function_call_output":
        return Reply(f"The tool answered: {_short(str(newest['output']))}")
    said = text_of(dict(newest))
    if not said:
        return Reply("I heard you.")
    tool = _tool_named_in(said, session.get("tools"))
    if tool is not None:
        return Reply(tool=tool)
    if newest["content"][0]["type"] == "input_audio":
        return Reply(f"I heard {said}.")
    return Reply(f"You said: {_short(said)}")


def _quoted(instructions: str) -> str | None:
    parts = instructions.split('"')
    return _short(parts[1]) if len(parts) >= 3 and parts[1].strip() else None


def _short(text: str) -> str:
    words = text.split()
    return " ".join(words[:ECHO_WORDS]) + (" and so on." if len(words) > ECHO_WORDS else "")


def _tool_named_in(said: str, tools: Any) -> str | None:
    for tool in tools if isinstance(tools, list) else ():
        name = tool.get("name") if isinstance(tool, dict) and tool.get("type") == "function" else None
        if isinstance(name, str) and (name in said or name.replace("_", " ") in said.lower()):
            return name
    return None


# --- One response of the partner: its events, and its sound -------------------------------------
#
# Source of the order: OpenAI's guide "Realtime conversations"; of the shapes: the types of its Python SDK.
# Words are made faster than they are spoken, as a model does, so `response.done` comes before the sound has
# ended.


# Seconds to make one word; to speak it takes about five times as long.
WORD_SECONDS = 0.06


class Response:
    """A response in progress. `cancel` and `silence` end its making and its sound."""

    def __init__(
        self, outbox: Outbox, items: Items, voice: VoiceTrack, reply: Reply, asked: dict[str, Any]
    ) -> None:
        self.id = new_id("resp")
        self.active = True
        self._outbox = outbox
        self._items = items
        self._voice = voice
        self._reply = reply
        self._audio = asked["output_modalities"] != ["text"]
        self._asked = asked
        self._item: dict[str, Any] | None = None
        self._utterance: Utterance | None = None
        self._cancelled: str | None = None
        self._cleared = False

    @property
    def item_id(self) -> str | None:
        """The item that it makes, once it is begun."""
        return None if self._item is None else str(self._item["id"])

    @property
    def audible(self) -> bool:
        """Whether its sound is still going out."""
        return self._utterance is not None and not self._utterance.over.is_set()

    def cancel(self, reason: str) -> None:
        """Make no more words; what was made is still spoken. `reason` is for `status_details`."""
        self._cancelled = self._cancelled or reason

    def silence(self) -> None:
        """Drop the sound that has not gone out."""
        if self._utterance is not None and self.audible:
            self._cleared = True
            self._utterance.cut()

    async def run(self) -> None:
        """Make it to its end, and its sound to the last sample."""
        self._outbox.send("response.created", response=self._shown("in_progress"))
        try:
            if self._reply.tool is not None:
                self._call_tool(self._reply.tool)
            elif self._audio:
                await self._speak()
            else:
                await self._write()
        finally:
            self.active = False
        self._outbox.send("response.done", response=self._shown(self._outcome()))
        if self._utterance is not None:
            await self._utterance.over.wait()
            kind = "cleared" if self._cleared else "stopped"
            self._outbox.send(f"output_audio_buffer.{kind}", response_id=self.id)

    def _outcome(self) -> str:
        return "cancelled" if self._cancelled else "completed"

    def _call_tool(self, name: str) -> None:
        item = self._begin(
            {"type": "function_call", "name": name, "call_id": new_id("call"), "arguments": ""}
        )
        arguments = self._reply.arguments
        place = {"response_id": self.id, "item_id": item["id"], "output_index": 0, "call_id": item["call_id"]}
        self._outbox.send("response.function_call_arguments.delta", delta=arguments, **place)
        item["arguments"] = arguments
        self._outbox.send("response.function_call_arguments.done", arguments=arguments, name=name, **place)
        self._finish()

    async def _speak(self) -> None:
        item = self._begin({"type": "message", "role": "assistant", "content": []})
        place = {"response_id": self.id, "item_id": item["id"], "output_index": 0, "content_index": 0}
        self._outbox.send("response.content_part.added", part={"type": "audio", "transcript": ""}, **place)
        self._utterance = self._voice.say()
        self._outbox.send("output_audio_buffer.started", response_id=self.id)
        spoken = ""
        try:
            async for delta in self._words():
                spoken += delta
                sound = speech(delta)
                self._utterance.feed(sound)
                self._outbox.send_audio("response.output_audio.delta", sound.tobytes(), **place)
                self._outbox.send("response.output_audio_transcript.delta", delta=delta, **place)
        finally:
            self._utterance.finish()
        item["content"] = [{"type": "output_audio", "transcript": spoken}]
        self._outbox.send("response.output_audio.done", **place)
        self._outbox.send("response.output_audio_transcript.done", transcript=spoken, **place)
        self._outbox.send("response.content_part.done", part={"type": "audio", "transcript": spoken}, **place)
        self._finish()

    async def _write(self) -> None:
        item = self._begin({"type": "message", "role": "assistant", "content": []})
        place = {"response_id": self.id, "item_id": item["id"], "output_index": 0, "content_index": 0}
        self._outbox.send("response.content_part.added", part={"type": "text", "text": ""}, **place)
        written = ""
        async for delta in self._words():
            written += delta
            self._outbox.send("response.output_text.delta", delta=delta, **place)
        item["content"] = [{"type": "output_text", "text": written}]
        self._outbox.send("response.output_text.done", text=written, **place)
        self._outbox.send("response.content_part.done", part={"type": "text", "text": written}, **place)
        self._finish()

    async def _words(self) -> Any:
        for number, word in enumerate(self._reply.words.split()):
            if self._cancelled:
                return
            yield word if number == 0 else f" {word}"
            await asyncio.sleep(WORD_SECONDS)

    def _begin(self, fields: dict[str, Any]) -> dict[str, Any]:
        self._item = {"id": new_id("item"), "object": "realtime.item", "status": "in_progress", **fields}
        self._outbox.send("response.output_item.added", response_id=self.id, output_index=0, item=self._item)
        previous = self._items.add(self._item)
        self._outbox.send("conversation.item.added", previous_item_id=previous, item=self._item)
        return self._item

    def _finish(self) -> None:
        if self._item is None:
            return
        self._item["status"] = "incomplete" if self._cancelled else "completed"
        self._outbox.send("conversation.item.done", previous_item_id=None, item=self._item)
        self._outbox.send("response.output_item.done", response_id=self.id, output_index=0, item=self._item)

    def _shown(self, status: str) -> dict[str, Any]:
        done = status != "in_progress"
        details = {"type": status, **({"reason": self._cancelled} if self._cancelled else {})}
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": status,
            "status_details": details if done and self._cancelled else None,
            "output": [self._item] if done and self._item is not None else [],
            "usage": self._usage() if done else None,
            **self._asked,
        }

    def _usage(self) -> dict[str, Any]:
        """Token counts in the provider's shape; a word counts as one text token and, spoken, ten of audio."""
        words = len(self._reply.words.split())
        heard = 12 * len(self._items.all)
        audio = 10 * words if self._audio else 0
        return {
            "total_tokens": heard + words + audio,
            "input_tokens": heard,
            "output_tokens": words + audio,
            "input_token_details": {"text_tokens": heard, "audio_tokens": 0, "cached_tokens": 0},
            "output_token_details": {"text_tokens": words, "audio_tokens": audio},
        }
