"""Reads the next step of a rotation from the keys in force. Pure.

The document is that of ``GET /admin/v1/keys``. A function that reads it raises KeyError, TypeError or
ValueError when it has another shape.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from app.cli.times import exact_span, span

Ring = Literal["signing", "sealing"]
# ``wait``: the next step is known and its time has not come. ``spread``: replicas differ. ``refused``: one of
# them cannot use what lies in its files. ``unknown``: a key may be old or new.
Action = Literal["add", "first", "drop", "wait", "spread", "refused", "unknown"]

RING_STEPS: Final = 3
CALLER_STEPS: Final = 2
# ``k``, the date and a letter, as ``cloakroom keys new`` makes them: they sort by their age.
_DATED: Final = re.compile(r"k[0-9]{8}[a-z]\Z")


@dataclass(frozen=True, slots=True)
class Step:
    """What to do next.

    Attributes:
        number: which step it is, from 1 on; None between two steps.
        key: the id of the key, or the name, that is to be moved or taken out.
        wait_seconds: until it may be done.
        text: the step in words, a sentence a line.
    """

    action: Action
    number: int | None
    text: tuple[str, ...]
    key: str | None = None
    wait_seconds: int = 0


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key of the ring that all replicas have; ages in seconds, None where nothing is remembered.

    ``unused_for`` is how long ago it was the first of its ring last.
    """

    kid: str
    fingerprint: str
    age: float | None
    unused_for: float | None


def next_ring_step(found: Mapping[str, Any], ring: Ring, *, variable: str) -> Step:
    """The next step of the rotation of a ring, whose setting is ``variable``."""
    replicas = found["replicas"]
    hindrance = _hindrance(replicas) or _spread(
        (each["replica"], tuple(f"{key['kid']} {key['fingerprint']}" for key in each[ring]))
        for each in replicas
    )
    if hindrance is not None:
        return hindrance
    first, *others = known_keys(found, ring)
    needed = max(int(each["needed_seconds"][ring]) for each in replicas)
    does = "signs" if ring == "signing" else "seals"
    for key in others:
        newer = _is_newer(key, first)
        if newer is None:
            return Step(
                "unknown",
                None,
                (
                    f"Nothing is remembered of {key.kid}, so it may be older or newer than {first.kid}.",
                    f"If it is the new key, make it the first of {variable}.",
                    f"If it is the old key, take it out of {variable} {span(needed)} after it was the first.",
                ),
                key.kid,
            )
        if newer:
            return Step(
                "first",
                2,
                (
                    f"Make {key.kid} the first of {variable} at all replicas; every one of them has it now.",
                    f"From then on it {does}, and {first.kid} is still accepted.",
                ),
                key.kid,
            )
    for key in others:
        left = 0 if key.unused_for is None else max(int(needed - key.unused_for), 0)
        text = f"Take {key.kid} out of {variable} at all replicas."
        if left:
            wait = f"Wait {exact_span(left)}: what {key.kid} made may be needed for {span(needed)}."
            return Step("wait", 3, (wait, f"Then: {text}"), key.kid, left)
        return Step("drop", 3, (f"{text} Nothing needs it any more.",), key.kid)
    return Step(
        "add",
        1,
        (
            f"Add a new key at the end of {variable} at all replicas.",
            f"It {does} nothing yet, and every replica will accept it.",
        ),
    )


def next_caller_step(
    found: Mapping[str, Any], kind: Literal["clients", "admins"], name: str, *, variable: str
) -> Step:
    """The next step of giving this client, or operator, another key.

    Raises:
        LookupError: no replica knows the name; the message says which names there are.
    """
    replicas = found["replicas"]
    hindrance = _hindrance(replicas) or _spread(
        (each["replica"], tuple(f"{key} {mark}" for key, mark in sorted(each[kind].items())))
        for each in replicas
    )
    if hindrance is not None:
        return hindrance
    known = replicas[0][kind]
    if name not in known:
        raise LookupError(f"known: {', '.join(sorted(known)) or 'none'}")
    base = re.sub(r"-[0-9]+\Z", "", name)
    number = max((int(each.rpartition("-")[2]) for each in known if _follows(each, base)), default=1)
    newest = f"{base}-{number}" if number > 1 else base
    if name == newest:
        fresh = f"{base}-{number + 1}"
        return Step(
            "add",
            1,
            (
                f"Add {fresh} with a new key to {variable}, beside {name}, at all replicas.",
                f"Then have its holder use the key of {fresh}; both count.",
            ),
            fresh,
        )
    return Step(
        "drop",
        2,
        (f"Take {name} out of {variable} at all replicas once it is not used any more: {newest} counts.",),
        name,
    )


def known_keys(found: Mapping[str, Any], ring: Ring) -> list[KnownKey]:
    """The keys of a ring in its order, where all replicas have the same."""
    memory = {(each["ring"], each["kid"], each["fingerprint"]): each for each in found["memory"]}

    def known(key: Mapping[str, Any]) -> KnownKey:
        kid, fingerprint = str(key["kid"]), str(key["fingerprint"])
        seen = memory.get((ring, kid, fingerprint), {})
        return KnownKey(kid, fingerprint, seen.get("seen_seconds_ago"), seen.get("first_seconds_ago"))

    return [known(key) for key in found["replicas"][0][ring]]


def _hindrance(replicas: Sequence[Mapping[str, Any]]) -> Step | None:
    refused = [each for each in replicas if each["problem"] is not None]
    if not refused:
        return None
    lines = (f"{each['replica']} does not take what lies in its files: {each['problem']}" for each in refused)
    return Step("refused", None, (*lines, "Correct that first. What was in force before still is."))


def _spread(had: Iterable[tuple[str, tuple[str, ...]]]) -> Step | None:
    """The step of waiting, where not all replicas have the same; the processes of one may differ too."""
    different = sorted(set(had))
    if len({keys for _, keys in different}) == 1:
        return None
    end = "Wait until all replicas have the same, or look why they do not."
    return Step("spread", None, (*_differences(different), end))


def _differences(had: Sequence[tuple[str, tuple[str, ...]]]) -> Iterator[str]:
    names = [(replica, tuple(key.partition(" ")[0] for key in keys)) for replica, keys in had]
    if len({each for _, each in names}) == 1:
        yield "The replicas have other keys under the same names."
    for replica, each in dict.fromkeys(names):
        yield f"{replica} has {', '.join(each) or 'none'}."


def _is_newer(key: KnownKey, first: KnownKey) -> bool | None:
    """Whether a key is to become the first, or was it; None where that cannot be told."""
    if key.unused_for is not None:
        return False
    # Keys of one ring that were first told together, as after the store was emptied, have the same age.
    if key.age is not None and first.age is not None and key.age != first.age:
        return key.age < first.age
    if _DATED.match(key.kid) and _DATED.match(first.kid):
        return key.kid > first.kid
    return None


def _follows(name: str, base: str) -> bool:
    return re.fullmatch(re.escape(base) + r"-[0-9]+", name) is not None
