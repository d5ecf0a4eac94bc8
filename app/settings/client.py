"""One client in the settings: its key, the models that it may mint for, and its limits."""

from __future__ import annotations

from pydantic import Field, SecretStr, field_validator

from app.models import LONGEST_CALL_SECONDS, SHORTEST_CALL_SECONDS
from app.settings.base import Section
from app.settings.secrets import check_api_key


class ClientSettings(Section):
    """One caller of the mint endpoint."""

    api_key: SecretStr | None = Field(
        default=None,
        description="the key that it sends, in clear or as sha256: and 64 hex digits; none where only "
        "issuers lead to it",
    )
    models: tuple[str, ...] | None = Field(default=None, description="aliases it may mint for; default: all")
    mints_per_minute: int | None = Field(
        default=None, ge=1, le=1_000_000, description="its limit over all replicas; default: none"
    )
    mints_per_minute_per_subject: int | None = Field(
        default=None, ge=1, le=10_000, description="the same for each of its subjects; default: none"
    )
    max_call_seconds: int | None = Field(
        default=None,
        ge=SHORTEST_CALL_SECONDS,
        le=LONGEST_CALL_SECONDS,
        description="its calls are hung up after so long, or sooner where the model or the mint says so",
    )
    max_open_calls: int | None = Field(
        default=None, ge=1, le=1_000_000, description="its calls at once, over all replicas; default: any"
    )
    max_open_calls_per_subject: int | None = Field(
        default=None, ge=1, le=1000, description="calls at once of each of its subjects; default: any"
    )
    max_live_handles: int | None = Field(
        default=None, ge=1, le=1_000_000, description="its handles that have not expired; default: any"
    )
    max_call_seconds_per_day: int | None = Field(
        default=None,
        ge=SHORTEST_CALL_SECONDS,
        le=1_000_000_000,
        description="seconds of its calls on one day of UTC; default: any",
    )
    max_call_seconds_per_day_per_subject: int | None = Field(
        default=None,
        ge=SHORTEST_CALL_SECONDS,
        le=86_400,
        description="the same for each of its subjects; default: any",
    )

    @field_validator("api_key")
    @classmethod
    def _strong(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            check_api_key(value.get_secret_value())
        return value
