"""Reads the answer to a hang-up. Pure.

Source: OpenAI's API reference, "Hang up call": 200 with nothing to read. A call that is not there is a 404
``call_id_not_found`` (contracts, section 1); for whoever wants it gone, that is as good.
"""

from __future__ import annotations

from typing import Final

from app.models import Deployment
from app.providers.base import UpstreamResponse, read_error

_GONE: Final = (404, "call_id_not_found")


def read_hangup(deployment: Deployment, response: UpstreamResponse) -> bool:
    """Return True when the provider ended the call, False when it knows no such call (any more).

    Raises:
        UpstreamError: anything else. A 404 that says something else is about a path or a deployment, and
            tells nothing of the call.
    """
    if 200 <= response.status <= 299:
        return True
    error = read_error(deployment, response, operation="hangup", secrets=deployment.held_secrets())
    if (error.upstream_status, error.upstream_code) == _GONE:
        return False
    raise error
