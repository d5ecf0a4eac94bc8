"""Makes the parts of the service from the settings; the parts themselves get plain values.

It is apart from the composition root because the doctor makes single parts without the service. What a part
does belongs to the part's own room.
"""

from app.wiring.broker import Broker, Shared
from app.wiring.parts import (
    WiringError,
    build_admins,
    build_catalog,
    build_clients,
    build_deployments,
    build_egress,
    build_model,
    build_store,
    reveal,
    token_keepers,
)

__all__ = [
    "Broker",
    "Shared",
    "WiringError",
    "build_admins",
    "build_catalog",
    "build_clients",
    "build_deployments",
    "build_egress",
    "build_model",
    "build_store",
    "reveal",
    "token_keepers",
]
