"""``cloakroom keys new``: fresh secrets, ready for ``>> .env``."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Annotated, Any, Final

from cyclopts import Parameter

from app.cli.failure import CliFailure
from app.cli.fresh import (
    ENV_NAMES,
    KINDS,
    CallerSecret,
    Kind,
    RingSecret,
    caller_secret,
    kids_in,
    next_kid,
    sealing_secret,
    signing_secret,
)
from app.settings.secrets import NAME_PATTERN

Fresh = dict[Kind, RingSecret | CallerSecret]

_ADVICE: Final = (
    "# Keep these out of version control. To rotate a ring: put the new entry last on every replica,\n"
    "# then first, then drop the old one after the longest handle life. 'cloakroom keys check' verifies.\n"
)


def new(
    *,
    only: Kind | None = None,
    client: str = "default",
    admin: str = "ops",
    eddsa: Annotated[bool, Parameter(negative=())] = False,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Print fresh secrets as lines for an environment file.

    Only CLOAKROOM_... lines and comments go to stdout, so `cloakroom keys new >> .env` works. Key ids that
    the environment's rings already use are not given again.

    Args:
        only: Make just this secret: signing, sealing, api or admin.
        client: Name of the client that the API key is for.
        admin: Name of the operator that the admin key is for.
        eddsa: Sign handles with Ed25519 instead of HS256.
        as_json: Print one JSON object instead of lines.
    """
    for name in (client, admin):
        if not re.fullmatch(NAME_PATTERN, name):
            raise CliFailure("a name has letters, digits, '.', '_' and '-' only, and at most 64 of them")
    fresh = make(os.environ, datetime.now(UTC).date(), client=client, admin=admin, eddsa=eddsa)
    if only is not None:
        fresh = {only: fresh[only]}
    if as_json:
        sys.stdout.write(json.dumps({kind: _as_json(kind, item) for kind, item in fresh.items()}, indent=2))
        sys.stdout.write("\n")
        return
    sys.stdout.write("".join(_lines(kind, item) for kind, item in fresh.items()))
    sys.stdout.flush()
    sys.stderr.write(_ADVICE)


def make(environ: Mapping[str, str], today: date, *, client: str, admin: str, eddsa: bool) -> Fresh:
    """Make one secret of every kind.

    Raises:
        CliFailure: the rings of ``environ`` use up the day's key ids.
    """
    try:
        kids = {
            kind: next_kid(today, kids_in(environ.get(ENV_NAMES[kind], "")))
            for kind in ("signing", "sealing")
        }
    except ValueError as error:
        raise CliFailure(str(error)) from None
    fresh: Fresh = {
        "signing": signing_secret(kids["signing"], eddsa=eddsa),
        "sealing": sealing_secret(kids["sealing"]),
        "api": caller_secret(client),
        "admin": caller_secret(admin, admin=True),
    }
    return {kind: fresh[kind] for kind in KINDS}


def _lines(kind: Kind, item: RingSecret | CallerSecret) -> str:
    line = f"{ENV_NAMES[kind]}={item.entry}\n"
    if isinstance(item, CallerSecret):
        return (
            f"# {item.name} keeps the key; the service may be given only its digest:\n"
            f"# {ENV_NAMES[kind]}={item.name}:{item.digest}\n{line}"
        )
    return line


def _as_json(kind: Kind, item: RingSecret | CallerSecret) -> dict[str, Any]:
    shared = {"env": ENV_NAMES[kind], "value": item.entry}
    if isinstance(item, CallerSecret):
        return shared | {"name": item.name, "key": item.key, "sha256": item.digest}
    return shared | {"kid": item.kid, "algorithm": item.algorithm}
