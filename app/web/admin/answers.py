"""The answers of the admin API as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import orjson
from aiohttp import web

from app.store.views import Page

Item = TypeVar("Item")


def json_answer(document: Mapping[str, Any]) -> web.Response:
    """200 with a JSON object."""
    return web.Response(body=orjson.dumps(document), content_type="application/json")


def page_answer(page: Page[Item], document_of: Callable[[Item], Mapping[str, Any]]) -> web.Response:
    """200 with one page of a listing."""
    return json_answer(
        {
            "object": "list",
            "data": [document_of(item) for item in page.items],
            "next_cursor": page.next_cursor,
            "examined": page.examined,
        }
    )
