"""The operator's ICE servers from the settings."""

from __future__ import annotations

from app.broker.calls.ice import OwnServers
from app.models import Secret
from app.providers.ice import IceServer, is_turn
from app.settings.ice import IceServerSettings, IceSettings


def build_ice(settings: IceSettings) -> OwnServers:
    """The servers, and those of them that get a fresh credential each time."""
    secret = settings.turn_secret
    fresh = [server for server in settings.servers if server.relays and server.credential is None]
    return OwnServers(
        servers=tuple(found for server in settings.servers for found in _as_they_are(server)),
        turn_urls=tuple(tuple(filter(is_turn, server.urls)) for server in fresh),
        secret=Secret(secret.get_secret_value()) if secret is not None else None,
        lifetime=settings.lifetime_seconds,
        links=settings.link,
    )


def _as_they_are(server: IceServerSettings) -> list[IceServer]:
    if server.credential is not None:
        return [IceServer(server.urls, server.username, server.credential.get_secret_value())]
    plain = tuple(url for url in server.urls if not is_turn(url))
    return [IceServer(plain)] if plain else []
