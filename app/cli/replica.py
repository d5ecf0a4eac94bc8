"""Runs one replica from the environment. It knows nothing of the command line's libraries.

``python -m app serve`` without options, the production entry, comes straight here (``app.__main__``): the
parser of commands and what it brings along would stay in memory for the life of the replica.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import structlog

from app.cli.failure import CliFailure
from app.cli.output import tell
from app.server import serve as serve_replica
from app.settings import LiteLlmNote, Settings, SettingsError, load_with_notes
from app.store.embedded.engine import EngineError, LocalEngine, find_engine
from app.telemetry.logs import configure_logs
from app.wiring import WiringError


def run_alone() -> int:
    """Run the replica, say what kept it from running, and return the exit status."""
    try:
        run_replica()
    except CliFailure as failure:
        tell(f"cloakroom: {failure}")
        return failure.status
    return 0


def run_replica(config: Path | None = None) -> None:
    """Run until SIGTERM. ``config`` stands in for CLOAKROOM_CONFIG.

    Raises:
        CliFailure: the settings are not usable, or the address is not free.
    """
    environ = dict(os.environ)
    if config is not None:
        environ["CLOAKROOM_CONFIG"] = str(config)
    with ExitStack() as stack:
        try:
            settings, notes = load_with_notes(environ)
            if settings.redis_url is None:
                environ["CLOAKROOM_REDIS_URL"] = _store_of_its_own(stack)
                settings, notes = load_with_notes(environ)
            configure_logs(level=settings.log_level, replica=settings.replica)
            _log_notes(notes)
            _run(settings)
        except (SettingsError, WiringError) as error:
            lines = "\n".join(f"  - {line}" for line in str(error).splitlines())
            raise CliFailure(f"the settings are not usable:\n{lines}") from None
        except OSError as error:
            raise CliFailure(
                f"cannot listen: {error.strerror or error}; see CLOAKROOM_HOST, _PORT, _OPS_HOST, _OPS_PORT"
            ) from None


def _store_of_its_own(stack: ExitStack) -> str:
    """Start a store that nobody shares, and say so; the settings allow it in development only."""
    binary = find_engine(os.environ)
    notice = (
        "no CLOAKROOM_REDIS_URL: handles live in a store that only this replica sees and that ends with it"
    )
    sys.stderr.write(f"cloakroom: {notice}\n")
    if binary is None:
        sys.stderr.write("cloakroom: no redis-server or valkey-server was found, so it is memory://\n")
        return "memory://"
    try:
        return stack.enter_context(LocalEngine(binary)).url
    except EngineError as error:
        raise CliFailure(f"the store of its own does not start: {error}") from None


def _log_notes(notes: Sequence[LiteLlmNote]) -> None:
    """Log what was made of a LiteLLM file, so that nothing in it is passed over in silence."""
    log = structlog.get_logger("cloakroom.config")
    for note in notes:
        tell = log.warning if note.level == "warning" else log.info
        tell("litellm_config", entry=note.entry, note=note.text)


def _run(settings: Settings) -> None:
    if sys.platform == "win32":
        asyncio.run(serve_replica(settings))
        return
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve_replica(settings))
