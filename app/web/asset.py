"""A body that is made once and then served unchanged: the demo's files and the reference."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final, Self

from aiohttp import ETag, hdrs, web

# Browsers keep the file but ask each time, so that a new release never runs with old modules.
_REVALIDATE: Final = "no-cache"


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is served. ``etag`` is strong: it changes with any byte."""

    body: bytes
    content_type: str
    etag: str

    @classmethod
    def of(cls, body: bytes, content_type: str) -> Self:
        return cls(body, content_type, hashlib.sha256(body).hexdigest()[:32])


def answer(request: web.Request, asset: Asset) -> web.Response:
    """The asset, or 304 where the caller has it already."""
    asked = request.if_none_match or ()
    if any(tag.value in (asset.etag, "*") for tag in asked):
        response = web.Response(status=304)
    else:
        charset = None if asset.content_type == "application/json" else "utf-8"
        response = web.Response(body=asset.body, content_type=asset.content_type, charset=charset)
    response.etag = ETag(asset.etag)
    response.headers[hdrs.CACHE_CONTROL] = _REVALIDATE
    return response
