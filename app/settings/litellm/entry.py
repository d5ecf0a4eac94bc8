"""One entry of LiteLLM's ``model_list``: what it names, and whether it is a realtime model of ours.

Nothing here resolves a variable or reads a credential, so an entry that is left out needs none of its own.
Sources: LiteLLM's pages "Config.yaml" and "/realtime", and contracts, section 6.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from app.settings.error import SettingsError
from app.settings.litellm.environment import LiteLlmEnvironment
from app.telemetry.redaction import one_safe_line

# A transcription model is what a session of that kind asks for, and what a realtime session may name for
# the caller's words.
Kind = Literal["realtime", "transcription"]
_MODES: Final[Mapping[str, Kind]] = {"realtime": "realtime", "audio_transcription": "transcription"}
# In this order: gpt-realtime-whisper bears two of them, and is served as either.
_SIGNS: Final[Mapping[str, Kind]] = {
    "realtime": "realtime",
    "transcribe": "transcription",
    "whisper": "transcription",
}
# LiteLLM's provider prefixes that stand for an API of ours; its others are left out.
SERVED_PROVIDERS: Final = ("azure", "openai")
_ANY: Final = "*"
_KEYS: Final = ("model_name", "litellm_params", "model_info")


@dataclass(frozen=True, slots=True)
class LiteLlmNote:
    """What was made of a part of the file, for the start's log and for ``cloakroom doctor``.

    ``level`` is ``warning`` where something that was probably wanted does not happen. ``entry`` is the
    place in the file. Neither ``entry`` nor ``text`` holds a value that could be a secret.
    """

    level: Literal["info", "warning"]
    entry: str
    text: str

    def __str__(self) -> str:
        return f"{self.entry}: {self.text}"


@dataclass(frozen=True, slots=True)
class LiteLlmEntry:
    """An entry whose names are read; the other values still stand as they were written.

    ``upstream`` is ``litellm_params.model`` whole, ``provider`` its prefix (or ``custom_llm_provider``),
    ``model`` the rest of it. ``others`` are the entry's keys that LiteLLM's pages do not know.
    """

    place: str
    model_name: str
    upstream: str
    provider: str
    model: str
    params: Mapping[str, Any]
    info: Mapping[str, Any]
    others: tuple[str, ...] = ()

    @property
    def says_mode(self) -> bool:
        """Whether the file itself says what it is, rather than a name that sounds like it."""
        return self.info.get("mode") is not None

    @property
    def kind(self) -> Kind | None:
        """What it serves, by its mode; without one, which LiteLLM does not ask for, by its names.

        These are the alias, the upstream model's, and the base model's that LiteLLM wants beside an Azure
        deployment's name.
        """
        if self.says_mode:
            return _MODES.get(str(self.info["mode"]))
        names = f"{self.model_name} {self.model} {self.info.get('base_model', '')}".lower()
        return next((kind for sign, kind in _SIGNS.items() if sign in names), None)


def entry_place(number: int, raw: Any) -> str:
    """Where an entry stands, for notes and errors: its number, counted from 1, and its name."""
    name = raw.get("model_name") if isinstance(raw, dict) else None
    return f"model_list entry {number}" + (f" ({one_safe_line(str(name), limit=80)})" if name else "")


def other_mode(raw: Any) -> str | None:
    """``model_info.mode`` where it says that the entry is nothing for us: such a one is not looked into."""
    info = raw.get("model_info") if isinstance(raw, dict) else None
    mode = info.get("mode") if isinstance(info, dict) else None
    return one_safe_line(str(mode), limit=40) if mode is not None and str(mode) not in _MODES else None


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


def _split(upstream: str, named: str | None) -> tuple[str, str]:
    """Provider and model; ``named`` is ``custom_llm_provider``, which goes before a prefix."""
    prefix, slash, rest = upstream.partition("/")
    if named is not None:
        return named, rest if slash and prefix == named else upstream
    # LiteLLM knows a bare name's provider from its list of models; the realtime ones in it are OpenAI's.
    return (prefix, rest) if slash else ("openai", upstream)


def left_out(entry: LiteLlmEntry) -> LiteLlmNote | None:
    """Say why an entry is not served; None where it is."""
    level: Literal["info", "warning"] = "warning" if entry.kind == "realtime" else "info"
    if _ANY in entry.model_name or _ANY in entry.model:
        why = "it is a wildcard; give each realtime model an entry of its own"
    elif entry.kind is None:
        why = "no name in it says realtime; if it is a realtime model, set model_info.mode: realtime"
    elif entry.provider not in SERVED_PROVIDERS:
        why = (
            f"the provider {one_safe_line(entry.provider, limit=40)!r} is not served; if it keeps OpenAI's "
            "realtime paths, write openai/MODEL with its api_base"
        )
    else:
        return None
    return LiteLlmNote(level, entry.place, f"left out: {why}")
