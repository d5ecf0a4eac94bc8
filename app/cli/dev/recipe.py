"""What ``cloakroom dev`` prints to try out: commands to mint, relay and look, and the demo page."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from app import PACKAGE
from app.cli.dev.environment import CLIENT_NAME, RunSecrets, read_config
from app.models import USUAL_MODEL
from app.settings import load_settings


def mint_command(url: str, client_key: str, model: str) -> str:
    """A bash command that puts a fresh handle into ``$HANDLE``.

    ``client_key`` stands in double quotes, so that it may be a shell parameter.
    """
    body = shlex.quote('{"model": "' + model.replace("\\", r"\\").replace('"', r"\"") + '"}')
    reader = """python3 -c 'import json, sys; print(json.load(sys.stdin)["value"])'"""
    return (
        f"HANDLE=$(curl -sS {url}/v1/realtime/client_secrets \\\n"
        f'  -H "Authorization: Bearer {client_key}" \\\n'
        f"  -H 'Content-Type: application/json' -d {body} \\\n"
        f"  | {reader})"
    )


def relay_command(url: str, offer_path: str) -> str:
    """A bash command that sends the offer with ``$HANDLE`` and shows status, headers and answer."""
    return (
        f"curl -isS {url}/v1/realtime/calls \\\n"
        f'  -H "Authorization: Bearer $HANDLE" \\\n'
        f"  -H 'Content-Type: application/sdp' --data-binary @{shlex.quote(offer_path)}"
    )


def recipe(replicas: Sequence[tuple[str, str]], client_key: str, model: str, offer_path: str) -> str:
    """Both commands as one block for bash.

    ``replicas`` are (name, base URL); the first mints, the last relays.
    """
    (mint_name, mint_url), (relay_name, relay_url) = replicas[0], replicas[-1]
    return (
        f"# mint a handle on {mint_name}\n{mint_command(mint_url, client_key, model)}\n\n"
        f"# send an SDP offer with it to {relay_name}; 201 and the provider's answer come back\n"
        f"{relay_command(relay_url, offer_path)}\n"
    )


def operator_commands(url: str, admin_key: str) -> str:
    """Commands for the same shell: show the handle, then revoke it at every replica."""
    program = _program()
    return (
        "# see it as an operator does, and stop it; handles list, handles watch and calls list tell more\n"
        f"export CLOAKROOM_ADMIN_URL={url} CLOAKROOM_ADMIN_KEY={admin_key}\n"
        f'{program} handles show "$HANDLE"\n'
        f'{program} handles revoke "$HANDLE"\n'
    )


def model_to_ask_for(environ: Mapping[str, str]) -> str:
    """A model alias that the configured replicas know, for the printed commands."""
    config = read_config(environ)
    named = environ.get("CLOAKROOM_DEFAULT_MODEL") or config.get("default_model")
    if isinstance(named, str):
        return named
    models = config.get("models")
    aliases = [str(alias) for alias in models if alias != "*"] if isinstance(models, dict) else []
    return aliases[0] if aliases and USUAL_MODEL not in aliases else USUAL_MODEL


def printable_client_key(environ: Mapping[str, str], secrets: RunSecrets) -> str:
    """What the printed command sends as the client's key.

    That is the key of this run. A key that the user configured is not ours to show, and we may have only its
    digest; bash asks for it.
    """
    if environ.get("CLOAKROOM_API_KEYS") or "api_keys" in read_config(environ):
        return "${CLIENT_KEY:?set it to one of your CLOAKROOM_API_KEYS}"
    return secrets.client_key


def printable_admin_key(told: Mapping[str, str], secrets: RunSecrets) -> str | None:
    """The admin key of this run; None when the user configured one, which is not shown."""
    own = f"{CLIENT_NAME}:{secrets.admin_key}" == told.get("CLOAKROOM_ADMIN_KEYS")
    return secrets.admin_key if own else None


def page_url(base_url: str, told: Mapping[str, str], secrets: RunSecrets) -> str | None:
    """The demo page's address at the replica with this environment; None when it serves no page.

    The key of this run goes into the fragment, which a browser never sends and the page removes from the
    address bar. A key that the user configured is typed into the page.
    """
    if not load_settings(told).demo_enabled:
        return None
    own = f"{CLIENT_NAME}:{secrets.client_key}" == told.get("CLOAKROOM_API_KEYS")
    return f"{base_url}/demo" + (f"#key={secrets.client_key}" if own else "")


def _program() -> str:
    """How this program is called again from any directory, quoted for the shell."""
    if Path(sys.argv[0]).name == "cloakroom":
        return shlex.quote(str(Path(sys.argv[0]).absolute()))
    return f"{shlex.quote(sys.executable)} -m {PACKAGE}"
