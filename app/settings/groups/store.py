"""Redis, and how long its operations may last."""

from __future__ import annotations

from pydantic import BaseModel, Field, SecretStr


class StoreSettings(BaseModel):
    """Redis, and how long its operations may last."""

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
