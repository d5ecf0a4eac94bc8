"""The commands that `cloakroom dev` prints: mint on one replica, relay on another, look as an operator."""

from __future__ import annotations

import shlex


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


def recipe(replicas: list[tuple[str, str]], client_key: str, model: str, offer_path: str) -> str:
    """Both commands as one block that bash takes as it stands.

    ``replicas`` are (name, base URL); the first mints, the last relays.
    """
    (mint_name, mint_url), (relay_name, relay_url) = replicas[0], replicas[-1]
    return (
        f"# mint a handle on {mint_name}\n{mint_command(mint_url, client_key, model)}\n\n"
        f"# send an SDP offer with it to {relay_name}; 201 and the provider's answer come back\n"
        f"{relay_command(relay_url, offer_path)}\n"
    )


def operator_commands(url: str, admin_key: str, program: str) -> str:
    """Commands for the same shell: the handle's story, then its end at every replica.

    ``program`` is how ``cloakroom`` is called from there, as the shell takes it.
    """
    return (
        "# see it as an operator does, and stop it; handles list, handles watch and calls list tell more\n"
        f"export CLOAKROOM_ADMIN_URL={url} CLOAKROOM_ADMIN_KEY={admin_key}\n"
        f'{program} handles show "$HANDLE"\n'
        f'{program} handles revoke "$HANDLE"\n'
    )
