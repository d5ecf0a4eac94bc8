"""Plain output, in any terminal's encoding and also when the reader leaves early; a question to a person."""

from __future__ import annotations

import os
import sys
from typing import Any

import orjson

from app.cli.failure import EXIT_REFUSED, CliFailure
from app.telemetry.redaction import legible, legible_json


def write(text: str) -> bool:
    """Write to standard output. Returns False once the reader has gone, which is no failure (``| head``)."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
        sys.stdout.flush()
    except BrokenPipeError:
        # At its end the interpreter flushes once more, into nothing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True


def tell(text: str) -> None:
    """Write lines for people to standard error; what does not show is escaped."""
    encoding = sys.stderr.encoding or "utf-8"
    lines = "\n".join(map(legible, text.split("\n")))
    sys.stderr.write(f"{lines}\n".encode(encoding, "replace").decode(encoding))
    sys.stderr.flush()


def for_people() -> bool:
    """Whether standard output is a terminal; ``FORCE_COLOR`` and the like do not make a pipe one."""
    return sys.stdout.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")


def document(value: Any) -> str:
    """An indented JSON document with a line break at its end."""
    return _text(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def json_line(value: Any) -> str:
    """A JSON object on one line."""
    return _text(orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE))


def confirm(question: str) -> None:
    """Return when the person at the terminal says yes.

    Raises:
        CliFailure: the answer is no, or there is no terminal to ask at.
    """
    if not sys.stdin.isatty():
        raise CliFailure(
            f"{question} There is no terminal to ask at: nothing was done. Say --yes to do it.",
            status=EXIT_REFUSED,
        )
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CliFailure("nothing was done.", status=EXIT_REFUSED)


def _text(document: bytes) -> str:
    return legible_json(document).decode()
