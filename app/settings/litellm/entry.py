"""One entry of LiteLLM's ``model_list``: its names, and whether it is a realtime model that is served here.

Only the variables in its names are looked up, and no credential is read, so an entry that is left out needs
none. Sources: LiteLLM's pages "Config.yaml" and "/realtime", its list of models and their modes (release
1.110), and OpenAI's names in that list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from app.settings.base import SettingsError
from app.settings.litellm.sections import LiteLlmEnvironment, LiteLlmNote
from app.telemetry.redaction import one_safe_line

# A transcription model serves transcription sessions, and a realtime session may name it for its input.
Kind = Literal["realtime", "transcription"]

# The first sign counts: gpt-realtime-whisper has two of them and is served as either.
_SIGNS: Final[Mapping[str, Kind]] = {
    "realtime": "realtime",
    "transcribe": "transcription",
    "whisper": "transcription",
}
# OpenAI's families without realtime sessions by ephemeral key; looked for only in a name without a sign.
_OTHER_FAMILIES: Final = re.compile(
    r"(?:ft:)?(?:"
    r"gpt-(?:\d|(?:audio|chat|daybreak|image|live|oss|rosalind)(?![a-z]))"
    r"|(?:chatgpt|codex|computer-use|dall-e|daybreak|omni-moderation|sora|tts)-"
    r"|text-(?:ada|babbage|curie|davinci|embedding|moderation|similarity)-"
    r"|o\d+(?![a-z\d])"
    r"|(?:ada|babbage|chat-latest|curie|davinci|model-router)(?![a-z])"
    r")"
)
# LiteLLM takes these off a model's name and calls that route, which is for text.
_TEXT_ROUTES: Final = ("o_series/", "gpt5_series/", "responses/")
_MODES: Final[Mapping[str, Kind]] = {"realtime": "realtime", "audio_transcription": "transcription"}
# LiteLLM's provider prefixes that are served here; entries with others are left out.
SERVED_PROVIDERS: Final = ("azure", "openai")
_ANY: Final = "*"
_KEYS: Final = ("model_name", "litellm_params", "model_info")
# ``model_info`` may have fields of our deployment under this key. LiteLLM ignores unknown keys there, so one
# file serves both programs.
OWN_FIELDS: Final = "cloakroom"


@dataclass(frozen=True, slots=True)
class LiteLlmEntry:
    """An entry with its names looked up, and the other values as they were written.

    ``upstream`` is ``litellm_params.model`` whole, ``provider`` its prefix (or ``custom_llm_provider``; None
    where it has neither), ``model`` the rest of it. ``others`` are keys that LiteLLM's pages do not have.
    """

    place: str
    model_name: str
    upstream: str
    named_provider: str | None
    model: str
    params: Mapping[str, Any]
    info: Mapping[str, Any]
    others: tuple[str, ...] = ()

    @property
    def provider(self) -> str:
        """The provider; a bare name is OpenAI's, like all realtime models in LiteLLM's list."""
        return self.named_provider or "openai"

    @property
    def says_mode(self) -> bool:
        """Whether the entry has a mode, and its kind is not only taken from its name."""
        return _mode(self.info) is not None

    @property
    def base_model(self) -> str:
        """The model of an Azure deployment, or an empty text. LiteLLM reads it in both places."""
        return str(self.info.get("base_model") or self.params.get("base_model") or "")

    @property
    def kind(self) -> Kind | None:
        """What it serves, by its mode or else by its names: the alias, the model or the base model.

        None where nothing says it: LiteLLM requires no mode, and an Azure deployment or a model at a private
        server can have any name.
        """
        mode = _mode(self.info)
        if mode is not None:
            return _MODES.get(mode)
        return kind_of((self.model_name, self.model, self.base_model))

    @property
    def is_meant(self) -> bool:
        """Whether the file clearly wants it served here; a mistake in it then stops the start."""
        return self.kind == "realtime" or self.info.get(OWN_FIELDS) is not None


def entry_place(number: int, raw: Any) -> str:
    """The place of an entry in notes and errors: its number, counted from 1, and its name."""
    name = raw.get("model_name") if isinstance(raw, dict) else None
    return f"model_list entry {number}" + (f" ({one_safe_line(str(name), limit=80)})" if name else "")


def other_mode(raw: Any) -> str | None:
    """``model_info.mode`` where it is not one that is served here; the entry is then not read any further."""
    info = raw.get("model_info") if isinstance(raw, dict) else None
    mode = _mode(info) if isinstance(info, dict) else None
    return one_safe_line(mode, limit=40) if mode is not None and mode not in _MODES else None


def _mode(info: Mapping[str, Any]) -> str | None:
    """``mode`` as text; None where it is empty."""
    mode = info.get("mode")
    return None if mode is None else str(mode).strip() or None


def read_entry(place: str, raw: Any, environment: LiteLlmEnvironment) -> LiteLlmEntry:
    """Read an entry's names.

    Raises:
        SettingsError: it has no name or no model, or a name is in a variable that is not set.
    """
    if not isinstance(raw, dict):
        raise SettingsError(f"{place}: must be a mapping with model_name and litellm_params")
    params, info = raw.get("litellm_params"), raw.get("model_info") or {}
    if not isinstance(params, dict) or not isinstance(info, dict):
        raise SettingsError(f"{place}: litellm_params and model_info must be mappings")
    model_name = environment.text(place, "model_name", raw.get("model_name"))
    upstream = environment.text(place, "litellm_params.model", params.get("model"))
    if model_name is None or upstream is None:
        raise SettingsError(f"{place}: model_name or litellm_params.model is missing")
    named = environment.text(place, "custom_llm_provider", params.get("custom_llm_provider"))
    provider, model = _split(upstream, named)
    others = tuple(str(key) for key in raw if key not in _KEYS)
    return LiteLlmEntry(place, model_name, upstream, provider, model, params, info, others)


def _split(upstream: str, named: str | None) -> tuple[str | None, str]:
    """Provider and model; ``named`` is ``custom_llm_provider``, which wins over a prefix."""
    prefix, slash, rest = upstream.partition("/")
    if named is not None:
        return named, rest if slash and prefix == named else upstream
    return (prefix, rest) if slash else (None, upstream)


def left_out(entry: LiteLlmEntry) -> LiteLlmNote | None:
    """The note that says why an entry is not served; None where it is served."""
    why = _why_not(entry)
    if why is None:
        return None
    return LiteLlmNote.leaving_out("warning" if entry.kind == "realtime" else "info", entry.place, why)


def _why_not(entry: LiteLlmEntry) -> str | None:
    if _ANY in entry.model_name or _ANY in entry.model:
        return "it is a wildcard; give each realtime model its own entry"
    if entry.provider not in SERVED_PROVIDERS:
        return (
            f"the provider {one_safe_line(entry.provider, limit=40)!r} is not served; if it keeps OpenAI's "
            "realtime paths, write openai/MODEL with its api_base"
        )
    if entry.kind is not None:
        return None
    other = _other_model(entry)
    if other is not None:
        return f"{other}; if it is one, set model_info.mode: realtime"
    if entry.named_provider is None:
        return "its name has neither a provider nor 'realtime' in it; if OpenAI has it, write openai/MODEL"
    return None


def _other_model(entry: LiteLlmEntry) -> str | None:
    """Why it is known not to be a realtime model. An Azure deployment's name is not its model's."""
    route = text_route(entry.model)
    if route is not None:
        return f"{route} before its name is LiteLLM's route for text, not for a realtime model"
    if is_other_model(entry.base_model):
        return f"its base_model {_shown(entry.base_model)} is no realtime model"
    if entry.provider != "azure" and is_other_model(entry.model):
        return f"its model {_shown(entry.model)} is no realtime model"
    return None


def _shown(name: str) -> str:
    return one_safe_line(name, limit=80)


def kind_of(names: Iterable[str]) -> Kind | None:
    """The kind that one of these names tells; None where none of them tells it."""
    joined = " ".join(names).lower()
    return next((kind for sign, kind in _SIGNS.items() if sign in joined), None)


def is_other_model(name: str) -> bool:
    """Whether a model of this name is known to be of neither kind; ``azure/eu/gpt-4o`` is ``gpt-4o``."""
    return _OTHER_FAMILIES.match(name.rpartition("/")[2].lower()) is not None


def text_route(model: str) -> str | None:
    """The text route that an upstream name begins with, if there is one."""
    return next((route for route in _TEXT_ROUTES if model.startswith(route)), None)
