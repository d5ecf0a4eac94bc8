"""The rest of LiteLLM's file: the master key becomes a client, everything else is named as not used."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from app.settings.base import SettingsError
from app.settings.litellm.entry import LiteLlmNote
from app.settings.litellm.environment import LiteLlmEnvironment
from app.settings.secrets import MAKE_KEYS, check_api_key
from app.telemetry.redaction import one_safe_line

# The client that is made of general_settings.master_key.
MASTER: Final = "master"

_GENERAL: Final = "general_settings"
_KEY_PLACE: Final = f"{_GENERAL}.master_key"
# Makes LiteLLM sign in at Azure as the machine does, wherever an entry has no credential.
_AMBIENT_ENTRA: Final = "enable_azure_ad_token_refresh"
_READ: Final[Mapping[str, Collection[str]]] = {
    _GENERAL: ("master_key",),
    "router_settings": ("model_group_alias",),
    "litellm_settings": (_AMBIENT_ENTRA,),
}
_READ_WHOLE: Final = ("model_list", "credential_list")


def master_client(
    general_settings: Any, environment: LiteLlmEnvironment
) -> tuple[dict[str, Any], list[LiteLlmNote]]:
    """``{"clients": ...}`` out of LiteLLM's master key, or nothing and a note that says what to do instead.

    A key that is of no use is no error by itself: ``CLOAKROOM_API_KEYS`` may name the clients.
    """
    written = general_settings.get("master_key") if isinstance(general_settings, dict) else None
    try:
        key = environment.text(_GENERAL, "master_key", written) or environment.first("LITELLM_MASTER_KEY")
        if key is None:
            return {}, []
        check_api_key(key)
    except (SettingsError, ValueError) as error:
        text = f"no client is made of it: {error}; name the clients in CLOAKROOM_API_KEYS=name:key"
        return {}, [LiteLlmNote("warning", _KEY_PLACE, text)]
    text = f"is the key of the client '{MASTER}', which may mint for every model and has no admin rights"
    return {"clients": {MASTER: {"api_key": key}}}, [LiteLlmNote("info", _KEY_PLACE, text)]


def wants_ambient_entra(loaded: Mapping[str, Any]) -> bool:
    """Whether Azure entries without a credential sign in as the machine does (azure-identity's default)."""
    settings = loaded.get("litellm_settings")
    return isinstance(settings, dict) and settings.get(_AMBIENT_ENTRA) is True


def section_notes(loaded: Mapping[str, Any]) -> Iterator[LiteLlmNote]:
    """What the file holds besides models and the master key."""
    for name, value in loaded.items():
        if name in _READ_WHOLE:
            continue
        if name == "environment_variables":
            text = "only looked into for the variables that entries name with os.environ/"
            yield LiteLlmNote("info", name, text)
        elif name == "include":
            text = "is not followed: put the included model_list into this file"
            yield LiteLlmNote("warning", name, text)
        elif name in _READ:
            yield from _unused(name, value)
        else:
            yield LiteLlmNote("info", one_safe_line(str(name), limit=80), "is not used")
    general = loaded.get(_GENERAL)
    if isinstance(general, dict) and general.get("database_url") is not None:
        text = "LiteLLM's virtual keys do not work here: give each caller a name:key in CLOAKROOM_API_KEYS"
        yield LiteLlmNote("warning", f"{_GENERAL}.database_url", f"{text}; {MAKE_KEYS}")


def _unused(section: str, value: Any) -> Iterator[LiteLlmNote]:
    keys = sorted(str(key) for key in value if key not in _READ[section]) if isinstance(value, dict) else []
    if keys:
        yield LiteLlmNote("info", section, f"not used: {one_safe_line(', '.join(keys))}")
