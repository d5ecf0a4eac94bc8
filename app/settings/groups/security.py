"""What is refused of the store's records, and where security events are told."""

from __future__ import annotations

from pydantic import BaseModel, Field, SecretStr, field_validator

from app.outbound.webhook import check_webhook_url, parse_webhook_secrets


class SecuritySettings(BaseModel):
    """What is refused of the store's records, and where security events are told."""

    security_webhook_url: SecretStr | None = Field(
        None,
        description="https URL that gets a signed message for each security event "
        "(docs/security-events.md); default: none",
    )
    security_webhook_secret: SecretStr | None = Field(
        None, description="whsec_... that signs these messages; several, comma separated, while it is changed"
    )

    require_call_proofs: bool = Field(
        False,
        description="refuse a call whose record has no proof, as an older release wrote it; set it once all "
        "replicas have run this release for as long as calls stay on record",
    )

    @field_validator("security_webhook_url")
    @classmethod
    def _sound_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            check_webhook_url(value.get_secret_value())
        return value

    @field_validator("security_webhook_secret")
    @classmethod
    def _sound_secrets(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parse_webhook_secrets(value.get_secret_value())
        return value
