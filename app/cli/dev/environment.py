"""The environment of each child. Secrets go there, since every user of the machine can read command lines."""

from __future__ import annotations

import json
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import yaml

from app.cli.keys.new import caller_secret, next_kid, sealing_secret, signing_secret
from app.outbound.addresses import LOOPBACK

SANDBOX_KEY_ENV: Final = "CLOAKROOM_SANDBOX_OPENAI_KEY"
CLIENT_NAME: Final = "dev"
MAX_REPLICAS: Final = len(string.ascii_lowercase)
_PROVIDER_NAMES: Final = ("OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT", "CLOAKROOM_CONFIG")


@dataclass(frozen=True, slots=True)
class RunSecrets:
    """The secrets of one run, as the settings take them; useless after it."""

    signing: str = field(repr=False)
    sealing: str = field(repr=False)
    client_key: str = field(repr=False)
    admin_key: str = field(repr=False)
    provider_key: str = field(repr=False)

    @classmethod
    def fresh(cls) -> RunSecrets:
        kid = next_kid(datetime.now(UTC).date(), ())
        return cls(
            signing=signing_secret(kid).entry,
            sealing=sealing_secret(kid).entry,
            client_key=caller_secret(CLIENT_NAME).key,
            admin_key=caller_secret(CLIENT_NAME, admin=True).key,
            provider_key="sk-" + caller_secret("sandbox").key,
        )


@dataclass(frozen=True, slots=True)
class Run:
    """What all replicas of one run share.

    ``sandbox_url`` is None where the user's own provider is used; ``replicas`` are (name, base URL) of all of
    them, for the demo page.
    """

    host: str
    redis_url: str
    secrets: RunSecrets
    sandbox_url: str | None
    replicas: tuple[tuple[str, str], ...] = ()


def replica_name(index: int) -> str:
    """``replica-a``, ``replica-b``, and so on."""
    return f"replica-{string.ascii_lowercase[index]}"


def names_a_provider(environ: Mapping[str, str]) -> bool:
    """Whether the environment names a provider; else the sandbox serves."""
    return any(environ.get(name) for name in _PROVIDER_NAMES) or any(
        name.startswith("CLOAKROOM_DEPLOYMENTS") and value for name, value in environ.items()
    )


def read_config(environ: Mapping[str, str]) -> dict[str, Any]:
    """The top level of the user's YAML file; empty when there is none or it is broken.

    The replicas read all of it and say what is wrong with it.
    """
    name = environ.get("CLOAKROOM_CONFIG")
    if not name:
        return {}
    try:
        loaded = yaml.safe_load(Path(name).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    return loaded if isinstance(loaded, dict) else {}


def replica_environment(environ: Mapping[str, str], run: Run, *, index: int, port: int) -> dict[str, str]:
    """Return one replica's environment: our values, then the user's over them.

    The user's value is not taken where replicas differ from each other (port, name).
    """
    secrets = run.secrets
    ours = {
        "CLOAKROOM_ENVIRONMENT": "development",
        "CLOAKROOM_SIGNING_KEYS": secrets.signing,
        "CLOAKROOM_SEALING_KEYS": secrets.sealing,
        "CLOAKROOM_API_KEYS": f"{CLIENT_NAME}:{secrets.client_key}",
        "CLOAKROOM_ADMIN_KEYS": f"{CLIENT_NAME}:{secrets.admin_key}",
        "CLOAKROOM_CORS_ORIGINS": "*",
        # A page whose name is made to lead here must find nothing.
        "CLOAKROOM_ALLOWED_HOSTS": ",".join(_names(run.host)),
        # Where the provider in a box is, also for replicas that are told to run as in production.
        "CLOAKROOM_PRIVATE_NETWORKS": ",".join(map(str, LOOPBACK)),
        # There is no load balancer to wait for at the end.
        "CLOAKROOM_DRAIN_SECONDS": "0",
        "CLOAKROOM_SHUTDOWN_SECONDS": "5",
        "CLOAKROOM_DEMO_REPLICAS": ",".join(f"{name}={url}" for name, url in run.replicas),
    }
    in_file = {f"CLOAKROOM_{str(name).upper()}" for name in read_config(environ)}
    theirs = {name: value for name, value in environ.items() if value}
    settled = {name: value for name, value in ours.items() if name not in in_file} | theirs
    settled |= {
        "CLOAKROOM_HOST": run.host,
        "CLOAKROOM_PORT": str(port),
        "CLOAKROOM_REPLICA": replica_name(index),
        "CLOAKROOM_REDIS_URL": run.redis_url,
    }
    if run.sandbox_url is not None:
        settled.setdefault("CLOAKROOM_ISSUERS", _sandbox_issuer(run.sandbox_url, settled))
        settled |= {"OPENAI_API_KEY": secrets.provider_key, "OPENAI_BASE_URL": f"{run.sandbox_url}/v1"}
    return settled


def _names(host: str) -> list[str]:
    """The names of a replica that listens on ``host``; it answers to addresses anyway."""
    return ["localhost", *([host] if re.fullmatch(r"[A-Za-z0-9.-]*[A-Za-z-][A-Za-z0-9.-]*", host) else [])]


def _sandbox_issuer(sandbox_url: str, settled: Mapping[str, str]) -> str:
    """The setting that lets users of the provider in a box sign in; "" where its client is not there."""
    if CLIENT_NAME not in (pair.partition(":")[0] for pair in settled["CLOAKROOM_API_KEYS"].split(",")):
        return ""
    users = {"client": CLIENT_NAME, "page_client_id": "cloakroom-demo"}
    issuer = {
        "issuer": f"{sandbox_url}/issuer",
        "audience": "cloakroom",
        "algorithms": ["ES256", "RS256"],
        "users": users,
    }
    return json.dumps({"sandbox": issuer})


def sandbox_environment(environ: Mapping[str, str], secrets: RunSecrets) -> dict[str, str]:
    """Return the sandbox's environment, without the service's settings."""
    kept = {name: value for name, value in environ.items() if not name.startswith("CLOAKROOM_")}
    return kept | {SANDBOX_KEY_ENV: secrets.provider_key}
