"""The retirement radar: which aliases will lead to a model that ends before a successor takes over.

Providers that tell it are asked once a day, in the background and never by a request. Where one does not
answer, the table of ``app.providers.retirement`` holds alone.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

import structlog

from app.broker.routing.catalog import Catalog, Stage
from app.errors import UpstreamError
from app.models import Deployment
from app.outbound.upstream import NoAnswer, NotConnected
from app.providers.base import UpstreamRequest, UpstreamResponse
from app.providers.registry import PROVIDERS
from app.providers.retirement import NOTICE_DAYS, End, end_of, models_request, read_models

log = structlog.get_logger("cloakroom.retirement")

_DAY: Final = 86_400.0
# A start is no time for more requests, and a fleet that starts together should not ask together.
_FIRST_ASK_SECONDS: Final = 60.0
_ASK_AGAIN_SECONDS: Final = 3600.0
_SPREAD: Final = 0.5

# What a provider's list told of each model.
Told = Mapping[str, date | None]
Ask = Callable[[UpstreamRequest], Awaitable[UpstreamResponse]]


@dataclass(frozen=True, slots=True)
class Ending:
    """An alias that will stop to work: ``model`` is the provider's name of what it leads to."""

    alias: str
    deployment: str
    model: str
    end: End

    def days_left(self, now: float) -> int:
        """Whole days until the end; negative after it. ``now`` is epoch seconds."""
        return int((self.end.at - now) // _DAY)

    def is_near(self, now: float) -> bool:
        return self.days_left(now) < NOTICE_DAYS


def tells_ends(deployment: Deployment) -> bool:
    """Whether its models have the names and the ends that are known here.

    Where nothing is minted, another server may keep the provider's paths, and have models of those names.
    """
    provider = PROVIDERS[deployment.provider]
    if not provider.traits.tells_ends or deployment.ephemeral_keys:
        return provider.traits.tells_ends
    return deployment.base_url in (provider.base_url(None), *provider.traits.regions.values())


def today(now: float) -> date:
    """The day in UTC of a time in epoch seconds."""
    return datetime.fromtimestamp(now, UTC).date()


def endings(catalog: Catalog, told: Mapping[str, Told], *, now: float) -> list[Ending]:
    """What ends before its successor takes over, the nearest end of each alias and deployment.

    Args:
        told: by the deployment's name.
        now: epoch seconds.
    """
    found: dict[tuple[str, str], Ending] = {}
    for alias in _aliases(catalog):
        for ending in _of_alias(alias, catalog.stages(alias), told, today(now)):
            key = alias, ending.deployment
            if key not in found or ending.end.day < found[key].end.day:
                found[key] = ending
    return list(found.values())


def _aliases(catalog: Catalog) -> list[str]:
    default = [catalog.default_model] if catalog.default_model is not None else []
    return list(dict.fromkeys([*catalog.names, *default]))


def _of_alias(alias: str, stages: Iterable[Stage], told: Mapping[str, Told], day: date) -> Iterable[Ending]:
    for stage in stages:
        for deployment in stage.deployments:
            if not tells_ends(deployment):
                continue
            model = deployment.upstream_model or stage.model
            end = end_of(model, told.get(deployment.name, {}), today=day)
            if end is not None and (stage.until is None or end.at < stage.until):
                yield Ending(alias, deployment.name, model, end)


async def ask_for_ends(deployment: Deployment, ask: Ask) -> Told | None:
    """What the provider's list tells; None where it tells nothing, whatever the reason."""
    if not tells_ends(deployment):
        return None
    try:
        return read_models(await ask(models_request(deployment)))
    except (UpstreamError, NotConnected, NoAnswer):
        return None


class Radar:
    """Asks providers once a day, and warns of what ends soon.

    Args:
        ask: sends one GET to a provider.
        clock: returns epoch seconds.
        first_after: seconds until the providers are asked for the first time.
    """

    def __init__(
        self,
        catalog: Catalog,
        ask: Ask,
        *,
        clock: Callable[[], float],
        first_after: float = _FIRST_ASK_SECONDS,
    ) -> None:
        self._catalog = catalog
        self._ask = ask
        self._clock = clock
        self._first_after = first_after
        self._told: dict[str, Told] = {}
        self._task: asyncio.Task[None] | None = None

    def endings(self) -> list[Ending]:
        """What ends, by all that is known now."""
        return endings(self._catalog, self._told, now=self._clock())

    def end_times(self) -> dict[tuple[str, ...], float]:
        """The ends in epoch seconds, by alias and deployment."""
        return {(ending.alias, ending.deployment): ending.end.at for ending in self.endings()}

    def start(self) -> None:
        """Begin to ask."""
        self._task = asyncio.create_task(self._watch(), name="retirement radar")

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        pause = self._first_after
        while True:
            await asyncio.sleep(pause * random.uniform(1 - _SPREAD, 1))  # noqa: S311 - no secret
            all_told = await self._ask_all()
            self._warn()
            pause = _DAY if all_told else _ASK_AGAIN_SECONDS

    async def _ask_all(self) -> bool:
        """Ask each provider; False where one that should tell did not. What it told before stays then."""
        complete = True
        for name, deployment in self._catalog.deployments.items():
            told = await ask_for_ends(deployment, self._ask)
            if told is not None:
                self._told[name] = told
            elif tells_ends(deployment):
                complete = False
        return complete

    def _warn(self) -> None:
        now = self._clock()
        for ending in self.endings():
            if ending.is_near(now):
                log.warning(
                    "model_ends",
                    model=ending.alias,
                    deployment=ending.deployment,
                    upstream_model=ending.model,
                    day=ending.end.day.isoformat(),
                    days_left=ending.days_left(now),
                    told_by=ending.end.source,
                    successor=ending.end.successor,
                )
