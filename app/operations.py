"""The operations port: the same parts as the service, behind the same gate, for operators and scrapers."""

from __future__ import annotations

from aiohttp import web

from app.web.appkeys import DESK, METER, OPEN_SIDEBANDS
from app.web.routes import health_routes, operations_routes


def create_operations_app(app: web.Application) -> web.Application:
    """What the operations port serves; there is no way to mint or relay.

    It begins after the service that it is made of, and ends before it.
    """
    operations = web.Application(middlewares=list(app.middlewares))

    async def share(operations: web.Application) -> None:
        for key in app:
            operations[key] = app[key]

    operations.on_startup.append(share)
    operations.on_shutdown.append(end_streams)
    operations.add_routes([*health_routes(), *operations_routes()])
    return operations


async def end_streams(app: web.Application) -> None:
    """End what lasts until its caller leaves: watches, sidebands, metered calls."""
    # Before requests in flight are waited for: a watch or a sideband would last an hour.
    app[DESK].feed.end_watches()
    app[OPEN_SIDEBANDS].end_all()
    await app[METER].hand_over()
