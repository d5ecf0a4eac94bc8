"""Runs one replica, or one worker of it: listens, waits for a signal, drains and ends.

On SIGTERM or SIGINT readiness turns first, while requests are still served for ``drain_seconds``, so that a
load balancer has time to look elsewhere. Then the listener closes and requests in flight get
``shutdown_seconds`` to end. A second signal ends the process at once. SIGHUP has secrets read anew.

A worker hears of the end from its supervisor, and gets the sockets to accept from.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import orjson
import structlog
from aiohttp import web

from app import __version__
from app.main import create_app
from app.operations import create_operations_app
from app.settings import Settings, SettingsSource
from app.store.address import parse_address
from app.telemetry.tracing_setup import tracing_from_environment
from app.telemetry.workers.snapshots import snapshot
from app.web.appkeys import EARLY, LIFECYCLE, METRICS, OPEN_SIDEBANDS, RELOADER, SCRAPES, Lifecycle
from app.web.listener.connection import Connection
from app.web.listener.front import ConnectionLimits, Front
from app.web.listener.protocol import HttpProtocol
from app.web.listener.workers import WORKERS, Worker

log = structlog.get_logger("cloakroom.server")

BACKLOG: Final = 4096
# At one port, idle ones included, which hold 12 kB each; and of the files that the process may open.
MOST_CONNECTIONS: Final = 16_384
CONNECTIONS_SHARE: Final = 0.75
# What a caller may still send after we refused its body, before the connection is cut.
LINGER_SECONDS: Final = 2.0
# What a slow collector may hold up our end.
LAST_SPANS_SECONDS: Final = 3.0
# Objects made and not yet gone, after which the collector of cycles looks at them. A request leaves no cycle
# behind, with few exceptions, so by Python's own (700, 10, 10) it walks requests and connections in progress
# again and again: 4 % of the CPU, and stalls of 0.1 s with 2,000 connections. 10,000 objects take it 10 ms.
COLLECT_AFTER: Final = (10_000, 50, 10)
# What lived for a while first, such as a watch that ended, is found by a look at everything. That takes 0.1 s
# where thousands are connected, so it waits for a moment without a request.
COLLECT_ALL_SECONDS: Final = 60.0
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


async def serve(
    settings: Settings, source: SettingsSource | None = None, *, worker: Worker | None = None
) -> None:
    """Serve until SIGTERM or SIGINT comes, or until the supervisor of this worker wants the end.

    SIGHUP has secrets read anew from ``source``.

    Raises:
        OSError: the address is taken or not ours.
        WiringError: the settings cannot be wired.
    """
    # The SDK reads its variables from the process's environment, and so do we for this.
    tracing = tracing_from_environment(os.environ, replica=settings.replica)
    app = create_app(settings, tracing=tracing, source=source)
    ports = [_Port(app, settings, settings.host, settings.port)]
    if settings.ops_port is not None:
        ops_host = settings.host if settings.ops_host is None else settings.ops_host
        ports.append(_Port(create_operations_app(app), settings, ops_host, settings.ops_port))
    if worker is not None:
        await _join(app, worker)
    try:
        for port in ports:
            await port.setup()
        _collect_seldom(app[LIFECYCLE])
        # Before we say that we listen: a signal may come the moment after.
        stop = _on_signal() if worker is None else worker.ending
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, app[RELOADER].ask)
        if not stop.is_set():
            if worker is None:
                for port in ports:
                    await port.listen()
            else:
                await worker.listen(partial(_accept, ports))
            _announce(settings, *(port.addresses for port in ports))
            await stop.wait()
            # Without its supervisor a worker is in the way of those that come after it.
            await _drain(app, 0.0 if worker and worker.orphaned else settings.drain_seconds)
        for port in ports:
            port.close()
        if worker is not None:
            worker.close()
    finally:
        # The last one first: it is made of the parts of the first.
        for port in reversed(ports):
            await port.cleanup()
        if worker is not None:
            await worker.leave()
        if tracing is not None:
            await asyncio.to_thread(tracing.close, wait=LAST_SPANS_SECONDS)
    log.info("stopped")


async def _accept(ports: Sequence[_Port], sockets: Sequence[Sequence[socket.socket]]) -> list[asyncio.Server]:
    """Accept from the sockets of each port; returns what can be closed."""
    return [
        await port.listen(listener)
        for port, listeners in zip(ports, sockets, strict=True)
        for listener in listeners
    ]


async def _drain(app: web.Application, seconds: float) -> None:
    """Serve on, and say that others should be asked."""
    app[LIFECYCLE].draining = True
    # At once: their backends have the time of draining to attach through another replica.
    app[OPEN_SIDEBANDS].end_all()
    log.info("draining", seconds=seconds)
    await asyncio.sleep(seconds)


async def _join(app: web.Application, worker: Worker) -> None:
    async def state() -> bytes:
        return orjson.dumps({"in_flight": app[LIFECYCLE].in_flight})

    app[WORKERS] = worker
    app[SCRAPES].collect = worker.metrics
    await worker.join(metrics=partial(snapshot, app[METRICS].registry), state=state)


class _Port:
    """One application at one address."""

    def __init__(self, app: web.Application, settings: Settings, host: str, port: int) -> None:
        self._options: dict[str, Any] = {
            "access_log": None,
            "keepalive_timeout": settings.idle_timeout_seconds,
            "lingering_time": LINGER_SECONDS,
        }
        self._runner = web.AppRunner(
            app,
            handle_signals=False,
            handler_cancellation=False,
            shutdown_timeout=settings.shutdown_seconds,
            **self._options,
        )
        self._app = app
        self._at = host, port
        self._limits = ConnectionLimits(
            most=_most_connections(),
            # The peers are proxies then, and each has the connections of many callers.
            per_address=0 if settings.trusted_proxies else settings.connections_per_address,
            head=settings.head_timeout_seconds,
            idle=settings.idle_timeout_seconds,
            unread=settings.read_timeout_seconds,
        )
        self._listeners: list[asyncio.Server] = []
        self._front: Front | None = None

    @property
    def addresses(self) -> list[str]:
        """``host:port`` of each socket."""
        sockets = [one for listener in self._listeners for one in listener.sockets]
        return [":".join(map(str, one.getsockname()[:2])) for one in sockets]

    async def setup(self) -> None:
        """Open what the application needs."""
        await self._runner.setup()

    async def listen(self, listener: socket.socket | None = None) -> asyncio.Server:
        """Begin to accept: what ``web.TCPSite`` does, with connections of our own.

        Args:
            listener: a socket that listens already, in place of the address.

        Raises:
            OSError: the address is taken or not ours.
        """
        app, manager, loop = self._app, self._runner.server, asyncio.get_running_loop()
        if manager is None:
            raise RuntimeError("the runner was set up without a server")

        def serve(answered: Callable[[], None]) -> HttpProtocol:
            protocol = HttpProtocol(manager, loop=loop, **self._options)
            protocol.answered = answered
            return protocol

        cut = app[EARLY].metrics.cut
        self._front = front = self._front or Front(
            app[EARLY],
            app[LIFECYCLE],
            serve,
            self._limits,
            lambda reason: cut[reason].inc(),
        )
        make = partial(loop.create_server, lambda: Connection(front), backlog=BACKLOG)
        server = await (make(*self._at) if listener is None else make(sock=listener))
        self._listeners = [*(one for one in self._listeners if one.is_serving()), server]
        return server

    def close(self) -> None:
        """Accept no more."""
        for listener in self._listeners:
            listener.close()

    async def cleanup(self) -> None:
        """Finish the requests in flight and close the application's resources."""
        if self._front is not None:
            self._front.close()
        await self._runner.cleanup()


def _collect_seldom(lifecycle: Lifecycle) -> None:
    """Spare what was made so far, which lives as long as the process, and look for cycles seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    loop = asyncio.get_running_loop()

    def collect_all() -> None:
        if lifecycle.in_flight == 0:
            gc.collect()
        loop.call_later(COLLECT_ALL_SECONDS, collect_all)

    loop.call_later(COLLECT_ALL_SECONDS, collect_all)


def _most_connections() -> int:
    """How many connections a port may have; lifts the process's limit of open files as far as it may."""
    if sys.platform == "win32":
        return MOST_CONNECTIONS
    import resource

    files, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files != hard:
        wanted = 4 * MOST_CONNECTIONS if hard == resource.RLIM_INFINITY else min(hard, 4 * MOST_CONNECTIONS)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(files, wanted), hard))
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(MOST_CONNECTIONS, int(files * CONNECTIONS_SHARE))


def _announce(settings: Settings, addresses: list[str], operations: list[str] | None = None) -> None:
    url = settings.redis_url.get_secret_value() if settings.redis_url else "memory://"
    log.info(
        "listening",
        version=__version__,
        addresses=addresses,
        **({"operations": operations} if operations is not None else {}),
        environment=settings.environment,
        store=parse_address(url).shown,
        models=sorted(settings.models),
        pid=os.getpid(),
    )


def _on_signal() -> asyncio.Event:
    """The event that the first signal sets; a second one meets the system's default: the end, at once."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def received() -> None:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        stop.set()

    for number in _SIGNALS:
        loop.add_signal_handler(number, received)
    return stop
