"""The Lua scripts: one file each, with a header that names KEYS, ARGV and the reply.

A command that needs no script belongs in the module that sends it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Script:
    """A script's text and the SHA-1 by which the server remembers it."""

    text: str
    sha1: str


# A script, its KEYS and its ARGV.
ScriptCall = tuple[Script, Sequence[str], Sequence[str | int]]


def by_sha1(call: ScriptCall) -> tuple[str | int, ...]:
    """The command for a server that remembers the script."""
    script, names, args = call
    return ("EVALSHA", script.sha1, len(names), *names, *args)


def in_full(call: ScriptCall) -> tuple[str | int, ...]:
    """The command with the script's text, for a server that has forgotten it."""
    script, names, args = call
    return ("EVAL", script.text, len(names), *names, *args)


def _load(*names: str) -> Script:
    """A script, which may begin with what it shares with others."""
    text = "".join((files(__name__) / f"{name}.lua").read_text(encoding="utf-8") for name in names)
    # Redis itself names scripts by SHA-1; nothing here depends on its strength.
    return Script(text=text, sha1=hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


RECORD = _load("record")
INDEX = _load("index")
CLAIM = _load("claim")
LOOK = _load("look")
SETTLE = _load("settle")
CALL = _load("call")
LIMIT = _load("limit")
NOTE = _load("note")
REPORT = _load("report")
DUE = _load("due")
TAKE = _load("take")
REVOKE = _load("revoke")
SEAT = _load("seat")
SEATED = _load("seated")
UNSEAT = _load("unseat")
LIVE = _load("live")
STOP = _load("stop")
FAILED = _load("failed")
WATCH = _load("watch")
SUMS = _load("sums")
USAGE = _load("usage")
REPLICAS = _load("replicas")
SUSPECT = _load("suspect")
QUEUE = _load("queue")
POOL_TAKE = _load("pool", "pool_take")
POOL_RESERVE = _load("pool", "pool_reserve")
POOL_PUT = _load("pool", "pool_put")
POOL_RELEASE = _load("pool", "pool_release")
POOL_STATE = _load("pool", "pool_state")
