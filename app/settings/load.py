"""Reads the settings from an environment mapping and the YAML file that it names.

A variable is ``CLOAKROOM_`` and the field's name, with ``__`` for nesting, and wins over the file. The file
is our own YAML or LiteLLM's ``config.yaml``. A secret may lie in a file (``app.settings.environment``); our
YAML has its path in a field that is called like the secret, with ``_file`` at the end. The providers' usual
names (``OPENAI_API_KEY``, ``AZURE_OPENAI_ENDPOINT``, ...) are enough for a start with one provider. They add
nothing where deployments are configured, so that no variable widens a policy.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import EnvSettingsSource

from app.models import USUAL_MODEL
from app.settings.aliases import problems_in_place
from app.settings.base import SettingsError
from app.settings.checks import problems_of
from app.settings.environment import PREFIX, Variables
from app.settings.litellm import LiteLlmNote, is_litellm, read_litellm
from app.settings.model import Settings
from app.settings.secret_fields import is_secret_field
from app.telemetry.redaction import redact_labels

CONFIG_NAME: Final = "CLOAKROOM_CONFIG"
# What clients ask for that were written before the usual model changed.
_EARLIER_USUAL_MODEL: Final = "gpt-realtime"

# Names of another program under our prefix: the sandbox.
_FOREIGN_NAMES: Final = ("CLOAKROOM_SANDBOX_",)
# Read by the command line only: the address of the admin API, and the key to it.
_COMMAND_LINE_NAMES: Final = frozenset({"CLOAKROOM_ADMIN_URL", "CLOAKROOM_ADMIN_KEY"})
# In our YAML: ``api_key_file`` is the path of a file with the ``api_key``.
_FILE_FIELD: Final = "_file"
_ENV_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """The file's settings in the shape of our own YAML, and the notes on it where it is LiteLLM's."""

    values: dict[str, Any] = field(default_factory=dict, repr=False)
    notes: tuple[LiteLlmNote, ...] = ()


class SettingsSource:
    """What the settings are read from, once or again: an environment, and the files that it names."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = dict(environ)
        self._files: set[str] = set()

    def read(self) -> tuple[Settings, tuple[LiteLlmNote, ...]]:
        """``load_with_notes``.

        Raises:
            SettingsError: also where a file that was read before is a pipe, which may never end.
        """
        for path in sorted(self._files):
            if Path(path).exists() and not Path(path).is_file():
                raise SettingsError(
                    f"{path} is no regular file, so it can be read once only; restart instead"
                )
        variables = Variables(self._environ)
        try:
            found = load_with_notes(variables)
        except SettingsError:
            # It may have stopped before the last file.
            self._files |= variables.files
            raise
        self._files = variables.files
        return found

    def digests(self, beside: Iterable[str] = ()) -> dict[str, bytes]:
        """A digest of each file that was read, and of those ``beside`` them; equal ones: equal contents."""
        return {path: _digest(path) for path in sorted({*self._files, *beside})}


def _digest(path: str) -> bytes:
    file = Path(path)
    try:
        return hashlib.sha256(file.read_bytes()).digest() if file.is_file() or not file.exists() else b""
    except OSError as error:
        return str(error.errno).encode()


class _MappingSource(EnvSettingsSource):
    """pydantic-settings' reading of an environment, from a mapping instead of ``os.environ``."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        super().__init__(Settings)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        # An empty variable counts as not set: Compose files and CI pass such ones through.
        return {name.lower(): value for name, value in self._environ.items() if value}

    def prepare_field_value(
        self, field_name: str, field: FieldInfo, value: Any, value_is_complex: bool
    ) -> Any:
        try:
            return super().prepare_field_value(field_name, field, value, value_is_complex)
        except ValueError:
            # The library's own error names no variable, and its cause carries the value.
            raise SettingsError(
                f'{PREFIX}{field_name.upper()}: must be a JSON object such as {{"name": ...}}'
            ) from None


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings from ``environ`` and the YAML file that ``CLOAKROOM_CONFIG`` names.

    Raises:
        SettingsError: anything is missing, weak, unknown or malformed; one line a problem.
    """
    return load_with_notes(environ)[0]


def load_with_notes(environ: Mapping[str, str]) -> tuple[Settings, tuple[LiteLlmNote, ...]]:
    """``load_settings``, with the notes on the file where it is LiteLLM's.

    Raises:
        SettingsError: as ``load_settings``. The file's warnings follow the problems, since what was left out
            may be what is missing.
    """
    environ = Variables(environ)
    _refuse_unknown_names(environ)
    config = read_config(environ)
    try:
        values = _merge(config.values, _MappingSource(environ)())
        _add_usual_deployments(values, environ)
        settings = Settings(**values)
        problems = problems_of(settings)
    except ValidationError as error:
        problems = list(_problem_lines(error))
    if problems:
        warnings = [str(note) for note in config.notes if note.level == "warning"]
        raise SettingsError("\n".join([*problems, *warnings]))
    return settings, config.notes


def read_config(environ: Mapping[str, str]) -> ConfigFile:
    """Read the file that ``CLOAKROOM_CONFIG`` names; the result is empty where it names none.

    Raises:
        SettingsError: the file cannot be read, is not a mapping, or refers to a variable that is not set.
    """
    environ = Variables(environ)
    name = environ.get(CONFIG_NAME)
    if not name:
        return ConfigFile()
    environ.files.add(name)
    loaded = read_document(name)
    if loaded is None:
        return ConfigFile()
    if not isinstance(loaded, dict):
        raise SettingsError(
            f"{CONFIG_NAME}: {name} must hold a mapping with settings such as deployments and models"
        )
    if is_litellm(loaded):
        values, notes = read_litellm(loaded, environ)
        return ConfigFile(values, tuple(notes))
    return ConfigFile(_expand(loaded, environ, ()))


def read_document(name: str) -> Any:
    """Parse a YAML file.

    Raises:
        SettingsError: it cannot be read; the message quotes nothing of it.
    """
    try:
        return yaml.safe_load(Path(name).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        # A YAML error quotes the line at fault, which may hold a secret, so only its place is shown.
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        reason = error.strerror if isinstance(error, OSError) else "it is not valid YAML"
        raise SettingsError(f"{CONFIG_NAME}: {name} cannot be read{where}: {reason}") from None


def _expand(value: Any, environ: Variables, path: tuple[str, ...]) -> Any:
    """Replace ``${NAME}`` in every string by the variable's value, and ``..._file`` by the secret in it."""
    if isinstance(value, dict):
        items = {str(key): item for key, item in value.items()}
        expanded = {}
        for key, item in items.items():
            name = key.removesuffix(_FILE_FIELD)
            found = _expand(item, environ, (*path, key))
            if name == key or not is_secret_field((*path, name)):
                expanded[key] = found
                continue
            place = ".".join((*path, key))
            if name in items:
                raise SettingsError(f"{'.'.join((*path, name))} and {place} are both set; keep one")
            if not isinstance(found, str) or not found:
                raise SettingsError(f"{place} must be the path of a file")
            expanded[name] = environ.read(place, found)
        return expanded
    if isinstance(value, list):
        return [_expand(item, environ, (*path, str(number))) for number, item in enumerate(value)]
    return _with_variables(value, environ) if isinstance(value, str) else value


def _with_variables(value: str, environ: Mapping[str, str]) -> str:
    def variable(match: re.Match[str]) -> str:
        if match[1] not in environ:
            raise SettingsError(
                f"{CONFIG_NAME}: the file names ${{{match[1]}}}, which is not set in the environment"
            )
        return environ[match[1]]

    return _ENV_REFERENCE.sub(variable, value)


def known_environment_names() -> frozenset[str]:
    """The names that ``load_settings`` knows; nested ones begin with one of these and ``__``."""
    return frozenset({CONFIG_NAME, *(PREFIX + name.upper() for name in Settings.model_fields)})


def _refuse_unknown_names(environ: Mapping[str, str]) -> None:
    known = known_environment_names()
    problems = []
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name.startswith(_FOREIGN_NAMES) or name in _COMMAND_LINE_NAMES:
            continue
        if name.partition("__")[0] in known:
            continue
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}?" if close else "see 'cloakroom serve --help' for the names"
        problems.append(f"{name} is not a setting; {hint}")
    if problems:
        raise SettingsError("\n".join(problems))


def _merge(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay ``above`` over ``below``, mapping by mapping."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = _merge(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return merged


def _add_usual_deployments(values: dict[str, Any], environ: Mapping[str, str]) -> None:
    if values.get("deployments"):
        return
    deployments, models = dict[str, Any](), dict[str, str]()
    if environ.get("AZURE_OPENAI_ENDPOINT"):
        wanted = ("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_DEPLOYMENT_NAME")
        missing = [variable for variable in wanted if not environ.get(variable)]
        if missing:
            raise SettingsError(
                f"{' and '.join(missing)} missing: AZURE_OPENAI_ENDPOINT is set, and needs both; "
                "to sign in without a key, describe the deployment in CLOAKROOM_CONFIG"
            )
        name = environ.get("AZURE_OPENAI_DEPLOYMENT_NAME")
        deployments["azure"] = {
            "provider": "azure",
            "base_url": environ["AZURE_OPENAI_ENDPOINT"],
            "api_key": environ.get("AZURE_OPENAI_API_KEY"),
            "model": name,
        }
        # Clients written for OpenAI ask for a usual name, which can mean only this deployment.
        models |= {str(name): "azure", USUAL_MODEL: "azure", _EARLIER_USUAL_MODEL: "azure"}
    if environ.get("OPENAI_API_KEY"):
        deployments["openai"] = {
            "provider": "openai",
            "base_url": environ.get("OPENAI_BASE_URL") or None,
            "api_key": environ["OPENAI_API_KEY"],
        }
        models |= {"*": "openai", USUAL_MODEL: "openai"}
        # OpenAI's own model has this name, so '*' takes it.
        models.pop(_EARLIER_USUAL_MODEL, None)
    if deployments:
        values["deployments"] = deployments
        if not values.get("models"):
            values["models"] = models
            values.setdefault("default_model", USUAL_MODEL)


def _problem_lines(error: ValidationError) -> Iterator[str]:
    for place, message in problems_in_place(error.errors(include_input=False, include_url=False)):
        if len(place) == 1:
            # The message quotes the label of a key, which is the secret if the two are swapped.
            shown = redact_labels(message) if place[0].endswith("_keys") else message
            yield f"{PREFIX}{place[0].upper()}: {shown}"
        else:
            yield f"{'.'.join(place)}: {message}"
