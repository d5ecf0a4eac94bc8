"""Everything that is looked at, all at once, in the order in which it is read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from app.doctor.deployment_checks import DeploymentDoctor, Look
from app.doctor.finding import Finding, Report
from app.doctor.guard import guarded
from app.doctor.places import Origin, place_of
from app.doctor.plan import aliases_of, leads_to, trials_for, unknown_model_findings
from app.doctor.settings_rows import egress_finding, settings_findings
from app.doctor.shared_secrets import shared_secret_findings
from app.doctor.source import read_source
from app.doctor.store_checks import StoreDoctor
from app.models import Deployment
from app.outbound.client import UpstreamClient
from app.outbound.egress import Egress
from app.settings import Settings
from app.store.embedded.engine import find_engine
from app.wiring import WiringError, build_deployments, build_egress

_PROXIES: Final = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
# An area asks at most this many questions one after the other, each with the deadline of a check.
_STEPS: Final = 3
_ORDER: Final = ("settings", "litellm", "store", "deployment")


@dataclass(frozen=True, slots=True)
class Options:
    """What the caller of the doctor chose.

    ``model`` keeps it to the deployments of one alias; ``seconds`` is the deadline of each check.
    """

    mint: bool = False
    model: str | None = None
    seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class _Area:
    """A part of the report that is worked out by itself; ``title`` is shown while it runs."""

    title: str
    run: Callable[[], Awaitable[list[Finding]]]


async def examine(
    environ: Mapping[str, str],
    options: Options,
    *,
    tell: Callable[[Sequence[str]], None] = lambda waiting: None,
    clock: Callable[[], float] = time.time,
) -> Report:
    """Look at everything and return what was found, within three times ``options.seconds`` and a second.

    Args:
        environ: variables, as the service reads them.
        tell: is called with the titles of what is still being looked at, whenever that changes.
        clock: returns epoch seconds.
    """
    started = time.monotonic()
    source = read_source(environ)
    if source.settings is None:
        fix = "mend the rows above, then run it again"
        rest = Finding(
            "store", "details", "skipped", "the settings cannot be used, so nothing was asked", fix
        )
        return Report([*source.findings, rest], time.monotonic() - started)
    settings = source.settings
    has_engine = settings.redis_url is None and find_engine(environ) is not None
    written = [*settings_findings(settings, has_engine=has_engine), *shared_secret_findings(settings)]
    unknown = unknown_model_findings(settings, options.model)
    egress, way_out = _egress(settings)
    upstream = UpstreamClient(connect_timeout=settings.connect_timeout_seconds, egress=egress)
    # Without a way out no deployment can be asked; the store still can.
    asked = _store(settings, options, clock)
    try:
        look = Look(
            upstream=upstream,
            seconds=options.seconds,
            mint=options.mint,
            production=settings.production,
            proxied=way_out.status == "ok" and not egress.proxies and _names_proxy(environ),
            clock=clock,
            egress=egress,
        )
        if way_out.status == "ok":
            asked += _deployments(settings, look, options, source.origin)
        found = await _all(asked, tell)
    finally:
        await upstream.close()
    rows = [*source.findings, *written, way_out, *unknown, *found]
    findings = sorted(rows, key=lambda row: _ORDER.index(row.area))
    return Report(findings, time.monotonic() - started)


def _egress(settings: Settings) -> tuple[Egress, Finding]:
    """The way out, and its row; where it cannot be built, the row says why."""
    try:
        egress = build_egress(settings)
    except WiringError as error:
        name, _, detail = str(error).partition(": ")
        fix = f"correct {name}, and run this again for the deployments"
        return Egress(), Finding("settings", "egress", "fail", detail, fix)
    return egress, egress_finding(egress)


def _names_proxy(environ: Mapping[str, str]) -> bool:
    return any(environ.get(name) for name in _PROXIES)


async def _all(areas: Sequence[_Area], tell: Callable[[Sequence[str]], None]) -> list[Finding]:
    waiting = [area.title for area in areas]
    tell(waiting)

    async def one(area: _Area) -> list[Finding]:
        found = await area.run()
        waiting.remove(area.title)
        tell(waiting)
        return found

    results = await asyncio.gather(*(one(area) for area in areas))
    return [finding for several in results for finding in several]


def _store(settings: Settings, options: Options, clock: Callable[[], float]) -> list[_Area]:
    if settings.redis_url is None:
        return []
    doctor = StoreDoctor(settings, seconds=options.seconds, clock=clock)

    async def run() -> list[Finding]:
        return await guarded(
            "store",
            "store",
            doctor.examine,
            seconds=options.seconds * _STEPS,
            fix="check CLOAKROOM_REDIS_URL",
        )

    return [_Area("the store", run)]


def _deployments(settings: Settings, look: Look, options: Options, origin: Origin) -> list[_Area]:
    return [
        _Area(f"deployment {name}", _one(settings, look, options, origin, name))
        for name in settings.deployments
        if leads_to(settings, options.model, name)
    ]


def _one(
    settings: Settings, look: Look, options: Options, origin: Origin, name: str
) -> Callable[[], Awaitable[list[Finding]]]:
    def place(field: str) -> str:
        return place_of(origin, name, settings.deployments[name].provider, field)

    async def checks() -> list[Finding]:
        deployment = _build(settings, name, look)
        if isinstance(deployment, str):
            fix = f"correct {place('entra') if '.entra' in deployment else place('base_url')}"
            return [Finding("deployment", "target", "fail", deployment, fix, name)]
        doctor = DeploymentDoctor(
            look,
            deployment,
            trials=trials_for(settings, options.model, deployment),
            aliases=aliases_of(settings, name),
            place=place,
        )
        return await doctor.examine()

    async def run() -> list[Finding]:
        fix = f"check {place('base_url')}"
        return await guarded(
            "deployment", "checks", checks, seconds=options.seconds * _STEPS, fix=fix, subject=name
        )

    return run


def _build(settings: Settings, name: str, look: Look) -> Deployment | str:
    """One deployment as the service builds it, or why it cannot; the others are still looked at."""
    alone = settings.model_copy(update={"deployments": {name: settings.deployments[name]}})
    try:
        return build_deployments(alone, clock=look.clock, egress=look.egress)[name]
    except WiringError as error:
        return str(error)
