"""LiteLLM's file beside its ``model_list``: the other sections, and what every part of the file uses.

A value may name a variable (``os.environ/NAME``), and entries may share a credential. The master key becomes
a client. Every other section gets a note that it is not used.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from app.settings.base import SettingsError
from app.settings.secrets import MAKE_KEYS, check_api_key
from app.telemetry.redaction import one_safe_line

# The client that is made of general_settings.master_key.
MASTER: Final = "master"

_VARIABLE: Final = "os.environ/"
_CREDENTIAL_NAME: Final = "litellm_credential_name"
_GENERAL: Final = "general_settings"
_KEY_PLACE: Final = f"{_GENERAL}.master_key"
# Azure entries without a credential then sign in as the machine does.
_AMBIENT_ENTRA: Final = "enable_azure_ad_token_refresh"
_READ: Final[Mapping[str, Collection[str]]] = {
    _GENERAL: ("master_key",),
    "router_settings": ("model_group_alias",),
    "litellm_settings": (_AMBIENT_ENTRA,),
}
_READ_WHOLE: Final = ("model_list", "credential_list")


@dataclass(frozen=True, slots=True)
class LiteLlmNote:
    """What happens to a part of the file, for the start's log and for ``cloakroom doctor``.

    ``level`` is ``warning`` where something probably wanted does not happen. ``entry`` is the place in the
    file. ``reason`` says why an entry is left out; None where it is served. No field holds a value that could
    be a secret.
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


class LiteLlmEnvironment:
    """The variables that a file may name.

    Args:
        environ: the process's variables.
        section: the file's ``environment_variables``; the process's variables win over them, as in LiteLLM.
    """

    def __init__(self, environ: Mapping[str, str], section: Any) -> None:
        own = section if isinstance(section, dict) else {}
        # An entry that names itself (NAME: os.environ/NAME) adds nothing.
        plain = {str(name): str(value) for name, value in own.items() if not str(value).startswith(_VARIABLE)}
        self._variables = ChainMap(environ, plain)

    def text(self, place: str, key: str, value: Any) -> str | None:
        """The value as text, or the text of the variable that it names; None where it is empty or missing.

        Raises:
            SettingsError: the variable is not set; the message names the entry, the key and the variable.
        """
        if value is None:
            return None
        text = str(value).strip()
        if not text.startswith(_VARIABLE):
            return text or None
        name = text.removeprefix(_VARIABLE)
        if name not in self._variables:
            # It may be the key itself, written behind the prefix.
            shown = one_safe_line(name, limit=80)
            raise SettingsError(f"{place}: {key} names the environment variable {shown}, which is not set")
        return self._variables[name].strip() or None

    def resolved(self, place: str, key: str, value: Any) -> Any:
        """A value with every reference in it replaced, at any depth.

        Raises:
            SettingsError: as ``text``.
        """
        if isinstance(value, dict):
            return {str(name): self.resolved(place, f"{key}.{name}", item) for name, item in value.items()}
        if isinstance(value, list):
            return [self.resolved(place, key, item) for item in value]
        return self.text(place, key, value) if isinstance(value, str) else value

    def first(self, *names: str) -> str | None:
        """The first of these variables that is set and not empty."""
        return next((value for name in names if (value := self._variables.get(name, "").strip())), None)


def shared_credentials(credential_list: Any) -> dict[str, Mapping[str, Any]]:
    """The values of ``credential_list`` by name; ``litellm_credential_name`` of an entry refers to one."""
    found: dict[str, Mapping[str, Any]] = {}
    for item in credential_list if isinstance(credential_list, list) else []:
        values = item.get("credential_values") if isinstance(item, dict) else None
        if isinstance(values, dict):
            found[str(item.get("credential_name"))] = values
    return found


def with_credential(raw: Any, credentials: Mapping[str, Mapping[str, Any]]) -> Any:
    """Add the credential that the entry names to its parameters, which win over it, as in LiteLLM."""
    params = raw.get("litellm_params") if isinstance(raw, dict) else None
    if not isinstance(params, dict) or params.get(_CREDENTIAL_NAME) is None:
        return raw
    shared = credentials.get(str(params[_CREDENTIAL_NAME]), {})
    return {**raw, "litellm_params": {**shared, **params}}


def check_credential(
    place: str, params: Mapping[str, Any], credentials: Mapping[str, Mapping[str, Any]]
) -> None:
    """Refuse an entry whose shared credential is missing. Only served entries are checked.

    LiteLLM may have the credentials of the others in its database.

    Raises:
        SettingsError: the credential is not in ``credential_list``.
    """
    name = params.get(_CREDENTIAL_NAME)
    if name is not None and str(name) not in credentials:
        shown = one_safe_line(str(name), limit=80)
        raise SettingsError(f"{place}: {_CREDENTIAL_NAME} {shown!r} is not in credential_list")


def master_client(
    general_settings: Any, environment: LiteLlmEnvironment
) -> tuple[dict[str, Any], list[LiteLlmNote]]:
    """``{"clients": ...}`` from LiteLLM's master key, or nothing and a note that says what to do instead.

    A key that cannot be used is no error, since ``CLOAKROOM_API_KEYS`` may name the clients.
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
    """Notes on everything in the file besides models and the master key."""
    for name, value in loaded.items():
        if name in _READ_WHOLE:
            continue
        if name == "environment_variables":
            text = "only used for the variables that entries name with os.environ/"
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
