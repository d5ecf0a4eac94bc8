"""How much may be asked at once, and how large and slow a request may be."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class LimitsSettings(BaseModel):
    """How much may be asked at once, and how large and slow a request may be."""

    trusted_proxies: int = Field(
        0,
        ge=0,
        le=16,
        description="proxies in front, each of which appends its caller to forwarded_header: the caller is "
        "that many entries from the right; 0: the peer (docs/denial-of-service.md)",
    )
    forwarded_header: Literal["x-forwarded-for", "forwarded"] = Field(
        "x-forwarded-for", description="the header that they append to; forwarded: RFC 7239"
    )
    refused_credentials_per_minute: int = Field(
        300,
        ge=0,
        le=1_000_000,
        description="keys, tokens and handles of no value that one address may send to one replica; more get "
        "429 early; good ones always work; 0: no limit",
    )
    connections_per_address: int = Field(
        1024,
        ge=0,
        le=100_000,
        description="open connections of one peer at one port of a replica; one more is closed; 0: no limit; "
        "no limit either with trusted_proxies, since the peers are proxies then",
    )
    head_timeout_seconds: float = Field(
        10, ge=0.1, le=120, description="a request's head must have arrived by then, from its first byte"
    )
    idle_timeout_seconds: float = Field(
        75,
        ge=1,
        le=3600,
        description="a connection without a request is closed then; make it longer than that of the proxy in "
        "front",
    )
    read_timeout_seconds: float = Field(
        30, ge=1, le=600, description="a caller that reads nothing of its answer for so long is cut off"
    )
    max_body_bytes: int = Field(65_536, ge=1024, le=4_194_304, description="largest request body")
    body_timeout_seconds: float = Field(10, gt=0, le=120, description="a body must have arrived by then")
    shed_overload: bool = Field(
        True,
        description="refuse some requests at once while more come than this process has CPU time for; false: "
        "only max_in_flight limits them",
    )
    max_in_flight: int = Field(
        1024,
        ge=1,
        le=100_000,
        description="requests at once before 503 overloaded; a client with less than its share of them is "
        "served beyond, up to twice as many in all; the process sheds earlier where it has no time",
    )
