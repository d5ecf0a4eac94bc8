"""Makes the parts from the settings: the parts themselves get plain values."""

from __future__ import annotations

from app.wiring.catalog import build_catalog, build_model
from app.wiring.clients import build_admins, build_clients
from app.wiring.deployments import build_deployments, token_keepers
from app.wiring.errors import WiringError
from app.wiring.secrets import reveal
from app.wiring.store import build_store

__all__ = [
    "WiringError",
    "build_admins",
    "build_catalog",
    "build_clients",
    "build_deployments",
    "build_model",
    "build_store",
    "reveal",
    "token_keepers",
]
