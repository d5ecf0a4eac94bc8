"""The connection to the store, from the settings."""

from __future__ import annotations

from typing import Final

from app.settings import Settings
from app.store.address import parse_address
from app.store.connection import StoreConnection
from app.store.driver import connect
from app.wiring.errors import WiringError

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
        max_connections=settings.redis_max_connections,
    )
