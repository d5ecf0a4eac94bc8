"""What the name of a model says: realtime, transcription, known to be neither, or nothing at all.

Sources: LiteLLM's list of models and their modes (release 1.110), and OpenAI's names in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, Literal

# A transcription model is what a session of that kind asks for, and what a realtime session may name for
# the caller's words.
Kind = Literal["realtime", "transcription"]

# In this order: gpt-realtime-whisper bears two of them, and is served as either.
_SIGNS: Final[Mapping[str, Kind]] = {
    "realtime": "realtime",
    "transcribe": "transcription",
    "whisper": "transcription",
}
# OpenAI's families without a realtime session that has an ephemeral key. In a name without a sign only.
_OTHER_FAMILIES: Final = re.compile(
    r"(?:ft:)?(?:"
    r"gpt-(?:\d|(?:audio|chat|daybreak|image|live|oss|rosalind)(?![a-z]))"
    r"|(?:chatgpt|codex|computer-use|dall-e|daybreak|omni-moderation|sora|tts)-"
    r"|text-(?:ada|babbage|curie|davinci|embedding|moderation|similarity)-"
    r"|o\d+(?![a-z\d])"
    r"|(?:ada|babbage|chat-latest|curie|davinci|model-router)(?![a-z])"
    r")"
)
# What LiteLLM takes off a model's name, to call it by that route: all of them for text.
_TEXT_ROUTES: Final = ("o_series/", "gpt5_series/", "responses/")


def kind_of(names: Iterable[str]) -> Kind | None:
    """What one of these names says; None where none of them says anything."""
    joined = " ".join(names).lower()
    return next((kind for sign, kind in _SIGNS.items() if sign in joined), None)


def is_other_model(name: str) -> bool:
    """Whether a model of this name is known to be neither; ``azure/eu/gpt-4o`` is ``gpt-4o``."""
    return _OTHER_FAMILIES.match(name.rpartition("/")[2].lower()) is not None


def text_route(model: str) -> str | None:
    """The route for text that an upstream name begins with, where LiteLLM would not send it as it is."""
    return next((route for route in _TEXT_ROUTES if model.startswith(route)), None)
