"""Answers made by hand, for what no honest provider sends."""

from __future__ import annotations

from typing import Any

import orjson
from multidict import CIMultiDict

from app.providers.base import UpstreamResponse


def response(status: int, body: bytes | str = b"", **headers: str) -> UpstreamResponse:
    """An answer; ``_`` in a header's name stands for ``-``."""
    named = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
    return UpstreamResponse(status, named, body.encode() if isinstance(body, str) else body)


def json_response(status: int, body: Any, **headers: str) -> UpstreamResponse:
    """An answer with a JSON body."""
    return response(status, orjson.dumps(body), Content_Type="application/json", **headers)
