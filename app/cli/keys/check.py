"""``cloakroom keys check``: whether the secrets in the environment are usable. It never prints one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from rich.console import Console
from rich.text import Text

from app.cli.failure import usable_variables
from app.cli.keys.new import ENV_NAMES, Kind
from app.handles.keyring import parse_sealing_ring, parse_signing_ring
from app.settings.secrets import MAKE_KEYS, parse_key_pairs
from app.telemetry.redaction import redact, redact_labels

Verdict = Literal["ok", "bad", "note"]

_STYLES: Final[dict[Verdict, str]] = {"ok": "green", "bad": "bold red", "note": "yellow"}
_PARSERS: Final[dict[Kind, Callable[[str], Any]]] = {
    "signing": parse_signing_ring,
    "sealing": parse_sealing_ring,
    "api": parse_key_pairs,
    "admin": parse_key_pairs,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. ``label`` is a kid or a name, never a secret."""

    verdict: Verdict
    env: str
    label: str
    text: str


def check() -> int:
    """Say for each CLOAKROOM_..._KEYS of the environment whether it is strong enough, and which key signs.

    Exit status 1 when a needed one is missing or one is weak. No secret is ever printed.
    """
    environ = usable_variables(os.environ)
    findings = [finding for kind in ENV_NAMES for finding in findings_of(kind, environ)]
    console = Console(soft_wrap=True, highlight=False)
    for finding in findings:
        line = Text(f"{finding.verdict:<6}", style=_STYLES[finding.verdict])
        console.print(
            line.append(f"{finding.env}  {finding.label}  {finding.text}", style="not bold default")
        )
    return 1 if any(finding.verdict == "bad" for finding in findings) else 0


def findings_of(kind: Kind, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Judge one variable, entry by entry, then as a whole."""
    env = ENV_NAMES[kind]
    entries = [part.strip() for part in environ.get(env, "").split(",") if part.strip()]
    if not entries:
        yield _missing(kind, environ)
        return
    whole_is_judged = False
    for number, entry in enumerate(entries):
        try:
            parsed = _PARSERS[kind](entry)
        except ValueError as error:
            whole_is_judged = True
            yield Finding("bad", env, f"entry {number + 1}", _safe(error))
        else:
            yield Finding("ok", env, *_praise(kind, parsed, first=number == 0))
    if not whole_is_judged:
        # An id or a name that is there twice shows only in the ring as a whole.
        try:
            _PARSERS[kind](",".join(entries))
        except ValueError as error:
            yield Finding("bad", env, "all entries", _safe(error))


def _safe(error: ValueError) -> str:
    """The parser's message; a pair written the wrong way round would show the secret as its name."""
    return redact_labels(str(error).removeprefix("entry 1 "))


def _praise(kind: Kind, parsed: Any, *, first: bool) -> tuple[str, str]:
    """Return the label and what is known of one sound entry."""
    if kind == "signing":
        return parsed.active.kid, f"{parsed.active.algorithm}, {'signs' if first else 'verifies only'}"
    if kind == "sealing":
        return parsed.active.kid, f"AES-256-GCM, {'seals' if first else 'unseals only'}"
    ((name, key),) = parsed.items()
    return redact(name), "given as a SHA-256 digest" if key.startswith("sha256:") else "given in clear"


def _missing(kind: Kind, environ: Mapping[str, str]) -> Finding:
    env = ENV_NAMES[kind]
    if kind == "admin":
        return Finding("note", env, "-", f"not set: the admin paths cannot be used; {MAKE_KEYS}")
    if environ.get("CLOAKROOM_CONFIG"):
        return Finding("note", env, "-", "not in the environment; the file in CLOAKROOM_CONFIG must have it")
    return Finding("bad", env, "-", f"missing; {MAKE_KEYS}")
