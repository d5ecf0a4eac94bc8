"""One deployment in the settings: a provider, its address and its credential.

Fields that do not fit together are refused here. The form of a URL, which only the provider's dialect knows,
is checked when the parts are wired.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, SecretStr, WithJsonSchema, field_validator, model_validator

from app.providers.base import Traits
from app.providers.federation import KUBERNETES_TOKEN_FILE, TOKEN_URL, TokenType, token_url
from app.providers.registry import PROVIDERS
from app.settings.base import Section

EntraKind = Literal["default", "client_secret", "workload_identity", "azure_cli"]

# A tenant or an application by its id or its domain; it becomes a part of the token endpoint's path.
_DIRECTORY_NAME: Final = r"^[A-Za-z0-9.-]{1,255}$"
_IDENTITY: Final = r"^[A-Za-z0-9._-]{1,255}$"


class EntraSettings(Section):
    """How an Azure deployment signs in with Microsoft Entra ID instead of a key."""

    kind: EntraKind | None = Field(
        default=None,
        description="default (environment, workload or managed identity, Azure CLI), client_secret, "
        "workload_identity or azure_cli; default: client_secret where one is given, else default",
    )
    tenant_id: str | None = Field(default=None, pattern=_DIRECTORY_NAME, description="the directory's id")
    client_id: str | None = Field(default=None, pattern=_DIRECTORY_NAME, description="the application's id")
    client_secret: SecretStr | None = Field(default=None, description="the secret's value, not its id")

    @property
    def resolved_kind(self) -> EntraKind:
        """The kind, with its default filled in."""
        return self.kind or ("client_secret" if self.client_secret is not None else "default")

    @field_validator("client_secret")
    @classmethod
    def _without_line_break(cls, value: SecretStr | None) -> SecretStr | None:
        return _sendable(value)

    @model_validator(mode="after")
    def _complete(self) -> EntraSettings:
        wants_secret = self.resolved_kind == "client_secret"
        if wants_secret:
            missing = [
                name
                for name in ("tenant_id", "client_id", "client_secret")
                if not _shown(getattr(self, name))
            ]
            if missing:
                raise ValueError(f"{', '.join(missing)} missing: client_secret signs in with all three")
        elif self.client_secret is not None:
            raise ValueError(f"client_secret is not used by kind: {self.kind}; leave one of the two out")
        return self


class WorkloadIdentitySettings(Section):
    """How an OpenAI deployment signs in with the workload's own token instead of a key."""

    identity_provider_id: str = Field(pattern=_IDENTITY, description="OpenAI's id of the identity provider")
    service_account_id: str = Field(
        pattern=_IDENTITY, description="OpenAI's id of the service account to act as"
    )
    token_file: str = Field(
        default=KUBERNETES_TOKEN_FILE,
        min_length=1,
        description="the file with the workload's token, a JWT; it is read anew each time",
    )
    token_type: TokenType = Field(default="jwt", description="what kind of token the file holds")
    token_url: str = Field(default=TOKEN_URL, description="where tokens are exchanged")

    @field_validator("token_url")
    @classmethod
    def _encrypted(cls, value: str) -> str:
        return token_url(value)


def _known(provider: str) -> str:
    if provider not in PROVIDERS:
        *names, last = map(repr, PROVIDERS)
        raise ValueError(f"Input should be {', '.join(names)} or {last}")
    return provider


def known_regions() -> list[str]:
    """The regions of all providers."""
    return list(dict.fromkeys(name for each in PROVIDERS.values() for name in each.traits.regions))


_REGION_SCHEMA: Final[dict[str, Any]] = {
    "anyOf": [{"type": "string", "enum": known_regions()}, {"type": "null"}]
}
_PROVIDER_SCHEMA: Final[dict[str, Any]] = {"type": "string", "enum": list(PROVIDERS)}


class DeploymentSettings(Section):
    """One place to mint at."""

    provider: Annotated[str, AfterValidator(_known), WithJsonSchema(_PROVIDER_SCHEMA)] = Field(
        description="whose API it speaks; nothing else chooses Azure's preview"
    )
    base_url: str | None = Field(
        default=None,
        description="OpenAI: default https://api.openai.com/v1; localai and speech-to-speech: the server's "
        "address; qwen: the workspace's host",
    )
    api_key: SecretStr | None = Field(default=None, description="the provider's standard key")
    entra: EntraSettings | None = Field(default=None, description="Azure: sign in without a key")
    workload_identity: WorkloadIdentitySettings | None = Field(
        default=None, description="OpenAI: sign in without a key, with the workload's own token"
    )
    model: str | None = Field(default=None, description="the provider's name; Azure: the deployment's name")
    webrtc_filter: bool | None = Field(
        default=None,
        description="azure: keep instructions and tool calls off the browser's data channel; default: true",
    )
    ephemeral_keys: bool | None = Field(
        default=None,
        description="whether the provider mints ephemeral keys; false, for a server that keeps OpenAI's "
        "paths and mints none: a handle keeps the session, and api_key, if there is one, creates the call; "
        "default: whether this provider does",
    )
    call_key: Literal["ephemeral", "standard"] = Field(
        default="ephemeral",
        description="which key creates the call; standard: the deployment's own, for sidebands that answer "
        "404 call_id_not_found (openai), or where temporary keys open no call (qwen)",
    )
    api_version: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9.-]{1,32}$",
        description="azure-preview: default 2025-04-01-preview; azure-voice-live: default 2026-01-01-preview",
    )
    region: Annotated[str | None, WithJsonSchema(_REGION_SCHEMA)] = Field(
        default=None,
        description="OpenAI: the region of the key's project, instead of base_url; azure-preview: the "
        "resource's, whose front end takes the offers",
    )
    webrtc_url: str | None = Field(
        default=None,
        description="azure-preview: that front end's URL, instead of region; qwen: the workspace's host, "
        "where keys are minted at another one",
    )

    @field_validator("api_key")
    @classmethod
    def _fit_for_a_header(cls, value: SecretStr | None) -> SecretStr | None:
        return _sendable(value)

    @field_validator("model")
    @classmethod
    def _plain_model(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[\x21-\x7e]{1,128}", value):
            raise ValueError("1 to 128 printable characters without spaces")
        return value

    @model_validator(mode="after")
    def _whole(self) -> DeploymentSettings:
        traits = PROVIDERS[self.provider].traits
        is_azure = traits.is_azure
        self._check_keys(traits)
        self._check_credential(traits)
        if is_azure and not self.base_url:
            raise ValueError("base_url is missing: the endpoint of the Azure resource")
        if is_azure and not self.model:
            raise ValueError("model is missing: the name of the Azure deployment")
        if traits.needs_model and not self.model:
            raise ValueError(f"model is missing: the name that {self.provider} has for the model")
        self._check_region(traits)
        if self.webrtc_filter and not traits.takes_filter:
            raise ValueError("webrtc_filter is for provider: azure")
        return self

    @property
    def mints(self) -> bool:
        """Whether the provider mints ephemeral keys for this deployment."""
        return PROVIDERS[self.provider].traits.mints if self.ephemeral_keys is None else self.ephemeral_keys

    def _check_keys(self, traits: Traits) -> None:
        if self.call_key == "standard" and not traits.takes_standard_call:
            if not traits.mints:
                raise ValueError(
                    f"call_key is not for {self.provider}, which has no ephemeral keys; remove it"
                )
            raise ValueError("call_key: standard is for OpenAI; Azure takes offers with ephemeral keys only")
        if self.ephemeral_keys and not traits.mints:
            raise ValueError(f"{self.provider} mints no ephemeral keys; remove ephemeral_keys: true")
        if self.ephemeral_keys is False and traits.mints and not traits.takes_standard_call:
            raise ValueError(
                f"ephemeral_keys: false is not for {self.provider}, where a call takes its session from its "
                "ephemeral key; for another server that keeps OpenAI's paths set provider: openai"
            )

    def _check_region(self, traits: Traits) -> None:
        known = ", ".join(traits.regions)
        if self.region is not None and self.region not in traits.regions:
            if not known:
                raise ValueError("region is for OpenAI and azure-preview; remove it")
            raise ValueError(f"provider: {self.provider} has no region {self.region!r}; known: {known}")
        if traits.has_front_end:
            if (self.region is None) == (self.webrtc_url is None):
                raise ValueError(f"{self.provider} needs either region ({known}) or webrtc_url")
            return
        if self.region is not None and self.base_url is not None:
            url = traits.regions[self.region]
            if self.base_url.strip().rstrip("/") != url:
                raise ValueError(f"region {self.region!r} is served at {url} only; leave base_url out")
        if self.api_version is not None and not traits.takes_api_version:
            # It does not show which surface is meant: people paste it with every endpoint.
            raise ValueError(
                "api_version is for azure-preview and azure-voice-live; remove it, the GA paths take none"
            )
        if self.webrtc_url is not None and not traits.may_split_hosts:
            raise ValueError("webrtc_url is for provider: azure-preview and qwen")

    def _check_credential(self, traits: Traits) -> None:
        if self.entra is not None and not traits.is_azure:
            raise ValueError("entra is for Azure; set api_key or workload_identity")
        if self.workload_identity is not None and not traits.federates:
            raise ValueError("workload_identity is for OpenAI; set api_key or entra")
        keyless = "entra" if traits.is_azure else "workload_identity"
        if getattr(self, keyless) is None:
            if not _shown(self.api_key) and self._needs_credential(traits):
                hint = f", or sign in with {keyless}" if traits.is_azure or traits.federates else ""
                raise ValueError(
                    f"api_key is missing; write it as ${{NAME_OF_AN_ENVIRONMENT_VARIABLE}}{hint}"
                )
        elif self.api_key is not None:
            raise ValueError(f"api_key and {keyless} are both set; leave one of them out")

    def _needs_credential(self, traits: Traits) -> bool:
        elsewhere = traits.is_copied and self.base_url is not None and not self.mints
        return traits.needs_credential and not elsewhere


def _sendable(value: SecretStr | None) -> SecretStr | None:
    """Drop the line break at the end of a mounted secret; refuse what cannot stand in a header."""
    if value is None:
        return None
    text = value.get_secret_value().strip()
    if not re.fullmatch(r"[\x21-\x7e]*", text):
        raise ValueError("contains a line break, a space or another character that no key has")
    return SecretStr(text)


def _shown(value: SecretStr | str | None) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else value or ""
