"""Who may use the service, from the settings."""

from __future__ import annotations

from app.clients import ClientRegistry
from app.models import Client
from app.settings import Settings
from app.settings.secrets import parse_key_pairs


def build_clients(settings: Settings) -> ClientRegistry:
    """The clients of ``CLOAKROOM_API_KEYS``, which may use everything, and those of the YAML file."""
    pairs = parse_key_pairs(settings.api_keys.get_secret_value()) if settings.api_keys else {}
    plain = [(Client(name), key) for name, key in pairs.items()]
    configured = [
        (
            Client(
                name,
                models=frozenset(client.models) if client.models is not None else None,
                mints_per_minute=client.mints_per_minute,
            ),
            client.api_key.get_secret_value(),
        )
        for name, client in settings.clients.items()
    ]
    return ClientRegistry([*plain, *configured])


def build_admins(settings: Settings) -> ClientRegistry | None:
    """The operators of ``CLOAKROOM_ADMIN_KEYS``; None where there is none, and then no admin API."""
    if settings.admin_keys is None:
        return None
    pairs = parse_key_pairs(settings.admin_keys.get_secret_value())
    return ClientRegistry([(Client(name), key) for name, key in pairs.items()])
