"""What machines ask a replica: liveness, readiness, metrics.

Liveness never asks the store: restarting this process would not repair it.
"""

from __future__ import annotations

from aiohttp import hdrs, web

from app.errors import Draining, StoreUnavailable
from app.store.faults import RETRY_AFTER_SECONDS
from app.web.answers import json_answer
from app.web.appkeys import LIFECYCLE, SCRAPES, STORE
from app.web.listener.workers import WORKERS


async def livez(request: web.Request) -> web.Response:
    """200 while the event loop runs."""
    return _ok("alive")


async def readyz(request: web.Request) -> web.Response:
    """200 when a mint or relay sent now could succeed: not draining, and a node of the store takes writes.

    While other nodes of a Cluster do not, the answer says how many: ``store_nodes_down``. Likewise
    ``workers_down``: any worker answers for the replica, which serves on while one of them is started again.
    """
    if request.app[LIFECYCLE].draining:
        raise Draining("This replica is shutting down. Send new requests to another one.", retry_after=1)
    store = request.app[STORE]
    if not store.up or not await store.probe(at_once=False):
        raise StoreUnavailable("The token store cannot be reached.", retry_after=RETRY_AFTER_SECONDS)
    workers = request.app.get(WORKERS)
    missing = {
        "store_nodes_down": sum(not up for up in store.nodes.values()),
        "workers_down": workers.missing if workers is not None else 0,
    }
    return json_answer({"status": "ready", **{name: number for name, number in missing.items() if number}})


async def metrics(request: web.Request) -> web.Response:
    """``GET /metrics``: Prometheus' text format, or OpenMetrics where the scraper asks for it.

    Pages cannot read it. Where the replica has several workers, any of them answers for all.
    """
    text, content_type = await request.app[SCRAPES].text(request.headers.get(hdrs.ACCEPT, ""))
    return web.Response(body=text, headers={hdrs.CONTENT_TYPE: content_type})


def _ok(status: str) -> web.Response:
    return json_answer({"status": status})
