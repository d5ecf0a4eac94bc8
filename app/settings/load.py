"""Reads the settings from an environment mapping and the YAML file that it names.

The prefix is ``CLOAKROOM_``, nesting goes with ``__``, and the environment wins over the file. The
providers' own usual names (``OPENAI_API_KEY``, ``AZURE_OPENAI_ENDPOINT``, ...) alone are enough for a
one-provider start; where deployments are configured they add nothing, so that no name widens a policy.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import EnvSettingsSource

from app.settings.checks import problems_of
from app.settings.error import SettingsError
from app.settings.litellm import LiteLlmNote
from app.settings.model import Settings
from app.settings.yaml_file import CONFIG_NAME, read_config
from app.telemetry.redaction import redact_labels

PREFIX: Final = "CLOAKROOM_"
# The model that the providers' guides start with; only the default of a one-provider start.
USUAL_MODEL: Final = "gpt-realtime"

# Another program's names under our prefix: the provider in a box.
_FOREIGN_NAMES: Final = ("CLOAKROOM_SANDBOX_",)
# The command line's own, which an operator's shell exports: where the admin API is, and the key to it.
_COMMAND_LINE_NAMES: Final = frozenset({"CLOAKROOM_ADMIN_URL", "CLOAKROOM_ADMIN_KEY"})
# What Kubernetes sets in every pod for a Service called "cloakroom", "cloakroom-redis" and the like.
_SERVICE_LINK = re.compile(
    r"CLOAKROOM_(?:[A-Z0-9_]+_)?"
    r"(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)\Z"
)
_SERVICE_LINK_URL = re.compile(r"CLOAKROOM_(?:[A-Z0-9_]+_)?PORT\Z")


class _MappingSource(EnvSettingsSource):
    """pydantic-settings' reading of an environment, from a mapping instead of ``os.environ``."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        super().__init__(Settings)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        # An empty variable is one that nobody has set: compose files and CI pass such ones through.
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
    """``load_settings``, and what was made of the file where it is LiteLLM's; our own file has no notes.

    Raises:
        SettingsError: as ``load_settings``; the file's warnings stand below the problems, since what was
            left out may be what is missing.
    """
    environ = without_service_links(environ)
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


def known_environment_names() -> frozenset[str]:
    """The names that ``load_settings`` knows; nested ones begin with one of these and ``__``."""
    return frozenset({CONFIG_NAME, *(PREFIX + name.upper() for name in Settings.model_fields)})


def without_service_links(environ: Mapping[str, str]) -> dict[str, str]:
    """Drop Kubernetes' variables, among them ``CLOAKROOM_PORT=tcp://...``, which is no port of ours."""
    return {name: value for name, value in environ.items() if not _is_service_link(name, value)}


def _is_service_link(name: str, value: str) -> bool:
    if _SERVICE_LINK.match(name):
        return True
    return _SERVICE_LINK_URL.match(name) is not None and value.startswith(("tcp://", "udp://", "sctp://"))


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
        # Clients written for OpenAI ask for the usual name; with one deployment it can only mean that one.
        models |= {str(name): "azure", USUAL_MODEL: "azure"}
    if environ.get("OPENAI_API_KEY"):
        deployments["openai"] = {
            "provider": "openai",
            "base_url": environ.get("OPENAI_BASE_URL") or None,
            "api_key": environ["OPENAI_API_KEY"],
        }
        models |= {"*": "openai", USUAL_MODEL: "openai"}
    if deployments:
        values["deployments"] = deployments
        if not values.get("models"):
            values["models"] = models
            values.setdefault("default_model", USUAL_MODEL)


def _problem_lines(error: ValidationError) -> Iterator[str]:
    for problem in error.errors(include_input=False, include_url=False):
        message = problem["msg"].removeprefix("Value error, ")
        place = [str(part) for part in problem["loc"]]
        if len(place) == 1:
            # The rings and pairs quote the label of a secret, which may be the secret, the wrong way round.
            shown = redact_labels(message) if place[0].endswith("_keys") else message
            yield f"{PREFIX}{place[0].upper()}: {shown}"
        else:
            yield f"{'.'.join(place)}: {message}"
