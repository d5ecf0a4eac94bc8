"""Writing for people and machines, whatever the terminal's encoding, and for readers that leave early."""

from __future__ import annotations

import os
import re
import sys
from typing import Any, Final

import orjson

# Control characters, and those that turn the direction of what follows: a subject may hold any of them.
_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def write(text: str) -> bool:
    """Write to standard output; False once its reader has gone, which is no failure (``| head``)."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
        sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter flushes once more at its end, into nothing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True


def tell(text: str) -> None:
    """Write one line for people to standard error."""
    encoding = sys.stderr.encoding or "utf-8"
    sys.stderr.write(f"{text}\n".encode(encoding, "replace").decode(encoding))
    sys.stderr.flush()


def printable(text: str) -> str:
    """``text`` with a ``?`` for whatever could move the cursor, colour the screen or forge a line."""
    return _UNPRINTABLE.sub("?", text)


def document(value: Any) -> str:
    """A JSON document for machines, indented, and its line break."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


def json_line(value: Any) -> str:
    """One JSON object on a line of its own."""
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE).decode()


def for_people() -> bool:
    """Whether standard output is a terminal; ``FORCE_COLOR`` and the like do not make a pipe one."""
    return sys.stdout.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")
