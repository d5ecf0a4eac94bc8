"""The views of the admin API: figures, handles and calls."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from aiohttp import web

from app import __version__
from app.broker.desk import call_document, handle_document, story_document
from app.broker.upgrades import newer_release
from app.errors import StoreUnavailable
from app.store.listing.views import Alive, HandleFilter, Page
from app.store.records.record import CallRecord
from app.telemetry.redaction import one_safe_line
from app.web.admin.guard import Act
from app.web.admin.query import (
    call_gone,
    handle_gone,
    read_call_id,
    read_call_page,
    read_handle_id,
    read_handle_page,
    read_query,
    read_revocation,
)
from app.web.answers import json_answer
from app.web.appkeys import DESK, HANGUP, LIFECYCLE, STORE, TIMINGS
from app.web.incoming import parse_json_object, read_timed_body

Item = TypeVar("Item")


async def stats(request: web.Request, act: Act) -> web.Response:
    """``GET /admin/v1/stats``: of the whole service, and of this replica.

    ``handles`` and ``calls`` are null while the store does not answer.
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


async def list_handles(request: web.Request, act: Act) -> web.Response:
    """``GET /admin/v1/handles``: one page, latest expiry first."""
    desk = request.app[DESK]
    wanted, asked, filters = read_handle_page(request.query.items())
    act.fields["filters"] = _shown(filters)
    page = await desk.handles.page(wanted, now=desk.clock(), cursor=asked.cursor, limit=asked.limit)
    act.fields["count"] = len(page.items)
    return _page_answer(page, handle_document)


async def count_handles(request: web.Request, act: Act) -> web.Response:
    """``GET /admin/v1/handles/count``: from the index; of several filters the narrowest is used."""
    desk = request.app[DESK]
    filters = read_query(request.query.items(), ("client", "subject", "model"))
    act.fields["filters"] = _shown(filters)
    wanted = HandleFilter(filters.get("client"), filters.get("subject"), filters.get("model"))
    act.fields["count"] = await desk.handles.count(wanted, now=desk.clock())
    return json_answer({"object": "count", "handles": act.fields["count"]})


async def show_handle(request: web.Request, act: Act) -> web.Response:
    """``GET /admin/v1/handles/{id}``: all that is known of a handle, with its last relays."""
    handle_id = act.fields["handle"] = read_handle_id(request.match_info["id"])
    read_query(request.query.items(), ())
    story = await request.app[DESK].story(handle_id)
    if story is None:
        raise handle_gone()
    return json_answer(story_document(*story))


async def revoke_handle(request: web.Request, act: Act) -> web.Response:
    """``POST /admin/v1/handles/{id}/revoke``: at once, at every replica. The body is ignored."""
    desk = request.app[DESK]
    act.event = "revoke"
    handle_id = act.fields["handle"] = read_handle_id(request.match_info["id"])
    revocation = await desk.handles.revoke(handle_id, by=act.admin, now=desk.clock())
    act.fields["revoked"] = int(revocation == "revoked")
    view = await desk.handles.get(handle_id)
    if revocation == "gone" or view is None:
        raise handle_gone()
    if revocation == "newer":
        raise newer_release("handle", handle_id, view.version)
    act.fields |= {"client": view.client, "model": view.model, "deployment": view.deployment}
    act.outcome = "revoked" if revocation == "revoked" else "already_revoked"
    when = {"revoked_at": view.revoked_at, "revoked_by": view.revoked_by}
    return json_answer({"object": "handle.revocation", "id": handle_id, "outcome": act.outcome, **when})


async def revoke_handles(request: web.Request, act: Act) -> web.Response:
    """``POST /admin/v1/handles/revoke``: one bounded step of a revocation of many."""
    desk = request.app[DESK]
    body = parse_json_object(request, await read_timed_body(request))
    wanted, cursor = read_revocation(body)
    act.fields["filters"] = _shown({name: value for name, value in body.items() if name != "cursor"})
    step = await desk.handles.revoke_page(wanted, by=act.admin, now=desk.clock(), cursor=cursor)
    act.outcome, act.event, act.fields["revoked"] = "revoked", "revoke", step.revoked
    return json_answer(
        {
            "object": "handles.revocation",
            "revoked": step.revoked,
            "already_revoked": step.already,
            "newer_release": step.newer,
            "examined": step.examined,
            "next_cursor": step.next_cursor,
        }
    )


async def list_calls(request: web.Request, act: Act) -> web.Response:
    """``GET /admin/v1/calls``: one page, latest relay first."""
    desk = request.app[DESK]
    wanted, asked, filters = read_call_page(request.query.items())
    act.fields["filters"] = _shown(filters)
    page = await desk.calls.page(wanted, now=desk.clock(), cursor=asked.cursor, limit=asked.limit)
    act.fields["count"] = len(page.items)
    return _page_answer(page, call_document)


async def show_call(request: web.Request, act: Act) -> web.Response:
    """``GET /admin/v1/calls/{id}``."""
    read_query(request.query.items(), ())
    return json_answer(call_document(await _call(request, act)))


async def hang_up(request: web.Request, act: Act) -> web.Response:
    """``POST /admin/v1/calls/{id}/hangup``: any client's call. The body is ignored."""
    act.event = "hangup"
    call = await _call(request, act)
    act.fields |= {
        "handle": call.handle,
        "client": call.client,
        "model": call.model,
        "deployment": call.deployment,
    }
    act.outcome = await request.app[HANGUP].hang_up(call, request[TIMINGS])
    return json_answer({"object": "call.hangup", "id": call.id, "outcome": act.outcome})


async def _call(request: web.Request, act: Act) -> CallRecord:
    call_id = act.fields["call_id"] = read_call_id(request.match_info["id"])
    call = await request.app[DESK].calls.get(call_id)
    if call is None:
        raise call_gone()
    return call


def _page_answer(page: Page[Item], document_of: Callable[[Item], Mapping[str, Any]]) -> web.Response:
    return json_answer(
        {
            "object": "list",
            "data": [document_of(item) for item in page.items],
            "next_cursor": page.next_cursor,
            "examined": page.examined,
        }
    )


def _shown(filters: Mapping[str, str | None]) -> dict[str, str]:
    """Filters as they were given; what looks like a credential is redacted."""
    return {name: one_safe_line(value) for name, value in filters.items() if value is not None}
