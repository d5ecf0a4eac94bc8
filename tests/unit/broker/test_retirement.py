"""Which alias is told to end, and that a successor who comes in time keeps it from being told."""

from __future__ import annotations

import asyncio
import json
from datetime import date
from typing import Any, Final

import pytest

from app.broker.routing.catalog import ANY_MODEL, Catalog, Choice, Model, Takeover
from app.broker.routing.retirement import Ending, Radar, Told, endings, tells_ends
from app.errors import UpstreamError
from app.models import Deployment
from app.outbound.upstream import NoAnswer, NotConnected
from app.providers.base import UpstreamRequest, UpstreamResponse
from app.providers.retirement import first_moment
from tests.unit.values import deployment

NOW: Final = first_moment(date(2026, 11, 27)) + 3600
END: Final = date(2027, 1, 20)
DEPLOYMENTS: Final = {
    "oai": deployment(name="oai"),
    "fixed": deployment(name="fixed", upstream_model="gpt-realtime-mini"),
    "az": deployment("azure", name="az", upstream_model="gpt-realtime"),
}


def model(name: str = "oai", successor: str = "", since: date = END) -> Model:
    takeover = Takeover(successor, first_moment(since)) if successor else None
    return Model((Choice(name),), takeover=takeover)


def catalog(models: dict[str, Model], *, now: float = NOW, default: str | None = None) -> Catalog:
    return Catalog(DEPLOYMENTS, models, default_model=default, clock=lambda: now)


def told_of(
    models: dict[str, Model],
    told: dict[str, Told] | None = None,
    *,
    now: float = NOW,
    default: str | None = None,
) -> list[tuple[str, str, str, date]]:
    found = endings(catalog(models, now=now, default=default), told or {}, now=now)
    return [(one.alias, one.deployment, one.model, one.end.day) for one in found]


def test_an_alias_that_is_the_providers_name_is_told() -> None:
    assert told_of({"gpt-realtime": model(), "gpt-realtime-2.1": model()}) == [
        ("gpt-realtime", "oai", "gpt-realtime", END)
    ]


def test_an_alias_is_told_by_the_model_of_its_deployment_and_not_by_its_own_name() -> None:
    assert told_of({"voice": model("fixed")}) == [("voice", "fixed", "gpt-realtime-mini", END)]


def test_the_name_of_an_azure_deployment_tells_nothing() -> None:
    assert told_of({"gpt-realtime": model("az")}) == []


def test_where_any_name_is_taken_the_default_model_is_looked_at() -> None:
    assert told_of({ANY_MODEL: model()}) == []
    assert told_of({ANY_MODEL: model()}, default="gpt-realtime")[0][0] == "gpt-realtime"


@pytest.mark.parametrize(
    ("since", "tells"), [(date(2027, 1, 19), False), (END, False), (date(2027, 1, 21), True)]
)
def test_an_alias_whose_successor_comes_in_time_is_not_told(since: date, tells: bool) -> None:
    found = told_of({"gpt-realtime": model(successor="gpt-realtime-2.1", since=since), ANY_MODEL: model()})
    assert bool(found) is tells


def test_after_the_takeover_the_end_of_the_predecessor_is_past_and_that_of_the_successor_counts() -> None:
    models = {"gpt-realtime": model(successor="next", since=date(2027, 1, 10)), "next": model()}
    later = first_moment(date(2027, 2, 1))
    assert told_of(models, now=later) == []
    found = told_of(models, {"oai": {"next": date(2027, 6, 1)}}, now=later)
    assert ("gpt-realtime", "oai", "next", date(2027, 6, 1)) in found


def test_a_chain_of_successors_is_followed() -> None:
    models = {
        "gpt-realtime": model(successor="b", since=date(2027, 1, 10)),
        "b": model(successor="c", since=date(2027, 3, 1)),
        "c": model(),
    }
    assert told_of(models, {"oai": {"b": date(2027, 3, 1)}}) == []
    assert ("gpt-realtime", "oai", "b", date(2027, 2, 1)) in told_of(models, {"oai": {"b": date(2027, 2, 1)}})


def test_the_days_left_are_whole_days_until_the_first_moment_of_the_day() -> None:
    (ending,) = endings(catalog({"gpt-realtime": model()}), {}, now=NOW)
    assert ending.days_left(NOW) == 53
    assert ending.is_near(NOW)
    assert not ending.is_near(ending.end.at - 60 * 86_400)
    assert ending.days_left(ending.end.at + 1) <= 0


class Provider:
    """Answers with one list of models, or fails."""

    def __init__(self) -> None:
        self.asked = 0
        self.fault: Exception | None = None
        self.days: dict[str, str | None] = {"gpt-realtime-2.1": None}

    async def ask(self, request: UpstreamRequest) -> UpstreamResponse:
        self.asked += 1
        if self.fault is not None:
            raise self.fault
        data = [{"id": name, "shutdown_date": day} for name, day in self.days.items()]
        return UpstreamResponse(200, {}, json.dumps({"object": "list", "data": data}).encode())


def radar(provider: Provider, **more: Any) -> Radar:
    places: dict[str, Deployment] = {"oai": DEPLOYMENTS["oai"], "az": DEPLOYMENTS["az"]}
    models = {"gpt-realtime-2.1": model(), "azure": model("az")}
    known = Catalog(places, models, default_model=None, clock=lambda: NOW)
    return Radar(known, provider.ask, clock=lambda: NOW, **more)


def days(found: list[Ending]) -> list[date]:
    return [ending.end.day for ending in found]


@pytest.mark.virtual_time
async def test_a_provider_is_asked_after_the_start_and_once_a_day_then() -> None:
    provider = Provider()
    watching = radar(provider)
    watching.start()
    await asyncio.sleep(1)
    assert provider.asked == 0
    await asyncio.sleep(60)
    assert provider.asked == 1
    provider.days["gpt-realtime-2.1"] = "2027-09-01"
    await asyncio.sleep(86_400)
    assert provider.asked in (2, 3)
    assert days(watching.endings()) == [date(2027, 9, 1)]
    assert watching.end_times() == {("gpt-realtime-2.1", "oai"): first_moment(date(2027, 9, 1))}
    await watching.close()


@pytest.mark.virtual_time
@pytest.mark.parametrize(
    "fault", [NotConnected(), NoAnswer(timed_out=True), UpstreamError("no token at present")]
)
async def test_what_a_provider_told_stays_while_it_does_not_answer(fault: Exception) -> None:
    provider = Provider()
    provider.days["gpt-realtime-2.1"] = "2027-09-01"
    watching = radar(provider)
    watching.start()
    await asyncio.sleep(61)
    provider.fault = fault
    await asyncio.sleep(2 * 86_400)
    assert provider.asked > 20, "a provider that failed is asked again within the hour"
    assert days(watching.endings()) == [date(2027, 9, 1)]
    await watching.close()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, True),
        ({"base_url": "https://gateway.example/v1"}, True),
        ({"ephemeral_keys": False}, True),
        ({"ephemeral_keys": False, "base_url": "https://eu.api.openai.com/v1"}, True),
        ({"ephemeral_keys": False, "base_url": "http://localhost:8080/v1"}, False),
    ],
)
def test_a_server_that_only_keeps_the_paths_has_models_of_which_nothing_is_known(
    changes: dict[str, Any], told: bool
) -> None:
    assert tells_ends(deployment(**changes)) is told
