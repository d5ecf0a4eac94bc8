"""Handles and calls: how often, how long, what is counted."""

from __future__ import annotations

from pydantic import BaseModel, Field

from app.handles import client_tokens
from app.models import LONGEST_CALL_SECONDS, SHORTEST_CALL_SECONDS


class CallsSettings(BaseModel):
    """Handles and calls: how often, how long, what is counted."""

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
    client_token_seconds: int = Field(
        client_tokens.USUAL_SECONDS,
        ge=client_tokens.SHORTEST_SECONDS,
        le=client_tokens.LONGEST_SECONDS,
        description="how long a client token of /oauth/token lives, within the life of the exchanged one",
    )
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
