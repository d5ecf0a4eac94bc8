"""``cloakroom keys hash``: the digest of a client's or an operator's key; the service needs no more."""

from __future__ import annotations

import getpass
import json
import re
import sys
from typing import Annotated, Final

from cyclopts import Parameter

from app.cli.failure import EXIT_REFUSED, CliFailure
from app.cli.keys.new import CallerSecret, caller_secret, digest_of
from app.cli.output import tell, write
from app.settings.secrets import NAME_PATTERN, check_api_key

# More than any key has; a file that was given by mistake ends here.
_LONGEST: Final = 4096


def hash_key(
    name: str,
    /,
    *,
    fresh: Annotated[bool, Parameter(name="--new", negative=())] = False,
    admin: Annotated[bool, Parameter(negative=())] = False,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Print name:sha256:... for a key, to be put into CLOAKROOM_API_KEYS or CLOAKROOM_ADMIN_KEYS.

    The key is read from standard input, or asked for without showing it. It is not an argument, since every
    process of the machine can read arguments.

    Args:
        name: Of the client or the operator.
        fresh: Make a new key. It goes to standard error, once; its pair with the digest to standard output.
        admin: With --new, make a key for an operator.
        as_json: Print one JSON object; with --new it has the key.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise CliFailure(
            "a name has letters, digits, '.', '_' and '-' only, and at most 64 of them.", status=EXIT_REFUSED
        )
    if admin and not fresh:
        raise CliFailure("--admin says which key --new makes.", status=EXIT_REFUSED)
    made = caller_secret(name, admin=admin) if fresh else _given(name)
    if as_json:
        shown = {"name": name, "value": f"{name}:{made.digest}", "sha256": made.digest}
        write(json.dumps(shown | ({"key": made.key} if fresh else {}), indent=2) + "\n")
        return
    if fresh:
        tell(f"# The key of {name}. It is shown this once; its holder keeps it:\n{made.key}")
    write(f"{name}:{made.digest}\n")


def _given(name: str) -> CallerSecret:
    """The key that a person types, or that stands in standard input.

    Raises:
        CliFailure: there is none, or it could be guessed.
    """
    if sys.stdin.isatty():
        key = getpass.getpass(f"Key of {name} (not shown): ")
    else:
        key = sys.stdin.read(_LONGEST + 1)
    key = key.strip()
    # What ``keys new`` prints, whole.
    key = key.removeprefix(f"{name}:")
    if not key:
        raise CliFailure("there is no key in standard input; --new makes one.", status=EXIT_REFUSED)
    if len(key) > _LONGEST or not key.isprintable() or re.search(r"[\s,]", key):
        raise CliFailure("that is no key: it holds a space, a comma, or several lines.", status=EXIT_REFUSED)
    if key.startswith("sha256:"):
        raise CliFailure("that is a digest already.", status=EXIT_REFUSED)
    try:
        check_api_key(key)
    except ValueError as error:
        raise CliFailure(f"{error}. A digest hides nothing of a key that can be guessed.") from None
    return CallerSecret(name, key, digest_of(key))
