"""Which models end, and when: one table of announced ends, and what a provider's list of models tells. Pure.

A provider's own word counts more than the table, which is as old as ``looked_at``. The table is OpenAI's:
Azure keeps its own dates, and the name of an Azure deployment does not tell its model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from types import MappingProxyType
from typing import Any, Final

import orjson

from app.models import Deployment
from app.providers.base import JSON_TYPE, UpstreamRequest, UpstreamResponse, standard_key_header

# An end that is nearer than this is told.
NOTICE_DAYS: Final = 60

_SOURCE: Final = "OpenAI's page of deprecations"
_LOOKED_AT: Final = date(2026, 11, 27)


@dataclass(frozen=True, slots=True)
class End:
    """The day from which a provider no longer serves a model, who says so, and what it recommends instead.

    ``looked_at`` is the day on which the source said it.
    """

    day: date
    source: str
    looked_at: date
    successor: str | None = None

    @property
    def at(self) -> float:
        """The first moment of the day in UTC, in epoch seconds: the service may end at any time of it."""
        return first_moment(self.day)


def _announced(day: date, successors: Mapping[str, str]) -> dict[str, End]:
    return {model: End(day, _SOURCE, _LOOKED_AT, successor) for model, successor in successors.items()}


KNOWN_ENDS: Final[Mapping[str, End]] = MappingProxyType(
    {
        **_announced(
            date(2027, 1, 20),
            {"gpt-realtime": "gpt-realtime-2.1", "gpt-realtime-mini": "gpt-realtime-2.1-mini"},
        ),
        **_announced(
            date(2027, 2, 26),
            {
                "whisper-1": "gpt-live-transcribe",
                "gpt-4o-transcribe": "gpt-live-transcribe",
                "gpt-4o-mini-transcribe": "gpt-live-transcribe",
            },
        ),
    }
)


def first_moment(day: date) -> float:
    """The first moment of a day in UTC, in epoch seconds."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


def models_request(deployment: Deployment) -> UpstreamRequest:
    """The GET that lists a provider's models; for dialects whose ``traits.tells_ends`` is set.

    Raises:
        UpstreamError: there is no credential at present.
    """
    return UpstreamRequest(
        url=f"{deployment.base_url}/models",
        headers={**standard_key_header(deployment), "Accept": JSON_TYPE},
        body=b"",
    )


def read_models(response: UpstreamResponse) -> dict[str, date | None] | None:
    """Read the models of the list and the ends that it tells; None where it is no such list.

    Source: OpenAI's API reference, "List models": ``shutdown_date`` is ``YYYY-MM-DD``, null or absent.
    """
    if response.status != 200:
        return None
    try:
        body = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        return None
    data = body.get("data") if isinstance(body, dict) else None
    if not isinstance(data, list):
        return None
    models = [model for model in data if isinstance(model, dict) and isinstance(model.get("id"), str)]
    return {model["id"]: _day(model.get("shutdown_date")) for model in models}


def _day(value: Any) -> date | None:
    try:
        return date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def end_of(model: str, told: Mapping[str, date | None], *, today: date) -> End | None:
    """When a model ends; None where no end is announced.

    Args:
        told: from ``read_models``, empty where the provider told nothing.
        today: the day on which it told.
    """
    known = KNOWN_ENDS.get(model)
    day = told.get(model)
    if day is None:
        return known
    return End(day, "the provider's list of models", today, known.successor if known is not None else None)
