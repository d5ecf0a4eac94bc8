"""The views of the admin API: figures, pools, handles and calls."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from aiohttp import web

from app import __version__
from app.broker.desk import call_document, handle_document, stopped_document, story_document
from app.broker.pool.overview import overview
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
    read_call_ids,
    read_call_page,
    read_handle_id,
    read_handle_page,
    read_query,
    read_revocation,
    read_stop,
    read_with_calls,
)
from app.web.answers import operators_answer
from app.web.appkeys import DESK, HANGUP, LIFECYCLE, RELOADER, STORE, TIMINGS
from app.web.incoming import parse_json_object, read_timed_body
from app.web.listener.workers import WORKERS

Item = TypeVar("Item")


async def stats(request: web.Request, act: Act) -> web.Response:
    """``GET /admin/v1/stats``: of the whole service, and of this replica with all of its workers.

    ``handles`` and ``calls`` are null while the store does not answer.
    """
    app = request.app
    read_query(request.query.items(), ())
    alive: Alive | None = None
    with contextlib.suppress(StoreUnavailable):
        alive = await app[DESK].alive()
    found: dict[str, Any] = {
        "object": "stats",
        "handles": alive.handles if alive is not None else None,
        "calls": alive.calls if alive is not None else None,
        "store": "up" if alive is not None and app[STORE].up else "down",
        "replica": app[DESK].replica,
        "version": __version__,
        "in_flight": app[LIFECYCLE].in_flight,
    }
    if (workers := app.get(WORKERS)) is not None:
        found["workers"] = states = await workers.states()
        found["in_flight"] = sum(one.get("in_flight", 0) for one in states)
    return operators_answer(found)


async def list_keys(request: web.Request, act: Act) -> web.Response:
    """``GET /admin/v1/keys``: the keys that each replica has in force, by ids and names; no secret."""
    read_query(request.query.items(), ())
    return operators_answer(await request.app[RELOADER].keys.listing())


async def list_pools(request: web.Request, act: Act) -> web.Response:
    """``GET /admin/v1/pools``: how each model's warm pool stands, and what became of its keys."""
    read_query(request.query.items(), ())
    told = await request.app[RELOADER].keys.everyone()
    return operators_answer(await overview(request.app[DESK].pools, told.aged))


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
    return operators_answer({"object": "count", "handles": act.fields["count"]})


async def show_handle(request: web.Request, act: Act) -> web.Response:
    """``GET /admin/v1/handles/{id}``: all that is known of a handle, with its last relays."""
    handle_id = act.fields["handle"] = read_handle_id(request.match_info["id"])
    read_query(request.query.items(), ())
    story = await request.app[DESK].story(handle_id)
    if story is None:
        raise handle_gone()
    return operators_answer(story_document(*story))


async def revoke_handle(request: web.Request, act: Act) -> web.Response:
    """``POST /admin/v1/handles/{id}/revoke``: at once, at every replica. With ``calls`` its calls end."""
    desk, now = request.app[DESK], request.app[DESK].clock()
    act.event = "revoke"
    handle_id = act.fields["handle"] = read_handle_id(request.match_info["id"])
    body = await read_timed_body(request)
    with_calls = read_with_calls(parse_json_object(request, body)) if body else False
    revocation = await desk.handles.revoke(handle_id, by=act.admin, now=now, calls=with_calls)
    act.fields["revoked"] = int(revocation == "revoked")
    view = await desk.handles.get(handle_id)
    if revocation == "gone" or view is None:
        raise handle_gone()
    if revocation == "newer":
        raise newer_release("handle", handle_id, view.version)
    act.fields |= {"client": view.client, "model": view.model, "deployment": view.deployment}
    act.outcome = "revoked" if revocation == "revoked" else "already_revoked"
    when = {"revoked_at": view.revoked_at, "revoked_by": view.revoked_by}
    answer = {"object": "handle.revocation", "id": handle_id, "outcome": act.outcome, **when}
    if not with_calls:
        return operators_answer(answer)
    stopped = await desk.stops.of_handle(view, by=act.admin, now=now)
    act.fields["noted"] = stopped.noted
    calls = {**stopped_document(stopped), "next_cursor": stopped.next_cursor}
    return operators_answer({**answer, "calls": calls})


async def revoke_handles(request: web.Request, act: Act) -> web.Response:
    """``POST /admin/v1/handles/revoke``: one bounded step of a revocation of many."""
    desk = request.app[DESK]
    body = parse_json_object(request, await read_timed_body(request))
    wanted, cursor, with_calls = read_revocation(body)
    act.fields["filters"] = _shown(body)
    step = await desk.stops.revoke_step(
        wanted, by=act.admin, now=desk.clock(), cursor=cursor, calls=with_calls
    )
    act.outcome, act.event, act.fields["revoked"] = "revoked", "revoke", step.revoked
    answer = {
        "object": "handles.revocation",
        "revoked": step.revoked,
        "already_revoked": step.already,
        "newer_release": step.newer,
        "examined": step.examined,
        "next_cursor": step.next_cursor,
    }
    if step.calls is None:
        return operators_answer(answer)
    act.fields["noted"] = step.calls.noted
    return operators_answer({**answer, "calls": stopped_document(step.calls)})


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
    return operators_answer(call_document(await _call(request, act)))


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
    hangup = request.app[HANGUP]
    act.outcome = await hangup.hang_up(call, request[TIMINGS], because="operator", operator=act.admin)
    return operators_answer({"object": "call.hangup", "id": call.id, "outcome": act.outcome})


async def hang_up_calls(request: web.Request, act: Act) -> web.Response:
    """``POST /admin/v1/calls/hangup``: one bounded step. The replicas hang up what it notes."""
    desk = request.app[DESK]
    body = parse_json_object(request, await read_timed_body(request))
    asked = read_stop(body)
    act.fields["filters"] = _shown(body)
    step = await desk.stops.step(
        asked.wanted, by=act.admin, now=desk.clock(), cursor=asked.cursor, dry_run=asked.dry_run
    )
    act.fields |= {"count": len(step.ids), "noted": step.noted}
    if not asked.dry_run:
        act.outcome, act.event = "noted", "hangup"
    return operators_answer(
        {
            "object": "calls.hangup",
            "dry_run": asked.dry_run,
            **stopped_document(step),
            "examined": step.examined,
            "next_cursor": step.next_cursor,
        }
    )


async def look_up_calls(request: web.Request, act: Act) -> web.Response:
    """``POST /admin/v1/calls/lookup``: those of the given calls that are on record."""
    body = parse_json_object(request, await read_timed_body(request))
    found = await request.app[DESK].calls.get_many(read_call_ids(body))
    act.fields["count"] = len(found)
    return operators_answer({"object": "list", "data": [call_document(call) for call in found.values()]})


async def _call(request: web.Request, act: Act) -> CallRecord:
    call_id = act.fields["call_id"] = read_call_id(request.match_info["id"])
    call = await request.app[DESK].calls.get(call_id)
    if call is None:
        raise call_gone()
    return call


def _page_answer(page: Page[Item], document_of: Callable[[Item], Mapping[str, Any]]) -> web.Response:
    return operators_answer(
        {
            "object": "list",
            "data": [document_of(item) for item in page.items],
            "next_cursor": page.next_cursor,
            "examined": page.examined,
        }
    )


def _shown(given: Mapping[str, Any]) -> dict[str, Any]:
    """Filters as they were given, without the cursor; what looks like a credential is redacted."""
    return {
        name: one_safe_line(value) if isinstance(value, str) else value
        for name, value in given.items()
        if name != "cursor" and value is not None
    }
