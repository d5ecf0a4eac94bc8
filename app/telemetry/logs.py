"""Structured logs: one JSON object a line on standard output.

Our own lines are built from names that hold no secret. Lines of libraries, and exceptions, can quote
anything, so they pass through ``redact`` first.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator, MutableMapping
from typing import Any, Final

import orjson
import structlog

from app.telemetry.redaction import redact

_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_FOREIGN_TEXT: Final = ("exception", "event")


def configure_logs(*, level: str, replica: str) -> None:
    """Route structlog and the standard library's logging to standard output as JSON lines.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``.
        replica: stands in every line.
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
    """Keep every logger silent, for a command whose own words tell what happened."""
    kept, level = structlog.get_config(), logging.root.manager.disable
    structlog.configure(processors=[_drop])
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(level)
        structlog.configure(**kept)


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
    return orjson.dumps(event, default=str)


def _dumps_text(event: Any, **_: Any) -> str:
    return orjson.dumps(event, default=str).decode()
