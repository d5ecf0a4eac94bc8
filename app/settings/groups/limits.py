"""How much may be asked at once, and how large and slow a request may be."""

from __future__ import annotations

from pydantic import BaseModel, Field


class LimitsSettings(BaseModel):
    """How much may be asked at once, and how large and slow a request may be."""

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
        description="requests at once before 503 overloaded; the process sheds earlier where it has no time",
    )
