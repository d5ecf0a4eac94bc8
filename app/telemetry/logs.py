"""Logs: one JSON object a line on standard output.

Our own lines have fields that hold no secret. Exceptions and the lines of libraries can quote anything, so
``redact`` masks them first.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import select
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import structlog

from app.telemetry.redaction import legible_json, redact

_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_FOREIGN_TEXT: Final = ("exception", "event")
# What every system writes to a pipe whole (POSIX asks for 512 bytes; Linux has 4096).
_PIPE_BYTES: Final[int] = getattr(select, "PIPE_BUF", 512)
_LINE_OPTIONS: Final = orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE


def configure_logs(*, level: str, replica: str) -> None:
    """Write the lines of structlog and of the standard library's logging to standard output as JSON.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``.
        replica: a field of every line.
    """
    minimum = _LEVELS[level]

    def add_replica(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["replica"] = replica
        return event

    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        add_replica,
    ]
    structlog.configure(
        processors=[*shared, _format_exception, structlog.processors.JSONRenderer(serializer=_dumps)],
        wrapper_class=structlog.make_filtering_bound_logger(minimum),
        logger_factory=structlog.BytesLoggerFactory(file=sys.stdout.buffer),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _redact_foreign,
                structlog.processors.JSONRenderer(serializer=_dumps_text),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(minimum, logging.WARNING))


@contextlib.contextmanager
def without_logs() -> Iterator[None]:
    """Silence every logger, for a command that tells what happened itself."""
    kept, level = structlog.get_config(), logging.root.manager.disable
    structlog.configure(processors=[_drop])
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(level)
        structlog.configure(**kept)


class RequestLog:
    """Writes the line that each mint, relay and hang-up gets.

    It does not use structlog, whose processors cost a twentieth of a mint's CPU: no field holds a secret, so
    nothing must be masked. The lines of one turn of the event loop are one write, because a write for each
    costs a tenth of what a bare server needs for a request.

    Args:
        replica: a field of every line.
        level: lines below it are left out.
        shared: whether other processes write to the same output. Then no write is larger than what a pipe
            takes at once, so that no line of another one comes into the middle of ours.
    """

    def __init__(self, *, replica: str, level: str, shared: bool = False) -> None:
        self._replica = replica
        self._shared = shared
        self._minimum = _LEVELS[level]
        self._lines: list[bytes] = []

    def write(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        """Add a line, which the running event loop writes in its next turn."""
        if _LEVELS[level] < self._minimum:
            return
        line = {
            "event": event,
            **fields,
            "level": level,
            "time": datetime.now(UTC),
            "replica": self._replica,
        }
        if not self._lines:
            asyncio.get_running_loop().call_soon(self.flush)
        self._lines.append(legible_json(orjson.dumps(line, default=str, option=_LINE_OPTIONS)))

    def flush(self) -> None:
        """Write the lines that wait."""
        lines, self._lines = self._lines, []
        # Requests go on when the reader of the log is gone.
        with contextlib.suppress(OSError, ValueError):
            for part in _parts(lines) if self._shared else (b"".join(lines),):
                sys.stdout.buffer.write(part)
                sys.stdout.buffer.flush()


def _parts(lines: list[bytes]) -> Iterator[bytes]:
    """The lines, joined to parts that a pipe takes at once; a longer line is a part by itself."""
    start, size = 0, 0
    for end, line in enumerate(lines):
        if size and size + len(line) > _PIPE_BYTES:
            yield b"".join(lines[start:end])
            start, size = end, 0
        size += len(line)
    yield b"".join(lines[start:])


def _drop(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    raise structlog.DropEvent


def _format_exception(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Turn ``exc_info`` into a redacted traceback without local variables, which could hold a key."""
    if event.get("exc_info"):
        event = structlog.processors.format_exc_info(logger, method, event)
        event["exception"] = redact(str(event.get("exception", "")))
    else:
        event.pop("exc_info", None)
    return event


def _redact_foreign(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name in _FOREIGN_TEXT:
        if name in event:
            event[name] = redact(str(event[name]))
    return event


def _dumps(event: Any, **_: Any) -> bytes:
    return legible_json(orjson.dumps(event, default=str))


def _dumps_text(event: Any, **_: Any) -> str:
    return _dumps(event).decode()
