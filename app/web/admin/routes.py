"""The routes of the admin API, each behind its guard."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from aiohttp import web

from app.web.admin import call_views, events_view, handle_views, stats_view
from app.web.admin.guard import View, guarded
from app.web.protocol import expect

BASE: Final = "/admin/v1"
# Any segment: the views give one answer for what is no id and for what is nobody's. But not the two names
# that are paths of their own, so that a wrong method there is told as such.
_HANDLE: Final = f"{BASE}/handles/{{id:(?!count$|revoke$)[^/]+}}"
_CALL: Final = f"{BASE}/calls/{{id:[^/]+}}"


def admin_routes() -> Iterator[web.RouteDef]:
    """The route table of the admin API."""
    yield _get(f"{BASE}/stats", "stats", stats_view.stats)
    yield _get(f"{BASE}/events", "events.watch", events_view.watch)
    yield _get(f"{BASE}/handles", "handles.list", handle_views.list_handles)
    yield _get(f"{BASE}/handles/count", "handles.count", handle_views.count_handles)
    yield _post(f"{BASE}/handles/revoke", "handles.revoke_many", handle_views.revoke_handles)
    yield _get(_HANDLE, "handles.show", handle_views.show_handle)
    yield _post(f"{_HANDLE}/revoke", "handles.revoke", handle_views.revoke_handle)
    yield _get(f"{BASE}/calls", "calls.list", call_views.list_calls)
    yield _get(_CALL, "calls.show", call_views.show_call)
    yield _post(f"{_CALL}/hangup", "calls.hangup", call_views.hang_up)


def _get(path: str, action: str, view: View) -> web.RouteDef:
    return web.get(path, guarded(action, view))


def _post(path: str, action: str, view: View) -> web.RouteDef:
    return web.post(path, guarded(action, view), expect_handler=expect)
