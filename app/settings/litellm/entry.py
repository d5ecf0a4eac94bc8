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
from app.settings.litellm.names import Kind, is_other_model, kind_of, text_route
from app.telemetry.redaction import one_safe_line

_MODES: Final[Mapping[str, Kind]] = {"realtime": "realtime", "audio_transcription": "transcription"}
# LiteLLM's provider prefixes that stand for an API of ours; its others are left out.
SERVED_PROVIDERS: Final = ("azure", "openai")
_ANY: Final = "*"
_KEYS: Final = ("model_name", "litellm_params", "model_info")
# Where an entry may hold what LiteLLM has no name for: fields of our own deployment. LiteLLM keeps any key
# of ``model_info`` and does nothing with it, so the file stays good for both programs.
OWN_FIELDS: Final = "cloakroom"


@dataclass(frozen=True, slots=True)
class LiteLlmNote:
    """What was made of a part of the file, for the start's log and for ``cloakroom doctor``.

    ``level`` is ``warning`` where something that was probably wanted does not happen. ``entry`` is the
    place in the file. ``reason`` says why the entry is left out, and is None where it is not. None of them
    holds a value that could be a secret.
    """

    level: Literal["info", "warning"]
    entry: str
    text: str
    reason: str | None = None

    @classmethod
    def leaving_out(cls, level: Literal["info", "warning"], entry: str, reason: str) -> LiteLlmNote:
        """The note on an entry that is not served."""
        return cls(level, entry, f"left out: {reason}", reason)

    def __str__(self) -> str:
        return f"{self.entry}: {self.text}"


@dataclass(frozen=True, slots=True)
class LiteLlmEntry:
    """An entry whose names are read; the other values still stand as they were written.

    ``upstream`` is ``litellm_params.model`` whole, ``provider`` its prefix (or ``custom_llm_provider``; None
    where it has neither), ``model`` the rest of it. ``others`` are the entry's keys that LiteLLM's pages do
    not know.
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
        """LiteLLM knows a bare name's provider from its list; the realtime models in it are OpenAI's."""
        return self.named_provider or "openai"

    @property
    def says_mode(self) -> bool:
        """Whether the file itself says what it is, rather than a name that sounds like it."""
        return _mode(self.info) is not None

    @property
    def base_model(self) -> str:
        """The model behind an Azure deployment, if the entry names it; LiteLLM looks in both places."""
        return str(self.info.get("base_model") or self.params.get("base_model") or "")

    @property
    def kind(self) -> Kind | None:
        """What it serves, by its mode, or by a name that says it: the alias, the model or the base model.

        None where nothing says it. LiteLLM asks for no mode, and the name of an Azure deployment, or of a
        model at a server of one's own, may be any.
        """
        mode = _mode(self.info)
        if mode is not None:
            return _MODES.get(mode)
        return kind_of((self.model_name, self.model, self.base_model))

    @property
    def is_meant(self) -> bool:
        """Whether it is surely meant to be served here, so that a mistake in it must stop the start."""
        return self.kind == "realtime" or self.info.get(OWN_FIELDS) is not None


def entry_place(number: int, raw: Any) -> str:
    """Where an entry stands, for notes and errors: its number, counted from 1, and its name."""
    name = raw.get("model_name") if isinstance(raw, dict) else None
    return f"model_list entry {number}" + (f" ({one_safe_line(str(name), limit=80)})" if name else "")


def other_mode(raw: Any) -> str | None:
    """``model_info.mode`` where it says that the entry is nothing for us: such a one is not looked into."""
    info = raw.get("model_info") if isinstance(raw, dict) else None
    mode = _mode(info) if isinstance(info, dict) else None
    return one_safe_line(mode, limit=40) if mode is not None and mode not in _MODES else None


def _mode(info: Mapping[str, Any]) -> str | None:
    """``mode`` as text; an empty one says nothing."""
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
    """Provider and model; ``named`` is ``custom_llm_provider``, which goes before a prefix."""
    prefix, slash, rest = upstream.partition("/")
    if named is not None:
        return named, rest if slash and prefix == named else upstream
    return (prefix, rest) if slash else (None, upstream)


def left_out(entry: LiteLlmEntry) -> LiteLlmNote | None:
    """Say why an entry is not served; None where it is."""
    why = _why_not(entry)
    if why is None:
        return None
    return LiteLlmNote.leaving_out("warning" if entry.kind == "realtime" else "info", entry.place, why)


def _why_not(entry: LiteLlmEntry) -> str | None:
    if _ANY in entry.model_name or _ANY in entry.model:
        return "it is a wildcard; give each realtime model an entry of its own"
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
        return "neither a provider nor 'realtime' stands in its name; if OpenAI has it, write openai/MODEL"
    return None


def _other_model(entry: LiteLlmEntry) -> str | None:
    """What says that it is no realtime model. The name of an Azure deployment is not the model's."""
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
