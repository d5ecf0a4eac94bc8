"""Figures at a glance."""

from __future__ import annotations

import contextlib

from aiohttp import web

from app import __version__
from app.errors import StoreUnavailable
from app.store.views import Alive
from app.web.admin.answers import json_answer
from app.web.admin.guard import Act
from app.web.admin.query import read_query
from app.web.appkeys import DESK, LIFECYCLE, STORE


async def stats(request: web.Request, act: Act) -> web.Response:
    """``GET /admin/v1/stats``: of the whole service, and of the replica that answers.

    Without the store nobody knows how many handles and calls there are: null.
    """
    app = request.app
    read_query(request.query.items(), ())
    alive: Alive | None = None
    with contextlib.suppress(StoreUnavailable):
        alive = await app[DESK].alive()
    return json_answer(
        {
            "object": "stats",
            "handles": alive.handles if alive is not None else None,
            "calls": alive.calls if alive is not None else None,
            "store": "up" if alive is not None and app[STORE].up else "down",
            "replica": app[DESK].replica,
            "version": __version__,
            "in_flight": app[LIFECYCLE].in_flight,
        }
    )
