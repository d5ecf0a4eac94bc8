"""The parts that hold a secret, and how a new one gets to them while they serve."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from app.broker.calls.ice import IceServers
from app.broker.clients import ClientRegistry
from app.broker.mint import Minter
from app.broker.routing.catalog import Catalog
from app.errors import UpstreamError
from app.handles.client_tokens import ClientTokens
from app.handles.keyring import parse_sealing_ring, parse_signing_ring
from app.handles.rotation import SEALING, SIGNING, RingKey, RingUse, sealing_keys, signing_keys
from app.models import BearerTokens, Deployment
from app.outbound.egress import Certificates, Contexts
from app.outbound.webhook import parse_webhook_secrets
from app.settings import DeploymentSettings, Settings
from app.store.address import StoreAddress, parse_address
from app.wiring.broker import Shared
from app.wiring.ice import build_ice
from app.wiring.identity import admin_pairs, client_pairs
from app.wiring.parts import WiringError, build_deployments, reveal, token_keepers

# For the first token with a new client secret, which is tried before it counts.
_TRY_SECONDS: Final = 10.0


class Rings:
    """The use of both rings. ``clock`` returns epoch seconds."""

    def __init__(self, settings: Settings, catalog: Catalog, *, clock: Callable[[], float]) -> None:
        signing, sealing = _keys_of(settings)
        longest = catalog.longest_handle_seconds
        # The record of a call has a proof by a sealing key.
        on_record = max(longest, settings.call_retention_seconds)
        self.signing: Final = RingUse(SIGNING, signing, longest=longest, clock=clock)
        self.sealing: Final = RingUse(SEALING, sealing, longest=on_record, clock=clock)

    def problems(self, settings: Settings) -> list[str]:
        """Why the rings of these settings may not take the place of those in force, a line for each."""
        signing, sealing = _keys_of(settings)
        found = {
            "CLOAKROOM_SIGNING_KEYS": self.signing.problem(signing),
            "CLOAKROOM_SEALING_KEYS": self.sealing.problem(sealing),
        }
        return [f"{name}: {problem}" for name, problem in found.items() if problem is not None]

    def change(self, settings: Settings) -> None:
        """The rings of these settings are in force from now on."""
        signing, sealing = _keys_of(settings)
        self.signing.change(signing)
        self.sealing.change(sealing)


def _keys_of(settings: Settings) -> tuple[tuple[RingKey, ...], tuple[RingKey, ...]]:
    return (
        signing_keys(parse_signing_ring(reveal(settings.signing_keys))),
        sealing_keys(parse_sealing_ring(reveal(settings.sealing_keys))),
    )


@dataclass(frozen=True, slots=True)
class SecretHolders:
    """Every part that holds a secret, or what was read of files beside it."""

    shared: Shared
    clients: ClientRegistry
    admins: ClientRegistry | None
    client_tokens: ClientTokens | None
    minter: Minter
    ice: IceServers
    certificates: Certificates

    async def take(self, running: Settings, settings: Settings, contexts: Contexts | None) -> None:
        """Give each part its secret of ``settings``, all at one moment, or none where one cannot be used.

        ``contexts`` are of the certificates' files; None where there are none.

        Raises:
            WiringError: a deployment cannot sign in with its new client secret.
        """
        signing = parse_signing_ring(reveal(settings.signing_keys))
        sealing = parse_sealing_ring(reveal(settings.sealing_keys))
        clients, admins = client_pairs(settings), admin_pairs(settings)
        address = self._new_store_user(running, settings)
        ice, signs = build_ice(settings.ice), settings.security_webhook_secret
        webhook_secrets = parse_webhook_secrets(reveal(signs)) if signs is not None else ()
        deployments = await self._deployments(running, settings)
        retired = [
            tokens
            for name, deployment in self.shared.catalog.deployments.items()
            if (tokens := deployment.tokens) is not None and deployments[name].tokens is not tokens
        ]
        # From here on nothing waits and nothing fails, so no request sees one half.
        self.shared.handles.use(signing)
        if self.client_tokens is not None:
            self.client_tokens.use(signing)
        self.shared.sealer.use(sealing)
        self.clients.use(clients)
        if self.admins is not None:
            self.admins.use(admins)
        self.shared.catalog.use(deployments)
        if settings.subject_key is not None:
            self.minter.policy.subject_key = reveal(settings.subject_key).encode()
        self.ice.own = ice
        if contexts is not None:
            self.certificates.use(contexts)
        if address is not None and self.shared.store.credentials is not None:
            self.shared.store.credentials.use(address.username, address.password or "")
        if webhook_secrets:
            self.shared.security.sign_with(webhook_secrets)
        for tokens in retired:
            await tokens.close()

    def _new_store_user(self, running: Settings, settings: Settings) -> StoreAddress | None:
        """The store's address where its user or password is another one than before."""
        if settings.redis_url is None or settings.redis_url == running.redis_url:
            return None
        return parse_address(settings.redis_url.get_secret_value())

    async def _deployments(self, running: Settings, settings: Settings) -> dict[str, Deployment]:
        """All deployments; those with a new key or client secret are made anew."""
        changed = {
            name: configured
            for name, configured in settings.deployments.items()
            if configured != running.deployments[name]
        }
        known = self.shared.catalog.deployments
        made = dict[str, Deployment]()
        built = self._built(settings, changed)
        try:
            for name, deployment in built.items():
                if deployment.tokens is None:
                    made[name] = replace(known[name], api_key=deployment.api_key)
                else:
                    await _try(name, deployment.tokens)
                    made[name] = replace(known[name], tokens=deployment.tokens)
        except BaseException:
            for tokens in token_keepers(built):
                await tokens.close()
            raise
        return {**known, **made}

    def _built(self, settings: Settings, changed: dict[str, DeploymentSettings]) -> dict[str, Deployment]:
        only = settings.model_copy(update={"deployments": changed})
        return build_deployments(only, clock=self.shared.clocks.now) if changed else {}


async def _try(name: str, tokens: BearerTokens) -> None:
    """Get the first token.

    Raises:
        WiringError: there is none.
    """
    await tokens.start(wait=_TRY_SECONDS)
    try:
        tokens.current()
    except UpstreamError as error:
        raise WiringError(f"deployments.{name}.entra.client_secret: {error}") from None
