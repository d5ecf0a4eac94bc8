"""The way to the providers."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, Field, SecretStr, field_validator

from app.outbound.addresses import parse_network
from app.outbound.egress import parse_proxy
from app.settings.groups.listening import CommaSeparated


class EgressSettings(BaseModel):
    """The way to the providers."""

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
    private_networks: CommaSeparated | None = Field(
        None,
        description="networks that are not public and that providers, issuers and the webhook may be in, "
        "comma separated, as 10.20.0.0/16; default: none, in development this machine (docs/egress.md)",
    )
    plain_http_hosts: CommaSeparated = Field(
        (),
        description="hosts of providers that may be asked by http, comma separated; default: none but this "
        "machine",
    )
    connect_timeout_seconds: float = Field(3, gt=0, le=60, description="to connect to the provider")
    mint_timeout_seconds: float = Field(10, gt=0, le=120, description="one mint, all tries together")
    relay_timeout_seconds: float = Field(20, gt=0, le=120, description="the provider's answer to an offer")

    @field_validator("private_networks", "plain_http_hosts", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("private_networks")
    @classmethod
    def _networks(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for text in value or ():
            parse_network(text)
        return value

    @field_validator("plain_http_hosts")
    @classmethod
    def _bare_hosts_of_providers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for host in value:
            if not re.fullmatch(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+", host):
                raise ValueError(
                    f"{host!r} is no host: write its name or address, without a scheme or a port"
                )
        return value

    @field_validator("provider_proxy")
    @classmethod
    def _sound_proxy(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parse_proxy(value.get_secret_value())
        return value
