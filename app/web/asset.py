"""A body that is made at the start and only handed out later: the files of the demo, the reference."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final, Self

from aiohttp import ETag, hdrs, web

# Kept by the browser, asked for again each time: a new release must not meet the old one's modules.
_REVALIDATE: Final = "no-cache"


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is served. ``etag`` is a strong tag: it changes with any byte."""

    body: bytes
    content_type: str
    etag: str

    @classmethod
    def of(cls, body: bytes, content_type: str) -> Self:
        return cls(body, content_type, hashlib.sha256(body).hexdigest()[:32])


def answer(request: web.Request, asset: Asset) -> web.Response:
    """The asset, or 304 where the caller has it."""
    asked = request.if_none_match or ()
    if any(tag.value in (asset.etag, "*") for tag in asked):
        response = web.Response(status=304)
    else:
        charset = None if asset.content_type == "application/json" else "utf-8"
        response = web.Response(body=asset.body, content_type=asset.content_type, charset=charset)
    response.etag = ETag(asset.etag)
    response.headers[hdrs.CACHE_CONTROL] = _REVALIDATE
    return response
