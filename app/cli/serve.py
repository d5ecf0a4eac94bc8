"""``cloakroom serve``: one replica, the production entry.

``app.__main__`` calls ``run_alone`` for a ``serve`` without options. The parser of commands and rich would
stay in memory for the life of the replica, so this module imports neither.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import structlog

from app.cli.failure import CliFailure, unusable_settings
from app.cli.output import tell
from app.server import serve as serve_replica
from app.settings import LiteLlmNote, Settings, SettingsError, SettingsSource
from app.store.embedded.engine import EngineError, LocalEngine, find_engine
from app.telemetry.logs import configure_logs
from app.wiring import WiringError


def run_alone() -> int:
    """Run the replica, say why it cannot run, and return the exit status."""
    try:
        serve()
    except CliFailure as failure:
        tell(f"cloakroom: {failure}")
        return failure.status
    return 0


def serve(*, config: Path | None = None) -> None:
    """Run one replica until SIGTERM. Settings come from CLOAKROOM_... variables and the YAML file.

    On SIGHUP, and when one of their files changes, it takes new secrets without a restart.

    In production it needs CLOAKROOM_REDIS_URL, CLOAKROOM_SIGNING_KEYS, CLOAKROOM_SEALING_KEYS,
    CLOAKROOM_API_KEYS and a provider; ``cloakroom keys new`` makes the secrets.

    Args:
        config: Our own YAML file, or LiteLLM's config.yaml.
    """
    environ = dict(os.environ)
    if config is not None:
        environ["CLOAKROOM_CONFIG"] = str(config)
    with ExitStack() as stack:
        try:
            source = SettingsSource(environ)
            settings, notes = source.read()
            if settings.redis_url is None:
                environ["CLOAKROOM_REDIS_URL"] = _own_store(stack)
                source = SettingsSource(environ)
                settings, notes = source.read()
            configure_logs(level=settings.log_level, replica=settings.replica)
            _log_notes(notes)
            _run(settings, source)
        except (SettingsError, WiringError) as error:
            raise unusable_settings(error) from None
        except OSError as error:
            raise CliFailure(
                f"cannot listen: {error.strerror or error}; see CLOAKROOM_HOST, _PORT, _OPS_HOST, _OPS_PORT"
            ) from None


def _own_store(stack: ExitStack) -> str:
    """Start a store for this replica alone, and say so; the settings allow that in development only."""
    binary = find_engine(os.environ)
    notice = (
        "no CLOAKROOM_REDIS_URL: handles live in a store that only this replica sees and that ends with it"
    )
    sys.stderr.write(f"cloakroom: {notice}\n")
    if binary is None:
        sys.stderr.write("cloakroom: no redis-server or valkey-server was found, so the store is memory://\n")
        return "memory://"
    try:
        return stack.enter_context(LocalEngine(binary)).url
    except EngineError as error:
        raise CliFailure(f"the replica's own store does not start: {error}") from None


def _log_notes(notes: Sequence[LiteLlmNote]) -> None:
    """Log what was read from a LiteLLM file and what was left out."""
    log = structlog.get_logger("cloakroom.config")
    for note in notes:
        tell = log.warning if note.level == "warning" else log.info
        tell("litellm_config", entry=note.entry, note=note.text)


def _run(settings: Settings, source: SettingsSource) -> None:
    if sys.platform == "win32":
        asyncio.run(serve_replica(settings, source))
        return
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve_replica(settings, source))
