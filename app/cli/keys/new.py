"""``cloakroom keys new``: fresh secrets in the forms that the settings take, ready for ``>> .env``."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import secrets
import string
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Annotated, Any, Final, Literal

from cyclopts import Parameter

from app.cli.failure import CliFailure, usable_variables
from app.settings.secrets import NAME_PATTERN

Kind = Literal["signing", "sealing", "api", "admin"]
Algorithm = Literal["HS256", "EdDSA", "AES-256-GCM"]

KINDS: Final[tuple[Kind, ...]] = ("signing", "sealing", "api", "admin")
ENV_NAMES: Final[dict[Kind, str]] = {
    "signing": "CLOAKROOM_SIGNING_KEYS",
    "sealing": "CLOAKROOM_SEALING_KEYS",
    "api": "CLOAKROOM_API_KEYS",
    "admin": "CLOAKROOM_ADMIN_KEYS",
}
_RANDOM_BYTES: Final = 32
_ADVICE: Final = (
    "# Keep these out of version control. To rotate a ring: put the new entry last on every replica,\n"
    "# then first, then drop the old one after the longest handle life. 'cloakroom keys check' verifies.\n"
)


@dataclass(frozen=True, slots=True)
class RingSecret:
    """One entry of a key ring."""

    kid: str
    algorithm: Algorithm
    entry: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CallerSecret:
    """The key of a client or an operator; the service can be given ``digest`` instead."""

    name: str
    key: str = field(repr=False)
    digest: str

    @property
    def entry(self) -> str:
        return f"{self.name}:{self.key}"


Fresh = dict[Kind, RingSecret | CallerSecret]


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
    fresh = make(
        usable_variables(os.environ), datetime.now(UTC).date(), client=client, admin=admin, eddsa=eddsa
    )
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
        CliFailure: the rings of ``environ`` have used up the key ids of the day.
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


def signing_secret(kid: str, *, eddsa: bool = False) -> RingSecret:
    """A key that signs handles: 32 random bytes for HS256, or an Ed25519 seed."""
    if eddsa:
        return RingSecret(kid, "EdDSA", f"{kid}:ed25519.{_random_text()}")
    return RingSecret(kid, "HS256", f"{kid}:{_random_text()}")


def sealing_secret(kid: str) -> RingSecret:
    """An AES-256 key that seals ephemeral keys in Redis."""
    return RingSecret(kid, "AES-256-GCM", f"{kid}:{_random_text()}")


def caller_secret(name: str, *, admin: bool = False) -> CallerSecret:
    """A key for a client or an operator. Its prefix tells the finder of a leaked key what it is."""
    key = ("ck_admin_" if admin else "ck_") + _random_text()
    return CallerSecret(name, key, digest_of(key))


def digest_of(key: str) -> str:
    """The form of a key that the service can be given in its place."""
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()


def next_kid(today: date, taken: Collection[str]) -> str:
    """Return ``k``, the date and the first letter that is not ``taken``, since a ring may not repeat a kid.

    Raises:
        ValueError: all letters of the day are in use.
    """
    for letter in string.ascii_lowercase:
        kid = f"k{today:%Y%m%d}{letter}"
        if kid not in taken:
            return kid
    raise ValueError(f"all key ids of {today.isoformat()} are in use")


def kids_in(ring: str) -> set[str]:
    """The key ids in a ring's text, also where its secrets are not usable."""
    return {entry.partition(":")[0].strip() for entry in ring.split(",") if ":" in entry}


def _random_text() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(_RANDOM_BYTES)).rstrip(b"=").decode()
