"""Runs one replica: listens, waits for a signal, turns readiness, finishes what is in flight, ends.

On SIGTERM or SIGINT readiness turns first, while requests are still served for ``drain_seconds``, so that a
load balancer has time to look elsewhere. Then the listener closes and requests in flight get
``shutdown_seconds`` to end. A second signal ends the process at once.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from typing import Any, Final

import structlog
from aiohttp import web

from app import __version__
from app.appkeys import LIFECYCLE
from app.main import create_app
from app.ops.tracing_setup import tracing_from_environment
from app.settings import Settings
from app.store.address import parse_address
from app.web.protocol import Protocol

log = structlog.get_logger("cloakroom.server")

# Longer than the usual idle timeout of a load balancer (60 s), so that it is never we who close a
# connection on which it is just sending a request.
KEEPALIVE_SECONDS: Final = 75.0
BACKLOG: Final = 1024
# What a caller may still send after we refused its body, before the connection is cut.
LINGER_SECONDS: Final = 2.0
# What a slow collector may hold up our end.
LAST_SPANS_SECONDS: Final = 3.0
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


async def serve(settings: Settings) -> None:
    """Serve until a signal comes.

    Raises:
        OSError: the address is taken or not ours.
        WiringError: the settings cannot be wired.
    """
    # The SDK reads its variables from the process's environment, and so do we for this.
    tracing = tracing_from_environment(os.environ, replica=settings.replica)
    app = create_app(settings, tracing=tracing)
    options: dict[str, Any] = {
        "access_log": None,
        "keepalive_timeout": KEEPALIVE_SECONDS,
        "lingering_time": LINGER_SECONDS,
    }
    runner = web.AppRunner(
        app,
        handle_signals=False,
        handler_cancellation=False,
        shutdown_timeout=settings.shutdown_seconds,
        **options,
    )
    await runner.setup()
    manager, loop = runner.server, asyncio.get_running_loop()
    if manager is None:
        raise RuntimeError("the runner was set up without a server")
    # What was made so far lives as long as the process: the collector need not walk it again and again.
    gc.collect()
    gc.freeze()
    try:
        # Before anybody is told that we listen: a signal may come the moment after.
        stop = _on_signal()
        # What ``web.TCPSite`` does, with a protocol of our own.
        listener = await loop.create_server(
            lambda: Protocol(manager, loop=loop, **options),
            settings.host,
            settings.port,
            backlog=BACKLOG,
        )
        _announce(settings, [socket.getsockname() for socket in listener.sockets])
        await stop.wait()
        app[LIFECYCLE].draining = True
        log.info("draining", seconds=settings.drain_seconds)
        await asyncio.sleep(settings.drain_seconds)
        listener.close()
    finally:
        await runner.cleanup()
        if tracing is not None:
            await asyncio.to_thread(tracing.close, wait=LAST_SPANS_SECONDS)
    log.info("stopped")


def _announce(settings: Settings, addresses: list[Any]) -> None:
    url = settings.redis_url.get_secret_value() if settings.redis_url else "memory://"
    log.info(
        "listening",
        version=__version__,
        addresses=[":".join(map(str, address[:2])) for address in addresses],
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
