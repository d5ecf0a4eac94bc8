"""``cloakroom keys rotate``: the next step of a rotation, from what the replicas have in force."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter

from app.cli.arguments import checked_name
from app.cli.failure import EXIT_REFUSED, EXIT_UNREACHED, CliFailure, usable_variables
from app.cli.keys.new import ENV_NAMES, Kind, kids_in, next_kid, sealing_secret, signing_secret
from app.cli.keys.procedure import (
    CALLER_STEPS,
    RING_STEPS,
    Ring,
    Step,
    known_keys,
    next_caller_step,
    next_ring_step,
)
from app.cli.output import document, write
from app.cli.reach.base import Operator
from app.cli.reach.target import NOWHERE_ELSE, Target, operate
from app.cli.times import ago, span
from app.handles.keyring import parse_sealing_ring, parse_signing_ring
from app.handles.rotation import RingKey, sealing_keys, signing_keys
from app.store.listing.views import HandleFilter
from app.telemetry.redaction import legible

_WRITABLE: Final = ("add", "first", "drop")
_KINDS: Final = {"api": "clients", "admin": "admins"}
_NOBODY: Final = (
    "no replica tells which keys it has in force. They do so every 10 s while they reach the store; those of "
    "an older release do not."
)


def rotate(
    kind: Kind,
    /,
    *,
    name: str | None = None,
    write_to: Annotated[Path | None, Parameter(name="--write")] = None,
    as_document: Annotated[bool, Parameter(name="--json", negative=())] = False,
    target: Target = NOWHERE_ELSE,
) -> None:
    """Say what to do next to give a ring, a client or an operator another key, with no request refused.

    Ask again after each step: it looks at all replicas. It shows no secret, and changes nothing but the file
    of --write.

    Args:
        kind: signing or sealing (a ring), api or admin (the key of a client or an operator).
        name: Of the client or the operator.
        write_to: Do the step for a ring: write the new value of the setting into this file. The present value
            is taken from CLOAKROOM_SIGNING_KEYS or CLOAKROOM_SEALING_KEYS, or their _FILE. Exit status 1 when
            there is nothing to write now.
        as_document: Print one JSON document.
    """
    ring: Ring | None = "signing" if kind == "signing" else "sealing" if kind == "sealing" else None
    _check_usage(ring, name, write_to)
    found, last = operate(target, lambda operator: _asked(operator, name if kind == "api" else None))
    if not found["replicas"]:
        raise CliFailure(_NOBODY, status=EXIT_UNREACHED)
    try:
        step = _step(found, kind, ring, name)
        facts = list(_facts(found, ring, kind, name, last))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise CliFailure(
            "what answers does not tell its keys as this version has them; see 'cloakroom --version'.",
            status=EXIT_UNREACHED,
        ) from None
    advice: tuple[str, ...] = ()
    if write_to is not None and ring is not None:
        _write(step, ring, found, write_to)
        advice = (f"Written: {write_to}. The replicas that read it take it within seconds.",)
    elif step.action == "add":
        advice = _how_to_add(kind, step)
    if as_document:
        write(document(_as_document(step, kind, name, found, (*step.text, *advice))))
        return
    steps = RING_STEPS if ring is not None else CALLER_STEPS
    head = f"{step.number} of {steps}: " if step.number is not None else ""
    lines = [*facts, f"{head}{step.text[0]}", *step.text[1:], *advice]
    write("".join(f"{legible(line)}\n" for line in lines))


def _check_usage(ring: Ring | None, name: str | None, write_to: Path | None) -> None:
    if (ring is None) != (name is not None):
        wanted = (
            "--name says whose key: of a client or an operator" if ring is None else "a ring has no --name"
        )
        raise CliFailure(f"{wanted}.", status=EXIT_REFUSED)
    checked_name("--name", name)
    if write_to is not None and ring is None:
        raise CliFailure("--write is for signing and sealing.", status=EXIT_REFUSED)


async def _asked(operator: Operator, client: str | None) -> tuple[Mapping[str, Any], int | None]:
    """The keys in force, and when the client minted last, as far as a handle is still there."""
    found = await operator.keys()
    if client is None:
        return found, None
    page = await operator.handles(HandleFilter(client=client), cursor=None, limit=1)
    return found, page.items[0].minted_at if page.items else None


def _step(found: Mapping[str, Any], kind: Kind, ring: Ring | None, name: str | None) -> Step:
    variable = ENV_NAMES[kind]
    if ring is not None:
        return next_ring_step(found, ring, variable=variable)
    try:
        return next_caller_step(found, "clients" if kind == "api" else "admins", str(name), variable=variable)
    except LookupError as error:
        if isinstance(error, KeyError):
            raise
        raise CliFailure(f"there is no {name!r} with a key; {error}.", status=EXIT_REFUSED) from None


def _facts(
    found: Mapping[str, Any], ring: Ring | None, kind: Kind, name: str | None, last: int | None
) -> Iterator[str]:
    """What is in force."""
    replicas = sorted({str(each["replica"]) for each in found["replicas"]})
    where = f"at {len(replicas)} replica{'s' if len(replicas) > 1 else ''}: {', '.join(replicas)}"
    if ring is None:
        yield f"{', '.join(sorted(found['replicas'][0][_KINDS[kind]]))} {where}"
        if kind == "api":
            now = time.time()
            told = (
                f"minted a handle {ago(last, now)}" if last is not None else "has no handle that still lives"
            )
            yield f"{name} {told}"
        return
    does = ("signs", "verifies") if ring == "signing" else ("seals", "unseals")
    for number, key in enumerate(known_keys(found, ring)):
        age = f", there for {span(key.age)}" if key.age is not None else ""
        used = f", first until {span(key.unused_for)} ago" if number and key.unused_for is not None else ""
        yield f"{key.kid} {does[min(number, 1)]}{age}{used}"
    yield where


def _how_to_add(kind: Kind, step: Step) -> tuple[str, ...]:
    if kind in ("signing", "sealing"):
        return (
            f"Make its entry: cloakroom keys new --only {kind}",
            f"Or have the new value written: cloakroom keys rotate {kind} --write FILE",
        )
    option = "--client" if kind == "api" else "--admin"
    return (f"Make it: cloakroom keys new --only {kind} {option} {step.key}",)


def _as_document(
    step: Step, kind: Kind, name: str | None, found: Mapping[str, Any], text: tuple[str, ...]
) -> dict[str, Any]:
    return {
        "object": "rotation",
        "kind": kind,
        "name": name,
        "action": step.action,
        "step": step.number,
        "steps": RING_STEPS if kind in ("signing", "sealing") else CALLER_STEPS,
        "key": step.key,
        "wait_seconds": step.wait_seconds,
        "text": list(text),
        "replicas": found["replicas"],
        "memory": [each for each in found["memory"] if each["ring"] == kind],
    }


def _write(step: Step, ring: Ring, found: Mapping[str, Any], file: Path) -> None:
    """Write the ring as it is after the step.

    Raises:
        CliFailure: there is nothing to write now, or the ring in the environment is not the one in force.
    """
    if step.action not in _WRITABLE:
        raise CliFailure(f"nothing was written. {' '.join(step.text)}")
    variable = ENV_NAMES[ring]
    text = usable_variables(os.environ).get(variable, "")
    try:
        keys: tuple[RingKey, ...] = (
            signing_keys(parse_signing_ring(text))
            if ring == "signing"
            else sealing_keys(parse_sealing_ring(text))
        )
    except ValueError:
        raise CliFailure(
            f"nothing was written: {variable}, or {variable}_FILE, must hold the ring in force.",
            status=EXIT_REFUSED,
        ) from None
    here = [(key.kid, key.fingerprint) for key in keys]
    if here != [(key.kid, key.fingerprint) for key in known_keys(found, ring)]:
        raise CliFailure(
            f"nothing was written: the ring in {variable} here ({', '.join(key.kid for key in keys)}) is not "
            "the one that the replicas have in force.",
            status=EXIT_REFUSED,
        )
    entries = {part.partition(":")[0].strip(): part.strip() for part in text.split(",") if part.strip()}
    if step.action == "add":
        kid = next_kid(datetime.now(UTC).date(), kids_in(text))
        fresh = (
            signing_secret(kid, eddsa=keys[0].algorithm == "EdDSA")
            if ring == "signing"
            else sealing_secret(kid)
        )
        entries[kid] = fresh.entry
    elif step.action == "drop":
        del entries[str(step.key)]
    else:
        entries = {str(step.key): entries[str(step.key)], **entries}
    _replace(file, ",".join(entries.values()) + "\n")


def _replace(file: Path, text: str) -> None:
    """Put the text into the file at one moment, for its owner alone unless it was there before."""
    try:
        mode = file.stat().st_mode & 0o777 if file.exists() else 0o600
        descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
        with os.fdopen(descriptor, "w", encoding="utf-8") as made:
            made.write(text)
        Path(name).chmod(mode)
        Path(name).replace(file)
    except OSError as error:
        raise CliFailure(f"nothing was written: {file}: {error.strerror}.") from None
