"""Where the service listens, what it is called, and which pages it serves."""

from __future__ import annotations

import re
import socket
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field, field_validator
from pydantic_settings import NoDecode

from app.settings.secrets import NAME_PATTERN

CommaSeparated = Annotated[tuple[str, ...], NoDecode]
MOST_WORKERS: Final = 64


class ListeningSettings(BaseModel):
    """Where the service listens, what it is called, and which pages it serves."""

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
    workers: Annotated[int, Field(ge=1, le=MOST_WORKERS)] | Literal["auto"] = Field(
        1,
        description="processes that serve the port together, under one supervisor; auto: one for each CPU "
        "that may be used; what is limited for one replica is limited for each of them",
    )
    public_url: str | None = Field(None, description="origin under which browsers reach the service")
    allowed_hosts: CommaSeparated = Field(
        (),
        description="names under which the service answers, comma separated, *.example.com for all below; "
        "public_url's and any address always do; default: any name (docs/egress.md)",
    )
    cors_origins: CommaSeparated = Field((), description="browser origins, comma separated; * for any")
    demo: bool | None = Field(None, description="serve the page /demo; default: in development only")
    demo_replicas: CommaSeparated = Field(
        (), description="name=origin pairs for the page's pickers; default: itself"
    )
    drain_seconds: float = Field(5, ge=0, le=300, description="not ready, still serving, after SIGTERM")
    shutdown_seconds: float = Field(30, ge=0, le=600, description="for requests in flight after draining")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="the least that is written; one JSON line an event on standard output"
    )

    @field_validator("allowed_hosts", "cors_origins", "demo_replicas", mode="before")
    @classmethod
    def _split_origins(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("allowed_hosts")
    @classmethod
    def _bare_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not re.fullmatch(r"(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", name):
                raise ValueError(
                    f"{name!r} is no name of a host: write voice.example.com or *.example.com, without a port"
                )
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

    @field_validator("workers", mode="before")
    @classmethod
    def _a_number_or_auto(cls, value: Any) -> Any:
        text = str(value).strip()
        if text != "auto" and not (text.isdecimal() and 1 <= int(text) <= MOST_WORKERS):
            raise ValueError(f"a number from 1 to {MOST_WORKERS}, or auto")
        return "auto" if text == "auto" else int(text)

    @field_validator("replica")
    @classmethod
    def _plain_replica(cls, value: str) -> str:
        if not re.fullmatch(NAME_PATTERN, value):
            raise ValueError("letters, digits, '.', '_' and '-' only, 64 at most")
        return value

    @property
    def production(self) -> bool:
        return self.environment == "production"

    @property
    def demo_enabled(self) -> bool:
        """Whether the page ``/demo`` is served and answers name their replica."""
        return not self.production if self.demo is None else self.demo
