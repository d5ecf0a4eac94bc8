"""The way to the providers."""

from __future__ import annotations

from pydantic import BaseModel, Field, SecretStr, field_validator

from app.outbound.egress import parse_proxy


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
    connect_timeout_seconds: float = Field(3, gt=0, le=60, description="to connect to the provider")
    mint_timeout_seconds: float = Field(10, gt=0, le=120, description="one mint, all tries together")
    relay_timeout_seconds: float = Field(20, gt=0, le=120, description="the provider's answer to an offer")

    @field_validator("provider_proxy")
    @classmethod
    def _sound_proxy(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parse_proxy(value.get_secret_value())
        return value
