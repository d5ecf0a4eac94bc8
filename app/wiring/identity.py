"""Who may use the service, from the settings: clients, operators, and issuers whose tokens are accepted."""

from __future__ import annotations

from collections.abc import Callable

from app.broker.clients import ClientRegistry
from app.handles.client_tokens import ClientTokens
from app.handles.keyring import parse_signing_ring
from app.identity.issuers import Issuer, Rule, Users
from app.models import CallLimits, Client
from app.outbound.egress import Egress
from app.outbound.keeping.issuer_keys import IssuerKeys, keys_fetch
from app.settings import IssuerSettings, Settings
from app.settings.secrets import parse_key_pairs
from app.telemetry.identity_metrics import IdentityMetrics
from app.wiring.parts import reveal


def build_client_tokens(settings: Settings, *, clock: Callable[[], float]) -> ClientTokens | None:
    """What signs and verifies client tokens; None where nobody can get one."""
    if not any(issuer.exchange for issuer in settings.issuers.values()):
        return None
    return ClientTokens(parse_signing_ring(reveal(settings.signing_keys)), clock=clock)


def build_clients(settings: Settings, *, tokens: ClientTokens | None = None) -> ClientRegistry:
    """The clients of the settings, by their keys."""
    return ClientRegistry(client_pairs(settings), tokens=tokens)


def client_pairs(settings: Settings) -> list[tuple[Client, str | None]]:
    """The clients of ``CLOAKROOM_API_KEYS``, which may use everything, and those of the YAML file."""
    pairs = parse_key_pairs(settings.api_keys.get_secret_value()) if settings.api_keys else {}
    plain: list[tuple[Client, str | None]] = [(Client(name), key) for name, key in pairs.items()]
    configured = [
        (
            Client(
                name,
                models=frozenset(client.models) if client.models is not None else None,
                mints_per_minute=client.mints_per_minute,
                mints_per_minute_per_subject=client.mints_per_minute_per_subject,
                max_call_seconds=client.max_call_seconds,
                max_live_handles=client.max_live_handles,
                call_limits=CallLimits(
                    max_open_calls=client.max_open_calls,
                    max_open_calls_per_subject=client.max_open_calls_per_subject,
                    max_call_seconds_per_day=client.max_call_seconds_per_day,
                    max_call_seconds_per_day_per_subject=client.max_call_seconds_per_day_per_subject,
                ),
            ),
            client.api_key.get_secret_value() if client.api_key is not None else None,
        )
        for name, client in settings.clients.items()
    ]
    return [*plain, *configured]


def build_admins(settings: Settings) -> ClientRegistry | None:
    """The operators of ``CLOAKROOM_ADMIN_KEYS``; None where there is none, and then no admin API."""
    return ClientRegistry(admin_pairs(settings)) if settings.admin_keys is not None else None


def admin_pairs(settings: Settings) -> list[tuple[Client, str | None]]:
    """The operators of ``CLOAKROOM_ADMIN_KEYS``."""
    pairs = parse_key_pairs(settings.admin_keys.get_secret_value()) if settings.admin_keys else {}
    return [(Client(name), key) for name, key in pairs.items()]


def build_issuer(name: str, configured: IssuerSettings) -> Issuer:
    """One issuer, as its tokens are held to."""
    users = configured.users
    return Issuer(
        name=name,
        url=configured.issuer,
        audiences=configured.audience,
        algorithms=configured.algorithms,
        leeway=configured.leeway_seconds,
        keys_url=configured.jwks_url,
        token_file=configured.token_file,
        users=Users(users.client, users.claim, users.clients) if users is not None else None,
        rules=tuple(Rule(rule.subject, rule.client, rule.audience) for rule in configured.exchange),
    )


def build_issuer_keys(
    settings: Settings, metrics: IdentityMetrics, *, clock: Callable[[], float], egress: Egress
) -> dict[str, tuple[Issuer, IssuerKeys]]:
    """Each issuer with what keeps its keys. Nothing is sent yet: ``IssuerKeys.start`` does that."""
    issuers = [build_issuer(name, configured) for name, configured in settings.issuers.items()]
    return {
        issuer.name: (
            issuer,
            IssuerKeys(
                issuer,
                keys_fetch(issuer, clock=clock, egress=egress),
                count=metrics.fetched(issuer.name),
                clock=clock,
            ),
        )
        for issuer in issuers
    }
