"""Turns one entry of LiteLLM's ``model_list`` into a deployment in the shape of our own YAML.

LiteLLM decides which variable replaces a missing value, and that a key goes before Entra (its
``llms/azure/realtime`` and ``llms/openai/realtime``).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import ValidationError

from app.outbound.entra import entra_installed
from app.providers.registry import PROVIDERS
from app.settings.base import SettingsError
from app.settings.deployment import DeploymentSettings
from app.settings.litellm.entry import OWN_FIELDS, LiteLlmEntry
from app.settings.litellm.sections import LiteLlmEnvironment, LiteLlmNote
from app.settings.secrets import NAME_PATTERN
from app.telemetry.redaction import one_safe_line

_ENTRA: Final = ("tenant_id", "client_id", "client_secret")
# LiteLLM's reference to a token that the platform gives to a pod: Microsoft's workload identity.
_FEDERATED: Final = "oidc/azure"
_READ_PARAMS: Final = frozenset(
    {"model", "custom_llm_provider", "api_key", "api_base", "base_url", "api_version", "organization"}
    | {
        "azure_ad_token",
        "base_model",
        "realtime_protocol",
        "litellm_credential_name",
        "weight",
        "rpm",
        "tpm",
        "order",
    }
    | set(_ENTRA)
)
_READ_INFO: Final = frozenset({"mode", "base_model", "id", OWN_FIELDS})
_NAME_LIMIT: Final = 64
_AZURE_DOMAIN = re.compile(r"\.(openai\.azure\.com|cognitiveservices\.azure\.com|services\.ai\.azure\.com)\Z")


class NotServed(Exception):
    """The entry is a realtime model with a sign-in that is not supported; the message says how to fix it."""


def read_deployment(
    entry: LiteLlmEntry, environment: LiteLlmEnvironment, *, ambient_entra: bool
) -> dict[str, Any]:
    """Return the deployment as our own YAML would have it.

    Args:
        entry: from ``read_entry``.
        environment: where its references are looked up.
        ambient_entra: whether an Azure entry without a credential signs in as the machine does
            (``litellm_settings.enable_azure_ad_token_refresh``).

    Raises:
        SettingsError: a variable is not set, or a required value is missing.
        NotServed: its sign-in is not supported.
    """
    written = entry.info.get(OWN_FIELDS) or {}
    if not isinstance(written, dict):
        raise SettingsError(f"{entry.place}: model_info.{OWN_FIELDS} must be a mapping of deployment fields")
    own = environment.resolved(entry.place, f"model_info.{OWN_FIELDS}", written)
    deployment = {"provider": entry.provider, "model": entry.model, "base_url": _base_url(entry, environment)}
    if not own.keys() & {"api_key", "entra"}:
        deployment |= _credential(entry, environment, ambient_entra)
    return {**deployment, **own}


def try_deployment(place: str, deployment: Mapping[str, Any]) -> None:
    """Check what the settings and the wiring would refuse later.

    The entry may be for something else than realtime, and then a mistake in it must not stop the start.

    Raises:
        SettingsError: a value is not valid, or ``azure-identity`` is needed and not installed.
    """
    try:
        settings = DeploymentSettings.model_validate(deployment)
        PROVIDERS[settings.provider].base_url(settings.base_url)
    except ValidationError as error:
        # ``str(error)`` would show the values.
        problem = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(map(str, problem["loc"]))
        text = problem["msg"].removeprefix("Value error, ")
        raise SettingsError(f"{place}: {field}: {text}" if field else f"{place}: {text}") from None
    except ValueError as error:
        raise SettingsError(f"{place}: {error}") from None
    if settings.entra is not None and not entra_installed():
        raise SettingsError(f"{place}: signing in with Entra needs azure-identity, which is not installed")


def deployment_name(entry: LiteLlmEntry, deployment: Mapping[str, Any]) -> str:
    """``model_info.id``, or a name made of provider, address and model.

    The entry's number is no part of it: a handle remembers its deployment by name, and during a rollout
    replicas with the old and the new file run side by side. A number could send an offer to another resource.
    """
    chosen = entry.info.get("id")
    if isinstance(chosen, str) and re.fullmatch(NAME_PATTERN, chosen):
        return chosen
    parts = (entry.provider, _address(deployment.get("base_url")), str(deployment["model"]))
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(part for part in parts if part)).strip("-")
    if len(name) <= _NAME_LIMIT:
        return name
    # The digest still tells two long names apart.
    return f"{name[: _NAME_LIMIT - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def entry_notes(entry: LiteLlmEntry) -> Iterator[LiteLlmNote]:
    """The values of a served entry that have no effect."""
    if entry.params.get("api_version") is not None:
        yield LiteLlmNote(
            "info",
            entry.place,
            "api_version is not used: Azure's GA surface takes none, and a date never chooses a surface; "
            "for a resource that has the preview only, set "
            f"model_info.{OWN_FIELDS}: {{provider: azure-preview, region: ...}}",
        )
    if str(entry.params.get("realtime_protocol", "GA")).lower() == "beta":
        yield LiteLlmNote(
            "info", entry.place, "realtime_protocol is not used: it is about LiteLLM's WebSocket, not WebRTC"
        )
    if entry.params.get("organization") is not None:
        yield LiteLlmNote(
            "warning", entry.place, "organization is not sent: use a key of a project of that organization"
        )
    if entry.params.get("api_key") is not None and any(entry.params.get(key) for key in _ENTRA):
        yield LiteLlmNote("info", entry.place, "the Entra fields are not used, since api_key is set")
    unused = unused_keys(entry)
    if unused:
        yield LiteLlmNote("info", entry.place, f"not used: {one_safe_line(', '.join(unused))}")


def unused_keys(entry: LiteLlmEntry) -> list[str]:
    """The keys of an entry that have no effect here, each with its section."""
    unused = [*entry.others, *(f"litellm_params.{key}" for key in entry.params if key not in _READ_PARAMS)]
    return sorted([*unused, *(f"model_info.{key}" for key in entry.info if key not in _READ_INFO)])


def _base_url(entry: LiteLlmEntry, environment: LiteLlmEnvironment) -> str | None:
    written = entry.params.get("api_base") or entry.params.get("base_url")
    given = environment.text(entry.place, "api_base", written)
    if entry.provider == "azure":
        base = given or environment.first("AZURE_API_BASE")
        if base is None:
            raise SettingsError(f"{entry.place}: api_base is missing, and AZURE_API_BASE is not set")
        return base
    base = given or environment.first("OPENAI_BASE_URL", "OPENAI_API_BASE")
    if base is None:
        return None
    # LiteLLM takes OpenAI's base with and without the version.
    base = base.rstrip("/")
    return base if base.endswith("/v1") else f"{base}/v1"


def _credential(entry: LiteLlmEntry, environment: LiteLlmEnvironment, ambient_entra: bool) -> dict[str, Any]:
    key = environment.text(entry.place, "api_key", entry.params.get("api_key"))
    if key is None and entry.provider == "azure":
        return _azure_credential(entry, environment, ambient_entra)
    key = key or environment.first("OPENAI_API_KEY")
    if key is None:
        raise SettingsError(f"{entry.place}: api_key is missing, and OPENAI_API_KEY is not set")
    return {"api_key": key}


def _azure_credential(
    entry: LiteLlmEntry, environment: LiteLlmEnvironment, ambient_entra: bool
) -> dict[str, Any]:
    place, params = entry.place, entry.params
    entra = {name: environment.text(place, name, params.get(name)) for name in _ENTRA}
    if all(entra.values()):
        return {"entra": {"kind": "client_secret", **entra}}
    token = params.get("azure_ad_token")
    if isinstance(token, str) and token.startswith(_FEDERATED):
        given = {name: entra[name] for name in _ENTRA[:2] if entra[name]}
        return {"entra": {"kind": "workload_identity", **given}}
    if token is not None:
        raise NotServed(
            "azure_ad_token is a token that expires within the hour, and nothing would renew it; "
            "set tenant_id, client_id and client_secret, or an api_key"
        )
    missing = [name for name, value in entra.items() if not value]
    if len(missing) < len(entra):
        raise SettingsError(f"{place}: {' and '.join(missing)} missing beside the other Entra fields")
    key = environment.first("AZURE_API_KEY", "AZURE_OPENAI_API_KEY")
    if key is not None:
        return {"api_key": key}
    found = {name: environment.first(f"AZURE_{name.upper()}") for name in _ENTRA}
    if all(found.values()):
        return {"entra": {"kind": "client_secret", **found}}
    if ambient_entra:
        return {"entra": {"kind": "default"}}
    raise SettingsError(
        f"{place}: there is no api_key and no tenant_id, client_id and client_secret, "
        "and AZURE_API_KEY is not set"
    )


def _address(url: Any) -> str:
    """Host, port and path of a base URL without user and ``/v1``; of an Azure resource its name."""
    try:
        parts = urlsplit(url if "://" in str(url) else f"https://{url}") if url else None
    except ValueError:
        return ""
    if parts is None:
        return ""
    host, azure = _AZURE_DOMAIN.subn("", parts.netloc.rpartition("@")[2].lower())
    return host if azure else host + parts.path.rstrip("/").removesuffix("/v1")
