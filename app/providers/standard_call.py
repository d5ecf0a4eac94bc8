"""Creating a call with the deployment's standard key instead of the ephemeral one. Pure.

The way round for sideband connections that answer 404 to calls of an ephemeral key (contracts, section 1).
The standard key brings no session of its own, so the one that was minted goes along as a part of a form.
OpenAI's alone: Azure takes raw SDP with an ephemeral key only.
"""

from __future__ import annotations

import hashlib
from typing import Final

import orjson

from app.models import Deployment, Family, MintRequest, Offer, StandardCall
from app.providers.base import JSON_TYPE, SDP_TYPE, UpstreamRequest, standard_key_header
from app.providers.openai import mint_body, safety_header

# What a form is for; a translation's path takes raw SDP, and whether it takes a form is not verified.
_FAMILIES: Final = frozenset({Family.REALTIME, Family.TRANSCRIPTION})


def standard_call(deployment: Deployment, mint: MintRequest) -> StandardCall | None:
    """What must be kept of a mint to create its call with the standard key; None when none is to be."""
    if deployment.call_key != "standard" or mint.family not in _FAMILIES:
        return None
    # What was asked for, not the provider's echo: that holds ids and times which no request takes.
    session = orjson.dumps(mint_body(deployment, mint)["session"])
    return StandardCall(session=session, safety_identifier=mint.safety_identifier)


def standard_call_request(deployment: Deployment, call: StandardCall, offer: Offer) -> UpstreamRequest:
    """The form with the parts ``sdp`` and ``session``, under the deployment's own credential."""
    boundary = _boundary(offer.sdp, call.session)
    return UpstreamRequest(
        url=f"{deployment.base_url}/realtime/calls",
        headers={
            **standard_key_header(deployment),
            **safety_header(call.safety_identifier),
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Accept": SDP_TYPE,
        },
        body=_form(boundary, (("sdp", SDP_TYPE, offer.sdp), ("session", JSON_TYPE, call.session))),
    )


def _boundary(*contents: bytes) -> str:
    """A line that stands in none of the contents: nobody can write text that holds its own SHA-256."""
    digest = hashlib.sha256()
    for content in contents:
        digest.update(b"%d:" % len(content) + content)
    return f"cloakroom-{digest.hexdigest()[:40]}"


def _form(boundary: str, parts: tuple[tuple[str, str, bytes], ...]) -> bytes:
    """RFC 7578, by hand: a library that builds text would not keep an offer's bytes as they came."""
    lines: list[bytes] = []
    for name, content_type, content in parts:
        head = (
            f"--{boundary}\r\n"
            f'Content-Disposition: form-data; name="{name}"\r\n'
            f"Content-Type: {content_type}\r\n\r\n"
        )
        lines += [head.encode("ascii"), content, b"\r\n"]
    return b"".join([*lines, f"--{boundary}--\r\n".encode("ascii")])
