"""``cloakroom serve``: one replica, the production entry."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from app.cli.replica import run_replica


def serve(
    *,
    config: Annotated[Path | None, Parameter(help="Our own YAML file, or LiteLLM's config.yaml.")] = None,
) -> None:
    """Run one replica until SIGTERM. Settings come from CLOAKROOM_... variables and the YAML file.

    In production it needs CLOAKROOM_REDIS_URL, CLOAKROOM_SIGNING_KEYS, CLOAKROOM_SEALING_KEYS,
    CLOAKROOM_API_KEYS and a provider; ``cloakroom keys new`` makes the secrets.
    """
    run_replica(config)
