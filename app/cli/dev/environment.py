"""What the children are told, by environment only: a command line is open to everyone on the machine."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import yaml

from app.cli.fresh import caller_secret, next_kid, sealing_secret, signing_secret
from app.settings import load_settings

SANDBOX_KEY_ENV: Final = "CLOAKROOM_SANDBOX_OPENAI_KEY"
CLIENT_NAME: Final = "dev"
MAX_REPLICAS: Final = len(string.ascii_lowercase)
_USUAL_MODEL: Final = "gpt-realtime"
_PROVIDER_NAMES: Final = ("OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT", "CLOAKROOM_CONFIG")


@dataclass(frozen=True, slots=True)
class RunSecrets:
    """The secrets of one run, as the settings take them; good for nothing after it."""

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


def replica_name(index: int) -> str:
    """``replica-a``, ``replica-b``, and so on."""
    return f"replica-{string.ascii_lowercase[index]}"


def names_a_provider(environ: Mapping[str, str]) -> bool:
    """Whether the environment says which provider to mint at; else the one in a box serves."""
    return any(environ.get(name) for name in _PROVIDER_NAMES) or any(
        name.startswith("CLOAKROOM_DEPLOYMENTS") and value for name, value in environ.items()
    )


def read_config(environ: Mapping[str, str]) -> dict[str, Any]:
    """The top level of the user's YAML file; empty when there is none or it is broken.

    Whether it is any good is for the replicas to say: they read it whole.
    """
    name = environ.get("CLOAKROOM_CONFIG")
    if not name:
        return {}
    try:
        loaded = yaml.safe_load(Path(name).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    return loaded if isinstance(loaded, dict) else {}


def replica_environment(
    environ: Mapping[str, str],
    *,
    index: int,
    host: str,
    port: int,
    redis_url: str,
    secrets: RunSecrets,
    sandbox_url: str | None,
    replicas: Sequence[tuple[str, str]] = (),
) -> dict[str, str]:
    """Return one replica's environment: ours underneath, what the user set on top.

    ``replicas`` are (name, base URL) of all of them, for the demo page's pickers.

    Where replicas differ from each other (port, name) the user's own value cannot hold for all of them.
    """
    ours = {
        "CLOAKROOM_ENVIRONMENT": "development",
        "CLOAKROOM_SIGNING_KEYS": secrets.signing,
        "CLOAKROOM_SEALING_KEYS": secrets.sealing,
        "CLOAKROOM_API_KEYS": f"{CLIENT_NAME}:{secrets.client_key}",
        "CLOAKROOM_ADMIN_KEYS": f"{CLIENT_NAME}:{secrets.admin_key}",
        "CLOAKROOM_CORS_ORIGINS": "*",
        # Nobody balances load between these, so there is nobody to wait for at the end.
        "CLOAKROOM_DRAIN_SECONDS": "0",
        "CLOAKROOM_SHUTDOWN_SECONDS": "5",
        "CLOAKROOM_DEMO_REPLICAS": ",".join(f"{name}={url}" for name, url in replicas),
    }
    in_file = {f"CLOAKROOM_{str(name).upper()}" for name in read_config(environ)}
    theirs = {name: value for name, value in environ.items() if value}
    settled = {name: value for name, value in ours.items() if name not in in_file} | theirs
    settled |= {
        "CLOAKROOM_HOST": host,
        "CLOAKROOM_PORT": str(port),
        "CLOAKROOM_REPLICA": replica_name(index),
        "CLOAKROOM_REDIS_URL": redis_url,
    }
    if sandbox_url is not None:
        settled |= {"OPENAI_API_KEY": secrets.provider_key, "OPENAI_BASE_URL": f"{sandbox_url}/v1"}
    return settled


def sandbox_environment(environ: Mapping[str, str], secrets: RunSecrets) -> dict[str, str]:
    """Return the environment of the provider in a box: it has no use for the service's settings."""
    kept = {name: value for name, value in environ.items() if not name.startswith("CLOAKROOM_")}
    return kept | {SANDBOX_KEY_ENV: secrets.provider_key}


def model_to_ask_for(environ: Mapping[str, str]) -> str:
    """A model alias that the configured replicas know, for the printed commands."""
    config = read_config(environ)
    named = environ.get("CLOAKROOM_DEFAULT_MODEL") or config.get("default_model")
    if isinstance(named, str):
        return named
    models = config.get("models")
    aliases = [str(alias) for alias in models if alias != "*"] if isinstance(models, dict) else []
    return aliases[0] if aliases and _USUAL_MODEL not in aliases else _USUAL_MODEL


def printable_client_key(environ: Mapping[str, str], secrets: RunSecrets) -> str:
    """What the printed command sends as the client's key.

    The run's own is printed as it is. A key that the user configured is not ours to show, and may be
    known to us by its digest alone: bash asks for it.
    """
    if environ.get("CLOAKROOM_API_KEYS") or "api_keys" in read_config(environ):
        return "${CLIENT_KEY:?set it to one of your CLOAKROOM_API_KEYS}"
    return secrets.client_key


def printable_admin_key(told: Mapping[str, str], secrets: RunSecrets) -> str | None:
    """The run's own admin key, where the replicas were told it; one that the user configured is not shown."""
    own = f"{CLIENT_NAME}:{secrets.admin_key}" == told.get("CLOAKROOM_ADMIN_KEYS")
    return secrets.admin_key if own else None


def page_url(base_url: str, told: Mapping[str, str], secrets: RunSecrets) -> str | None:
    """The demo page's address at the replica that was told this; None where it serves none.

    The run's own key goes along in the fragment, which a browser sends to nobody and the page takes out of
    the address bar. A key that the user configured is typed into the page.
    """
    if not load_settings(told).demo_enabled:
        return None
    own = f"{CLIENT_NAME}:{secrets.client_key}" == told.get("CLOAKROOM_API_KEYS")
    return f"{base_url}/demo" + (f"#key={secrets.client_key}" if own else "")
