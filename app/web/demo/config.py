"""What the page is told about the service: names and addresses, and no secret."""

from __future__ import annotations

from typing import Any, Final

from app import __version__
from app.broker.catalog import ANY_MODEL
from app.settings import Settings

# Where no other replica is named, the page talks to the one that it came from, whatever its address.
HERE: Final = ""


def demo_replicas(settings: Settings) -> list[tuple[str, str]]:
    """(name, origin) of each replica that the page offers, this one alone by default."""
    pairs = [entry.partition("=") for entry in settings.demo_replicas]
    return [(name, url) for name, _, url in pairs] or [(settings.replica, HERE)]


def page_config(settings: Settings) -> dict[str, Any]:
    """The body of ``config.json``."""
    models = sorted(alias for alias in settings.models if alias != ANY_MODEL)
    return {
        "version": __version__,
        "models": models,
        # With the alias * the provider decides which names there are, so the page lets one be typed.
        "any_model": ANY_MODEL in settings.models,
        "default_model": settings.default_model or next(iter(models), None),
        "replicas": [{"name": name, "url": url} for name, url in demo_replicas(settings)],
    }
