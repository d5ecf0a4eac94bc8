"""``cloakroom serve``: one replica, in one process or in several; the production entry.

``app.__main__`` calls ``run_alone`` for a ``serve`` without options. The parser of commands and rich would
stay in memory for the life of the replica, so this module imports neither.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import structlog

from app.cli.failure import EXIT_DONE, EXIT_FAILED, CliFailure, unusable_settings
from app.cli.output import tell
from app.server import serve as serve_replica
from app.settings import LiteLlmNote, Settings, SettingsError, SettingsSource
from app.settings.groups.workers import worker_count
from app.store.embedded.engine import EngineError, LocalEngine, find_engine
from app.telemetry.logs import configure_logs
from app.web.listener.workers import Worker
from app.wiring import WiringError

# What a supervisor has settled for all of its workers.
_KEPT: Final = ("host", "port", "ops_host", "ops_port", "workers")


class _WorkerSource(SettingsSource):
    """What a worker reads its settings from.

    Args:
        environ: of the replica.
        settings: as the supervisor read them.
        number: of the worker.
    """

    def __init__(self, environ: Mapping[str, str], settings: Settings, number: int) -> None:
        super().__init__(environ)
        self._kept = {name: getattr(settings, name) for name in _KEPT}
        self._kept["replica"] = f"{settings.replica}.{number}"

    def read(self) -> tuple[Settings, tuple[LiteLlmNote, ...]]:
        """The settings of this worker."""
        settings, notes = super().read()
        return self.of_this_worker(settings), notes

    def of_this_worker(self, settings: Settings) -> Settings:
        """These settings with what is this worker's, and where the replica listens."""
        return settings.model_copy(update=self._kept)


def run_alone() -> int:
    """Run the replica, say why it cannot run, and return the exit status."""
    try:
        serve()
    except CliFailure as failure:
        tell(f"cloakroom: {failure}")
        return failure.status
    return 0


def serve(*, config: Path | None = None, workers: str | None = None) -> None:
    """Run one replica until SIGTERM. Settings come from CLOAKROOM_... variables and the YAML file.

    On SIGHUP, and when one of their files changes, it takes new secrets without a restart.

    In production it needs CLOAKROOM_REDIS_URL, CLOAKROOM_SIGNING_KEYS, CLOAKROOM_SEALING_KEYS,
    CLOAKROOM_API_KEYS and a provider; ``cloakroom keys new`` makes the secrets.

    Args:
        config: Our own YAML file, or LiteLLM's config.yaml.
        workers: Processes that serve the port together, under a supervisor that replaces those that die: a
            number, or auto for one a CPU; default: CLOAKROOM_WORKERS, or one process without a supervisor.
    """
    environ = dict(os.environ)
    if config is not None:
        environ["CLOAKROOM_CONFIG"] = str(config)
    if workers is not None:
        environ["CLOAKROOM_WORKERS"] = workers
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
            count = worker_count(settings)
            if count == 1:
                _run(settings, source)
            else:
                _supervise(count, settings, environ)
        except (SettingsError, WiringError) as error:
            raise unusable_settings(error) from None
        except OSError as error:
            raise _cannot_listen(error) from None


def _supervise(count: int, settings: Settings, environ: dict[str, str]) -> None:
    """Run so many workers, and return when they have ended.

    Raises:
        CliFailure: they cannot be kept alive, or this system has no workers.
        OSError: the address is taken or not ours.
    """
    if not hasattr(os, "fork"):
        raise CliFailure(
            "this system has no workers; leave CLOAKROOM_WORKERS out, and start several replicas"
        )
    import uvloop  # noqa: F401 - the workers use it; loaded before the fork, they share its memory

    from app.supervisor.supervisor import WorkersFailed
    from app.supervisor.workers import run_workers

    try:
        run_workers(count, settings, lambda worker: _work(worker, settings, environ))
    except WorkersFailed as failure:
        raise CliFailure(f"the workers cannot be kept alive: {failure}") from None


def _work(worker: Worker, settings: Settings, environ: dict[str, str]) -> int:
    """Be one worker, in its own process, and return the exit status.

    It reads the settings again: files may have new secrets since the supervisor read them. Where the replica
    listens and what it is called stays, with the worker's number behind the name.
    """
    source, unusable = _WorkerSource(environ, settings, worker.number), None
    try:
        named, _ = source.read()
    except SettingsError as error:
        named, unusable = source.of_this_worker(settings), error
    configure_logs(level=named.log_level, replica=named.replica)
    if unusable is not None:
        log = structlog.get_logger("cloakroom.worker")
        log.error("settings_not_usable", reason=str(unusable), consequence="those of the start are used")
    try:
        _run(named, source, worker)
    except WiringError as error:
        tell(f"cloakroom: {unusable_settings(error)}")
        return EXIT_FAILED
    return EXIT_DONE


def _cannot_listen(error: OSError) -> CliFailure:
    return CliFailure(
        f"cannot listen: {error.strerror or error}; see CLOAKROOM_HOST, _PORT, _OPS_HOST, _OPS_PORT"
    )


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


def _run(settings: Settings, source: SettingsSource, worker: Worker | None = None) -> None:
    if sys.platform == "win32":
        asyncio.run(serve_replica(settings, source))
        return
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve_replica(settings, source, worker=worker))
