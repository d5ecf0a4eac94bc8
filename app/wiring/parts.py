"""Single parts from the settings: the store, the way out, deployments, models."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

from pydantic import SecretStr

from app.broker.routing.catalog import Catalog, Choice, Model, Takeover
from app.broker.session_policy import ModelPolicy, PoolPolicy
from app.models import BearerTokens, Deployment, Secret
from app.outbound.addresses import LOOPBACK, Guard, parse_network
from app.outbound.egress import (
    BadFile,
    Certificates,
    Contexts,
    Egress,
    environment_proxies,
    parse_proxy,
)
from app.outbound.entra import FETCH_SECONDS, EntraIdentity, MissingExtra, entra_fetch
from app.outbound.keeping.federation import EXCHANGE_SECONDS, federation_fetch
from app.outbound.keeping.tokens import TokenKeeper
from app.providers.base import SplitsHosts
from app.providers.federation import Federation
from app.providers.registry import PROVIDERS, region_of
from app.providers.retirement import first_moment
from app.settings import DeploymentSettings, EntraSettings, Settings
from app.settings.aliases import AnyModelSettings, ModelSettings, choices
from app.store.address import parse_address
from app.store.connection import StoreConnection
from app.store.execution import Acknowledgement
from app.store.execution.driver import connect
from app.store.replication import Replication


class WiringError(Exception):
    """The settings are well-formed, but no part can be built from them. Names the setting and the reason."""


def reveal(secret: SecretStr | None) -> str:
    """The text of a secret; the settings have checked that it is there."""
    if secret is None:
        raise WiringError("a secret is missing; make the settings with load_settings")
    return secret.get_secret_value()


_MEMORY_URL: Final = "memory://"


def build_store(settings: Settings) -> StoreConnection:
    """Make the store connection; nothing is connected yet.

    Raises:
        WiringError: the URL cannot be read, or needs a library that is not installed.
    """
    url = settings.redis_url.get_secret_value() if settings.redis_url else _MEMORY_URL
    try:
        client = connect(
            parse_address(url),
            replica=settings.replica,
            timeout=settings.store_timeout_seconds,
            max_connections=settings.redis_max_connections,
        )
    except ValueError as error:
        raise WiringError(f"CLOAKROOM_REDIS_URL: {error}") from None
    return StoreConnection(
        client,
        replica=settings.replica,
        timeout=settings.store_timeout_seconds,
        patience=settings.store_patience_seconds,
        max_connections=settings.redis_max_connections,
    )


def build_replication(settings: Settings, store: StoreConnection) -> Replication | None:
    """What waits for replicas of the store; None where the settings want none."""
    if not settings.store_wait_replicas:
        return None
    wanted = Acknowledgement(settings.store_wait_replicas, settings.store_wait_seconds)
    return Replication(store, wanted, timeout=settings.store_timeout_seconds)


def build_egress(settings: Settings) -> Egress:
    """The way out to providers, with every file of it read once.

    Raises:
        WiringError: a file cannot be used, or a variable of the environment names no proxy.
    """
    certificates = Certificates(
        ca_file=settings.provider_ca_file,
        client_cert_file=settings.provider_client_cert_file,
        client_key_file=settings.provider_client_key_file,
    )
    guard = _guard(settings)
    if certificates.files:
        certificates.use(read_certificates(certificates))
    if settings.provider_proxy is not None:
        proxy = parse_proxy(settings.provider_proxy.get_secret_value())
        proxies, source = {"http": proxy, "https": proxy}, "CLOAKROOM_PROVIDER_PROXY"
        return Egress(proxies, source=source, certificates=certificates, guard=guard)
    if not settings.trust_environment_proxy:
        return Egress(certificates=certificates, guard=guard)
    try:
        found, no_proxy = environment_proxies()
    except ValueError as error:
        raise WiringError(str(error)) from None
    return Egress(found, no_proxy, source="HTTPS_PROXY", certificates=certificates, guard=guard)


def read_certificates(certificates: Certificates) -> Contexts:
    """Read the files.

    Raises:
        WiringError: one cannot be used; the message begins with its variable.
    """
    try:
        return certificates.read()
    except BadFile as error:
        raise WiringError(f"CLOAKROOM_PROVIDER_{error.which.upper()}: {error}") from None


def _guard(settings: Settings) -> Guard:
    """What may be dialled besides public addresses."""
    if settings.private_networks is None:
        return Guard(() if settings.production else LOOPBACK)
    return Guard(tuple(map(parse_network, settings.private_networks)))


def build_deployments(
    settings: Settings, *, clock: Callable[[], float], egress: Egress | None = None
) -> dict[str, Deployment]:
    """The configured deployments by name. Nothing is sent yet: ``BearerTokens.start`` does that.

    Args:
        egress: the way to Microsoft Entra ID; made from the settings where it is left out.

    Raises:
        WiringError: a URL is not one of that provider, or ``azure-identity`` is wanted and not installed.
    """
    way = egress or build_egress(settings)
    return {
        name: _deployment(name, configured, egress=way, clock=clock)
        for name, configured in settings.deployments.items()
    }


def token_keepers(deployments: Mapping[str, Deployment]) -> list[BearerTokens]:
    """The tokens to start before the deployments are used, and to close afterwards."""
    return [deployment.tokens for deployment in deployments.values() if deployment.tokens is not None]


def _deployment(
    name: str, configured: DeploymentSettings, *, egress: Egress, clock: Callable[[], float]
) -> Deployment:
    provider = PROVIDERS[configured.provider]
    try:
        base_url = provider.base_url(_base_url(configured))
        offers_to = _webrtc_url(configured)
    except ValueError as error:
        raise WiringError(f"deployments.{name}: {error}") from None
    key = configured.api_key.get_secret_value() if configured.api_key is not None else ""
    return Deployment(
        name=name,
        provider=configured.provider,
        base_url=base_url,
        api_key=Secret(key) if key else None,
        upstream_model=configured.model,
        tokens=_tokens(name, configured, egress, clock=clock),
        webrtc_filter=provider.traits.takes_filter and configured.webrtc_filter is not False,
        call_key=configured.call_key if configured.mints else "standard",
        api_version=configured.api_version,
        webrtc_url=offers_to,
        region=region_of(provider.traits, configured.region, base_url),
        ephemeral_keys=configured.mints,
        families=provider.traits.families,
    )


def _base_url(configured: DeploymentSettings) -> str | None:
    traits = PROVIDERS[configured.provider].traits
    if configured.region is None or traits.has_front_end:
        return configured.base_url
    return traits.regions[configured.region]


def _webrtc_url(configured: DeploymentSettings) -> str | None:
    provider = PROVIDERS[configured.provider]
    if configured.webrtc_url is not None and isinstance(provider, SplitsHosts):
        return provider.webrtc_url(configured.webrtc_url)
    traits = provider.traits
    return (
        traits.regions[configured.region] if configured.region is not None and traits.has_front_end else None
    )


def _tokens(
    name: str, configured: DeploymentSettings, egress: Egress, *, clock: Callable[[], float]
) -> BearerTokens | None:
    if configured.entra is not None:
        return _entra(name, configured.entra, egress, clock=clock)
    if configured.workload_identity is None:
        return None
    federation = Federation(
        place=f"deployments.{name}.workload_identity", **configured.workload_identity.model_dump()
    )
    fetch = federation_fetch(federation, clock=clock, egress=egress)
    return TokenKeeper(name, fetch, issuer="OpenAI", fetch_seconds=2 * EXCHANGE_SECONDS, clock=clock)


def _entra(name: str, entra: EntraSettings, egress: Egress, *, clock: Callable[[], float]) -> BearerTokens:
    place = f"deployments.{name}.entra"
    identity = EntraIdentity(
        place=place,
        kind=entra.resolved_kind,
        tenant_id=entra.tenant_id,
        client_id=entra.client_id,
        client_secret=Secret(entra.client_secret.get_secret_value()) if entra.client_secret else None,
    )
    try:
        fetch = entra_fetch(identity, clock=clock, egress=egress)
    except MissingExtra:
        raise WiringError(
            f"{place} needs azure-identity, which is not installed; run: pip install 'cloakroom[entra]'"
        ) from None
    return TokenKeeper(name, fetch, issuer="Microsoft Entra ID", fetch_seconds=FETCH_SECONDS, clock=clock)


def build_catalog(
    settings: Settings, *, clock: Callable[[], float] = time.time, egress: Egress | None = None
) -> Catalog:
    """The models of the settings over their deployments.

    Args:
        egress: as for ``build_deployments``.

    Raises:
        WiringError: a deployment cannot be built.
    """
    deployments = build_deployments(settings, clock=clock, egress=egress)
    models = {alias: build_model(entry) for alias, entry in settings.models.items()}
    return Catalog(deployments, models, default_model=settings.default_model, clock=clock)


def build_model(entry: AnyModelSettings) -> Model:
    """One alias with its deployments and its policy."""
    found = tuple(Choice(choice.deployment, choice.priority, choice.weight) for choice in choices(entry))
    if not isinstance(entry, ModelSettings):
        return Model(found)
    return Model(
        found,
        ModelPolicy(
            defaults=entry.defaults,
            locked=entry.locked,
            strip_instructions=entry.strip_instructions,
            min_seconds=entry.min_seconds,
            max_seconds=entry.max_seconds,
            default_seconds=entry.default_seconds,
            max_calls=entry.max_calls,
            max_call_seconds=entry.max_call_seconds,
            metering=entry.metering,
            pool=PoolPolicy(entry.pool.target, entry.pool.max_waste) if entry.pool is not None else None,
        ),
        _takeover(entry),
    )


def _takeover(entry: ModelSettings) -> Takeover | None:
    if entry.successor is None or entry.successor_from is None:
        return None
    return Takeover(entry.successor, first_moment(entry.successor_from))
