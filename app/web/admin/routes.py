"""The routes of the admin API, each guarded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from aiohttp import web

from app.web.admin import events, views
from app.web.admin.guard import View, guarded
from app.web.answers import expect

BASE: Final = "/admin/v1"
# Any segment: what cannot be an id gets the same answer as an unknown id. Except the names that are
# paths themselves, so that a wrong method there gets a 405.
_HANDLE: Final = f"{BASE}/handles/{{id:(?!count$|revoke$)[^/]+}}"
_CALL: Final = f"{BASE}/calls/{{id:(?!hangup$|lookup$)[^/]+}}"


def admin_routes() -> Iterator[web.RouteDef]:
    """The route table of the admin API."""
    yield _get(f"{BASE}/stats", "stats", views.stats)
    yield _get(f"{BASE}/keys", "keys.list", views.list_keys)
    yield _get(f"{BASE}/pools", "pools.list", views.list_pools)
    yield _get(f"{BASE}/events", "events.watch", events.watch)
    yield _get(f"{BASE}/handles", "handles.list", views.list_handles)
    yield _get(f"{BASE}/handles/count", "handles.count", views.count_handles)
    yield _post(f"{BASE}/handles/revoke", "handles.revoke_many", views.revoke_handles)
    yield _get(_HANDLE, "handles.show", views.show_handle)
    yield _post(f"{_HANDLE}/revoke", "handles.revoke", views.revoke_handle)
    yield _get(f"{BASE}/calls", "calls.list", views.list_calls)
    yield _post(f"{BASE}/calls/hangup", "calls.hangup_many", views.hang_up_calls)
    yield _post(f"{BASE}/calls/lookup", "calls.lookup", views.look_up_calls)
    yield _get(_CALL, "calls.show", views.show_call)
    yield _post(f"{_CALL}/hangup", "calls.hangup", views.hang_up)


def _get(path: str, action: str, view: View) -> web.RouteDef:
    return web.get(path, guarded(action, view))


def _post(path: str, action: str, view: View) -> web.RouteDef:
    return web.post(path, guarded(action, view), expect_handler=expect)
