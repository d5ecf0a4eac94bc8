"""Where a request carries its key or handle."""

from __future__ import annotations

from typing import Final

from aiohttp import hdrs, web

_BEARER: Final = "bearer "


def credential(request: web.Request) -> str | None:
    """The bearer token, or the ``api-key`` header that Azure-flavoured clients send. Not verified."""
    authorization = request.headers.get(hdrs.AUTHORIZATION)
    if authorization is None:
        return request.headers.get("api-key")
    if authorization[: len(_BEARER)].lower() == _BEARER:
        return authorization[len(_BEARER) :].strip()
    return None
