"""Makes the deployments of the settings: each URL by its provider's own rule, each credential of its kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from app.models import BearerTokens, Deployment, Secret
from app.settings import DeploymentSettings, EntraSettings, Settings
from app.upstream.azure_preview import REGIONS, webrtc_url
from app.upstream.entra import FETCH_SECONDS, EntraIdentity, MissingExtra, entra_fetch
from app.upstream.providers import PROVIDERS
from app.upstream.tokens import TokenKeeper
from app.wiring.errors import WiringError


def build_deployments(settings: Settings, *, clock: Callable[[], float]) -> dict[str, Deployment]:
    """The configured deployments by name. Nothing is asked of anybody yet: ``BearerTokens.start`` does.

    Raises:
        WiringError: a URL is not one of that provider, or ``azure-identity`` is wanted and not installed.
    """
    return {
        name: _deployment(name, configured, clock=clock) for name, configured in settings.deployments.items()
    }


def token_keepers(deployments: Mapping[str, Deployment]) -> list[BearerTokens]:
    """What must be started before the deployments are used, and closed after."""
    return [deployment.tokens for deployment in deployments.values() if deployment.tokens is not None]


def _deployment(name: str, configured: DeploymentSettings, *, clock: Callable[[], float]) -> Deployment:
    provider = PROVIDERS[configured.provider]
    try:
        base_url = provider.base_url(configured.base_url)
        offers_to = _webrtc_url(configured)
    except ValueError as error:
        raise WiringError(f"deployments.{name}: {error}") from None
    return Deployment(
        name=name,
        provider=configured.provider,
        base_url=base_url,
        api_key=Secret(configured.api_key.get_secret_value()) if configured.api_key is not None else None,
        upstream_model=configured.model,
        tokens=_tokens(name, configured.entra, clock=clock) if configured.entra is not None else None,
        webrtc_filter=configured.provider == "azure" and configured.webrtc_filter is not False,
        call_key=configured.call_key,
        api_version=configured.api_version,
        webrtc_url=offers_to,
    )


def _webrtc_url(configured: DeploymentSettings) -> str | None:
    if configured.webrtc_url is not None:
        return webrtc_url(configured.webrtc_url)
    return REGIONS[configured.region] if configured.region is not None else None


def _tokens(name: str, entra: EntraSettings, *, clock: Callable[[], float]) -> BearerTokens:
    place = f"deployments.{name}.entra"
    identity = EntraIdentity(
        place=place,
        kind=entra.resolved_kind,
        tenant_id=entra.tenant_id,
        client_id=entra.client_id,
        client_secret=Secret(entra.client_secret.get_secret_value()) if entra.client_secret else None,
    )
    try:
        fetch = entra_fetch(identity, clock=clock)
    except MissingExtra:
        raise WiringError(
            f"{place} needs azure-identity, which is not installed; run: pip install 'cloakroom[entra]'"
        ) from None
    return TokenKeeper(name, fetch, fetch_seconds=FETCH_SECONDS, clock=clock)
