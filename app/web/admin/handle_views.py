"""Handles: list, count, show, revoke one, revoke many."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from app.broker.desk import handle_document, story_document
from app.store.views import HandleFilter
from app.telemetry.redaction import one_safe_line
from app.web.admin.answers import json_answer, page_answer
from app.web.admin.guard import Act
from app.web.admin.query import (
    handle_gone,
    read_handle_id,
    read_handle_page,
    read_query,
    read_revocation,
)
from app.web.appkeys import DESK
from app.web.bodies import parse_json_object, read_timed_body


async def list_handles(request: web.Request, act: Act) -> web.Response:
    """``GET /admin/v1/handles``: a page, latest expiry first."""
    desk = request.app[DESK]
    wanted, asked, filters = read_handle_page(request.query.items())
    act.fields["filters"] = shown(filters)
    page = await desk.handles.page(wanted, now=desk.clock(), cursor=asked.cursor, limit=asked.limit)
    act.fields["count"] = len(page.items)
    return page_answer(page, handle_document)


async def count_handles(request: web.Request, act: Act) -> web.Response:
    """``GET /admin/v1/handles/count``: by the index alone; of several names the narrowest counts."""
    desk = request.app[DESK]
    filters = read_query(request.query.items(), ("client", "subject", "model"))
    act.fields["filters"] = shown(filters)
    wanted = HandleFilter(filters.get("client"), filters.get("subject"), filters.get("model"))
    act.fields["count"] = await desk.handles.count(wanted, now=desk.clock())
    return json_answer({"object": "count", "handles": act.fields["count"]})


async def show_handle(request: web.Request, act: Act) -> web.Response:
    """``GET /admin/v1/handles/{id}``: everything that is known, with its last relays."""
    handle_id = act.fields["handle"] = read_handle_id(request.match_info["id"])
    read_query(request.query.items(), ())
    story = await request.app[DESK].story(handle_id)
    if story is None:
        raise handle_gone()
    return json_answer(story_document(*story))


async def revoke_handle(request: web.Request, act: Act) -> web.Response:
    """``POST /admin/v1/handles/{id}/revoke``: at once, at every replica. A body is not looked at."""
    desk = request.app[DESK]
    act.event = "revoke"
    handle_id = act.fields["handle"] = read_handle_id(request.match_info["id"])
    revocation = await desk.handles.revoke(handle_id, by=act.admin, now=desk.clock())
    act.fields["revoked"] = int(revocation == "revoked")
    view = await desk.handles.get(handle_id)
    if revocation == "gone" or view is None:
        raise handle_gone()
    act.fields |= {"client": view.client, "model": view.model, "deployment": view.deployment}
    act.outcome = "revoked" if revocation == "revoked" else "already_revoked"
    return json_answer(
        {
            "object": "handle.revocation",
            "id": handle_id,
            "outcome": act.outcome,
            "revoked_at": view.revoked_at,
            "revoked_by": view.revoked_by,
        }
    )


async def revoke_handles(request: web.Request, act: Act) -> web.Response:
    """``POST /admin/v1/handles/revoke``: one bounded step of many."""
    desk = request.app[DESK]
    body = parse_json_object(request, await read_timed_body(request))
    wanted, cursor = read_revocation(body)
    act.fields["filters"] = shown({name: value for name, value in body.items() if name != "cursor"})
    step = await desk.handles.revoke_page(wanted, by=act.admin, now=desk.clock(), cursor=cursor)
    act.outcome, act.fields["revoked"] = "revoked", step.revoked
    act.event = "revoke"
    return json_answer(
        {
            "object": "handles.revocation",
            "revoked": step.revoked,
            "already_revoked": step.already,
            "examined": step.examined,
            "next_cursor": step.next_cursor,
        }
    )


def shown(filters: Mapping[str, str | None]) -> dict[str, str]:
    """Filters as they were given, but for what looks like a credential that was pasted by mistake."""
    return {name: one_safe_line(value) for name, value in filters.items() if value is not None}
