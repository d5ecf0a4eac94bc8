"""Calls: list, show, hang up."""

from __future__ import annotations

from aiohttp import web

from app.broker.desk import call_document
from app.models import CallRecord
from app.web.admin.answers import json_answer, page_answer
from app.web.admin.guard import Act
from app.web.admin.handle_views import shown
from app.web.admin.query import call_gone, read_call_id, read_call_page, read_query
from app.web.appkeys import DESK, HANGUP, TIMINGS


async def list_calls(request: web.Request, act: Act) -> web.Response:
    """``GET /admin/v1/calls``: a page, the latest first."""
    desk = request.app[DESK]
    wanted, asked, filters = read_call_page(request.query.items())
    act.fields["filters"] = shown(filters)
    page = await desk.calls.page(wanted, now=desk.clock(), cursor=asked.cursor, limit=asked.limit)
    act.fields["count"] = len(page.items)
    return page_answer(page, call_document)


async def show_call(request: web.Request, act: Act) -> web.Response:
    """``GET /admin/v1/calls/{id}``."""
    read_query(request.query.items(), ())
    return json_answer(call_document(await _call(request, act)))


async def hang_up(request: web.Request, act: Act) -> web.Response:
    """``POST /admin/v1/calls/{id}/hangup``: whoever's call it is. A body is not looked at."""
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
