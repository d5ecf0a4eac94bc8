"""Makes the parts of the service from the settings, and gives them secrets that were read anew.

The parts themselves get plain values. It is apart from the composition root because the doctor makes single
parts without the service. What a part does belongs to the part's own room.
"""

from app.wiring.broker import Broker, Shared
from app.wiring.desk import build_desk
from app.wiring.identity import (
    build_client_tokens,
    build_clients,
    build_issuer,
    build_issuer_keys,
)
from app.wiring.parts import (
    WiringError,
    build_catalog,
    build_deployments,
    build_egress,
    build_model,
    build_store,
    reveal,
    token_keepers,
)
from app.wiring.pools import tell_pools, watch_pools
from app.wiring.reload import Reloader
from app.wiring.secrets import SecretHolders
from app.wiring.security import Beside, build_security, build_webhook
from app.wiring.spans import tell_span

__all__ = [
    "Beside",
    "Broker",
    "Reloader",
    "SecretHolders",
    "Shared",
    "WiringError",
    "build_catalog",
    "build_client_tokens",
    "build_clients",
    "build_deployments",
    "build_desk",
    "build_egress",
    "build_issuer",
    "build_issuer_keys",
    "build_model",
    "build_security",
    "build_store",
    "build_webhook",
    "reveal",
    "tell_pools",
    "tell_span",
    "token_keepers",
    "watch_pools",
]
