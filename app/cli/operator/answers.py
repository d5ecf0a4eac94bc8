"""The admin API's queries and answers, between JSON and our own values. Pure.

What reads an answer raises KeyError, TypeError, ValueError or AttributeError where it has another shape.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import orjson

from app.store.views import CallFilter, HandleFilter, Page, Revoked

T = TypeVar("T")


def query_of(wanted: HandleFilter | CallFilter, **more: Any) -> dict[str, Any]:
    return {
        "client": wanted.client,
        "subject": wanted.subject,
        "model": wanted.model,
        "deployment": wanted.deployment,
        **more,
    }


def object_of(content: bytes) -> dict[str, Any]:
    found = orjson.loads(content)
    if not isinstance(found, dict):
        raise TypeError("no JSON object")
    return found


def page_of(found: dict[str, Any], read: Callable[[dict[str, Any]], T]) -> Page[T]:
    cursor = found["next_cursor"]
    if cursor is not None and not isinstance(cursor, str):
        raise TypeError("a cursor is a text")
    return Page(tuple(read(one) for one in found["data"]), cursor, int(found["examined"]))


def revoked_of(found: dict[str, Any]) -> Revoked:
    return Revoked(
        revoked=int(found["revoked"]),
        already=int(found["already_revoked"]),
        examined=int(found["examined"]),
        next_cursor=found["next_cursor"],
    )
