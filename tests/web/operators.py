"""Requests to the admin API, as an operator's tools send them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, MutableMapping
from typing import Any

import structlog.testing
from aiohttp import hdrs

from tests.support.api import Reply
from tests.support.handles import claims_of
from tests.support.service import Service


async def ask(
    service: Service, method: str, path: str, *, key: str | None = None, body: Any = None, **headers: str
) -> Reply:
    """Send a request with the operator's key, or with another one; ``""`` sends none."""
    key = service.planted.admin_key if key is None else key
    if key:
        headers = {hdrs.AUTHORIZATION: f"Bearer {key}", **headers}
    async with service.http.request(
        method, f"{service.base}/admin/v1{path}", json=body, headers=headers
    ) as response:
        found = {name.lower(): value for name, value in response.headers.items()}
        return Reply(response.status, found, await response.text())


async def get(service: Service, path: str) -> Any:
    """GET what is there."""
    reply = await ask(service, "GET", path)
    assert reply.status == 200, reply
    return reply.json


async def post(service: Service, path: str, body: Any = None) -> Any:
    """POST what is taken."""
    reply = await ask(service, "POST", path, body=body)
    assert reply.status == 200, reply
    return reply.json


def id_of(handle: str) -> str:
    """The handle's id."""
    return str(claims_of(handle)["jti"])


@contextlib.contextmanager
def audited() -> Iterator[list[MutableMapping[str, Any]]]:
    """The audit lines of what is done inside."""
    with structlog.testing.capture_logs() as lines:
        found: list[MutableMapping[str, Any]] = []
        yield found
        found += [line for line in lines if line["event"] == "audit"]
