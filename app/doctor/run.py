"""The examination: which models and deployments it covers, all checks at once, and the report in order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from app.broker.routing.catalog import ANY_MODEL, Catalog
from app.broker.routing.retirement import Ending, Told, endings
from app.doctor.deployment import DeploymentDoctor, Look
from app.doctor.endings import Foresight
from app.doctor.finding import Finding, Report, guarded
from app.doctor.issuer import examine_issuer
from app.doctor.mint import Trial
from app.doctor.settings import egress_finding, settings_findings, shared_secret_findings
from app.doctor.source import Origin, place_of, read_source
from app.doctor.store import StoreDoctor
from app.doctor.webhook import examine_webhook
from app.models import Deployment
from app.outbound.client import UpstreamClient
from app.outbound.egress import Egress
from app.settings import Settings
from app.settings.aliases import AnyModelSettings, ModelSettings, choices
from app.store.embedded.engine import find_engine
from app.wiring import WiringError, build_deployments, build_egress, build_issuer, build_model

_PROXIES: Final = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
# An area runs at most this many checks one after the other, each with its deadline.
_STEPS: Final = 3
_ORDER: Final = ("settings", "litellm", "store", "issuer", "webhook", "deployment")


@dataclass(frozen=True, slots=True)
class Options:
    """What the caller of the doctor chose.

    ``model`` limits the report to the deployments of that alias; ``seconds`` is the deadline of each check.
    ``webhook``: send the webhook of security events a test message.
    """

    mint: bool = False
    webhook: bool = False
    model: str | None = None
    seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class _Area:
    """A part of the examination that runs beside the others; ``title`` is shown while it runs."""

    title: str
    run: Callable[[], Awaitable[list[Finding]]]


async def examine(
    environ: Mapping[str, str],
    options: Options,
    *,
    tell: Callable[[Sequence[str]], None] = lambda waiting: None,
    clock: Callable[[], float] = time.time,
) -> Report:
    """Check everything and return the report within three times ``options.seconds`` and a second.

    Args:
        environ: variables, as the service reads them.
        tell: is called with the titles of the areas still running, whenever that changes.
        clock: returns epoch seconds.
    """
    started = time.monotonic()
    source = read_source(environ)
    if source.settings is None:
        text, fix = (
            "the settings cannot be used, so nothing was checked",
            "fix the rows above, then run it again",
        )
        rest = Finding("store", "details", "skipped", text, fix)
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
            proxied=way_out.status == "ok" and not egress.proxies and _names_proxy(environ),
            clock=clock,
            egress=egress,
            max_call_seconds=settings.max_call_seconds,
        )
        look = replace(look, ends=_foresight(settings, look))
        if way_out.status == "ok":
            asked += [*_issuers(settings, look, options), *_webhook(settings, look, options)]
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
        seconds, fix = options.seconds * _STEPS, "check CLOAKROOM_REDIS_URL"
        return await guarded("store", "store", doctor.examine, seconds=seconds, fix=fix)

    return [_Area("the store", run)]


def _issuers(settings: Settings, look: Look, options: Options) -> list[_Area]:
    def area(name: str) -> _Area:
        issuer = build_issuer(name, settings.issuers[name])

        async def run() -> list[Finding]:
            return await guarded(
                "issuer",
                "keys",
                partial(examine_issuer, issuer, egress=look.egress, clock=look.clock),
                seconds=options.seconds,
                fix=f"check {issuer.place} and the way to it",
                subject=name,
            )

        return _Area(f"issuer {name}", run)

    return [area(name) for name in settings.issuers]


def _webhook(settings: Settings, look: Look, options: Options) -> list[_Area]:
    if settings.security_webhook_url is None:
        return []
    check = partial(
        examine_webhook,
        settings,
        egress=look.egress,
        seconds=options.seconds / 3,
        send=options.webhook,
        clock=look.clock,
    )

    async def run() -> list[Finding]:
        seconds, fix = options.seconds * _STEPS, "check CLOAKROOM_SECURITY_WEBHOOK_URL"
        return await guarded("webhook", "reach", check, seconds=seconds, fix=fix)

    return [_Area("the webhook", run)]


def _foresight(settings: Settings, look: Look) -> Foresight:
    """What ends, over those deployments that can be built."""
    built = {name: _build(settings, name, look) for name in settings.deployments}
    usable = {name: found for name, found in built.items() if isinstance(found, Deployment)}
    models = {alias: build_model(entry) for alias, entry in settings.models.items()}
    catalog = Catalog(usable, models, default_model=settings.default_model, clock=look.clock)

    def ends(name: str, told: Told) -> list[Ending]:
        found = endings(catalog, {name: told}, now=look.clock())
        return [ending for ending in found if ending.deployment == name]

    return ends


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
            origin=origin,
        )
        return await doctor.examine()

    async def run() -> list[Finding]:
        fix = f"check {place('base_url')}"
        return await guarded(
            "deployment", "checks", checks, seconds=options.seconds * _STEPS, fix=fix, subject=name
        )

    return run


def _build(settings: Settings, name: str, look: Look) -> Deployment | str:
    """The deployment as the service would build it, or the reason why it cannot be built."""
    alone = settings.model_copy(update={"deployments": {name: settings.deployments[name]}})
    try:
        return build_deployments(alone, clock=look.clock, egress=look.egress)[name]
    except WiringError as error:
        return str(error)


def leads_to(settings: Settings, alias: str | None, name: str) -> bool:
    """Whether the model ``alias`` leads to a deployment; True for all of them where it is None."""
    if alias is None:
        return True
    entry = _entry(settings, alias)
    return entry is not None and any(choice.deployment == name for choice in choices(entry))


def aliases_of(settings: Settings, name: str) -> list[str]:
    """The models that lead to a deployment, in words for the report."""
    return [
        "any other name" if alias == ANY_MODEL else alias
        for alias, entry in settings.models.items()
        if any(choice.deployment == name for choice in choices(entry))
    ]


def trials_for(settings: Settings, alias: str | None, deployment: Deployment) -> list[Trial]:
    """One alias for each name that the provider is asked for: the deployment's model, or else every alias.

    Empty where only ``*`` leads here and no name is known.
    """
    wanted = [alias] if alias is not None else [name for name in settings.models if name != ANY_MODEL]
    if alias is None and settings.default_model is not None:
        wanted.append(settings.default_model)
    if alias is None:
        # A successor that '*' takes is no alias, and should mint before its day comes.
        entries = [entry for entry in settings.models.values() if isinstance(entry, ModelSettings)]
        wanted += [entry.successor for entry in entries if entry.successor is not None]
    trials: dict[str, Trial] = {}
    for name in wanted:
        entry = _entry(settings, name)
        if entry is not None and leads_to(settings, name, deployment.name):
            trials.setdefault(deployment.upstream_model or name, Trial(name, build_model(entry).policy))
    return list(trials.values())


def unknown_model_findings(settings: Settings, alias: str | None) -> list[Finding]:
    """A failed row if the chosen model does not exist."""
    if alias is None or _entry(settings, alias) is not None:
        return []
    fix = f"ask for one of {', '.join(sorted(settings.models))}, or add it under models"
    return [Finding("settings", "--model", "fail", f"there is no model '{alias}'", fix)]


def _entry(settings: Settings, alias: str) -> AnyModelSettings | None:
    return settings.models.get(alias, settings.models.get(ANY_MODEL))
