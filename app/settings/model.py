"""Every setting with its bounds and its default. ``load`` fills them in."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from app.handles import client_tokens
from app.handles.keyring import parse_sealing_ring, parse_signing_ring
from app.models import LONGEST_CALL_SECONDS, SHORTEST_CALL_SECONDS
from app.outbound.egress import parse_proxy
from app.settings.aliases import AnyModelSettings
from app.settings.client import ClientSettings
from app.settings.deployment import DeploymentSettings
from app.settings.ice import IceSettings
from app.settings.identity import IssuerSettings
from app.settings.secrets import MAKE_KEYS, NAME_PATTERN, check_api_key, parse_key_pairs


def _ring(parse: Callable[[str], object]) -> Callable[[str], object]:
    """``parse``, with the command that makes a sound ring in the message of its error."""

    def checked(text: str) -> object:
        try:
            return parse(text)
        except ValueError as error:
            raise ValueError(f"{error}; {MAKE_KEYS}") from None

    return checked


# What raises ``ValueError`` for a malformed or weak secret, by field.
_SECRET_FORMS: Final[Mapping[str, Callable[[str], object]]] = {
    "signing_keys": _ring(parse_signing_ring),
    "sealing_keys": _ring(parse_sealing_ring),
    "subject_key": check_api_key,
    "api_keys": parse_key_pairs,
    "admin_keys": parse_key_pairs,
    "provider_proxy": parse_proxy,
}

CommaSeparated = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """Everything that an operator can set. Each field is ``CLOAKROOM_`` and its name in capitals."""

    model_config = SettingsConfigDict(
        env_prefix="CLOAKROOM_",
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        env_ignore_empty=True,
    )

    environment: Literal["production", "development"] = Field(
        "production", description="development allows an embedded store"
    )
    host: str = Field("0.0.0.0", description="address to listen on")
    port: int = Field(8080, ge=0, le=65535, description="TCP port to listen on; 0 picks a free one")
    ops_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="second TCP port, which alone then has /admin/v1 and /metrics; 0 picks a free one; "
        "default: all on one port",
    )
    ops_host: str | None = Field(None, description="address of the second port; default: the same host")
    replica: str = Field(
        default_factory=socket.gethostname, description="this replica's name in logs and records"
    )
    public_url: str | None = Field(None, description="origin under which browsers reach the service")

    redis_url: SecretStr | None = Field(
        None, description="redis:// rediss:// redis+sentinel:// redis+cluster:// or memory://"
    )
    redis_max_connections: int = Field(64, ge=1, le=10_000, description="connections of one replica")
    store_timeout_seconds: float = Field(
        0.8,
        gt=0,
        le=30,
        description="deadline of one store operation; a store that is silent for so long counts as down",
    )
    store_patience_seconds: float = Field(
        5,
        ge=0,
        le=60,
        description="a mint or an offer that waits for the store already goes on waiting for a silent one "
        "until this deadline; 0: no longer than other operations",
    )
    store_wait_replicas: int = Field(
        0,
        ge=0,
        le=16,
        description="replicas of the store that must have a new handle, and each use of a handle with a "
        "limit, before it counts: as many as a primary has; 0: none",
    )
    store_wait_seconds: float = Field(
        0.5, gt=0, le=30, description="to wait for these replicas; then the answer is 503"
    )

    signing_keys: SecretStr | None = Field(None, description="ring kid:secret,... that signs handles")
    sealing_keys: SecretStr | None = Field(None, description="ring kid:secret,... that seals keys in Redis")
    api_keys: SecretStr | None = Field(None, description="name:key pairs of the clients that may mint")
    admin_keys: SecretStr | None = Field(None, description="name:key pairs of the operators")
    handle_prefix: str = Field("ek_", pattern=r"^[A-Za-z0-9_-]{0,16}$", description="put before each handle")
    handle_max_calls: int = Field(0, ge=0, le=1000, description="calls a handle is good for; 0: until expiry")
    max_call_seconds: int | None = Field(
        None,
        ge=SHORTEST_CALL_SECONDS,
        le=LONGEST_CALL_SECONDS,
        description="a call is hung up after so long, unless its model has another limit; default: never; "
        "providers end a call after an hour",
    )
    replay_window_seconds: float = Field(30, ge=1, le=600, description="same offer, same answer, this long")
    call_retention_seconds: int = Field(
        7200,
        ge=LONGEST_CALL_SECONDS,
        le=604_800,
        description="how long a call stays on record; a call lasts an hour at most",
    )

    undelivered_grace_seconds: float = Field(
        30,
        ge=0,
        le=600,
        description="a call whose answer reached no browser is hung up after so long, and no sooner than the "
        "replay window ends; 0: never",
    )
    hangup_lost_calls: bool = Field(
        False,
        description="hang up a call whose answer came after its caller was told outcome_unknown or "
        "upstream_timeout; such an answer then never counts",
    )

    subject_key: SecretStr | None = Field(
        None, description="hashes x-cloakroom-subject into OpenAI-Safety-Identifier; 32 random characters"
    )

    cors_origins: CommaSeparated = Field((), description="browser origins, comma separated; * for any")
    demo: bool | None = Field(None, description="serve the page /demo; default: in development only")
    demo_replicas: CommaSeparated = Field(
        (), description="name=origin pairs for the page's pickers; default: itself"
    )

    default_model: str | None = Field(None, description="alias for a mint request that names no model")
    deployments: dict[str, DeploymentSettings] = Field(
        default_factory=dict, description="the places to mint at, by a name of your choice"
    )
    models: dict[str, AnyModelSettings] = Field(
        default_factory=dict, description="alias -> deployment, several, or a policy; alias * takes any"
    )
    clients: dict[str, ClientSettings] = Field(
        default_factory=dict, description="callers with their own models or limit, by name"
    )
    issuers: dict[str, IssuerSettings] = Field(
        default_factory=dict, description="identity providers whose tokens count (docs/browser-minting.md)"
    )
    client_token_seconds: int = Field(
        client_tokens.USUAL_SECONDS,
        ge=client_tokens.SHORTEST_SECONDS,
        le=client_tokens.LONGEST_SECONDS,
        description="how long a client token of /oauth/token lives, within the life of the exchanged one",
    )
    ice: IceSettings = Field(
        default_factory=IceSettings,
        description="STUN and TURN servers that browsers may use (docs/ice-servers.md)",
    )

    provider_proxy: SecretStr | None = Field(
        None,
        description="HTTP proxy to the providers, to Microsoft Entra ID and to issuers, "
        "http://user:password@proxy.example:3128; default: none",
    )
    trust_environment_proxy: bool = Field(
        False,
        description="take the proxy from HTTPS_PROXY, HTTP_PROXY and NO_PROXY, unless provider_proxy is set",
    )
    provider_ca_file: str | None = Field(
        None, description="PEM file of a CA to trust at providers and proxies, besides the system's"
    )
    provider_client_cert_file: str | None = Field(
        None, description="PEM file of the certificate to show to providers that ask for one"
    )
    provider_client_key_file: str | None = Field(
        None, description="PEM file of its key; default: in the same file"
    )

    max_body_bytes: int = Field(65_536, ge=1024, le=4_194_304, description="largest request body")
    body_timeout_seconds: float = Field(10, gt=0, le=120, description="a body must have arrived by then")
    connect_timeout_seconds: float = Field(3, gt=0, le=60, description="to connect to the provider")
    mint_timeout_seconds: float = Field(10, gt=0, le=120, description="one mint, all tries together")
    relay_timeout_seconds: float = Field(20, gt=0, le=120, description="the provider's answer to an offer")
    sideband_max: int = Field(
        256, ge=0, le=10_000, description="sidebands of one replica at once; one more is a 503 overloaded"
    )
    sideband_max_event_bytes: int = Field(
        1_048_576, ge=65_536, le=16_777_216, description="a larger event closes its sideband with 1009"
    )
    held_calls_max: int = Field(
        1024,
        ge=0,
        le=10_000,
        description="calls of one replica at once that last as long as its WebSocket to the provider "
        "(azure-voice-live); one more is a 503 overloaded",
    )
    metering: bool = Field(
        False, description="count the usage of each call, unless its model says otherwise (docs/metering.md)"
    )
    metering_max: int = Field(2500, ge=1, le=20_000, description="calls that one replica meters at once")
    metering_records: int = Field(
        100_000, ge=100, le=100_000_000, description="usage records that the stream keeps, about"
    )
    shed_overload: bool = Field(
        True,
        description="refuse some requests at once while more come than this process has CPU time for; false: "
        "only max_in_flight limits them",
    )
    max_in_flight: int = Field(
        1024,
        ge=1,
        le=100_000,
        description="requests at once before 503 overloaded; the process sheds earlier where it has no time",
    )
    drain_seconds: float = Field(5, ge=0, le=300, description="not ready, still serving, after SIGTERM")
    shutdown_seconds: float = Field(30, ge=0, le=600, description="for requests in flight after draining")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="the least that is written; one JSON line an event on standard output"
    )

    @field_validator("cors_origins", "demo_replicas", mode="before")
    @classmethod
    def _split_origins(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("cors_origins")
    @classmethod
    def _bare_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if origin != "*" and not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/\s?#]+", origin):
                raise ValueError(f"{origin!r} is not an origin: write scheme://host[:port] without a path")
        return value

    @field_validator("demo_replicas")
    @classmethod
    def _named_replicas(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pair in value:
            if not re.fullmatch(NAME_PATTERN + r"=https?://[^/\s?#;'\"]+", pair):
                raise ValueError(f"{pair!r} is not of the form name=https://host[:port]")
        return value

    @field_validator("public_url")
    @classmethod
    def _bare_public_url(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[^/\s?#]+/?", value):
            raise ValueError("must be an origin such as https://voice.example.com, without a path")
        return value.rstrip("/") if value else value

    @field_validator("replica")
    @classmethod
    def _plain_replica(cls, value: str) -> str:
        if not re.fullmatch(NAME_PATTERN, value):
            raise ValueError("letters, digits, '.', '_' and '-' only, 64 at most")
        return value

    @field_validator(*_SECRET_FORMS)
    @classmethod
    def _sound_secret(cls, value: SecretStr | None, field: ValidationInfo) -> SecretStr | None:
        if value is not None:
            _SECRET_FORMS[str(field.field_name)](value.get_secret_value())
        return value

    @property
    def production(self) -> bool:
        return self.environment == "production"

    @property
    def demo_enabled(self) -> bool:
        """Whether the page ``/demo`` is served and answers name their replica."""
        return not self.production if self.demo is None else self.demo

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # ``load_settings`` passes in what it has read, so the process's environment is not read here.
        return (init_settings,)
