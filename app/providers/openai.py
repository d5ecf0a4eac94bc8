"""OpenAI, generally available, and every API that speaks its contract (its API reference, "Realtime").

An API with the same contract under other URLs is a subclass that overrides ``base_url`` and the four
``..._url``.

A call can also be created with the deployment's standard key: the way round for sideband connections that
answer 404 to calls of an ephemeral key, and the only way at servers that keep these paths and mint no keys.
The standard key brings no session, so the session that was minted is sent along as a part of a form.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import orjson

from app.errors import InvalidRequest, UpstreamError
from app.models import Answer, Deployment, EphemeralKey, Family, MintRequest, Offer, Secret, StandardCall
from app.providers.answers import read_ephemeral_key, read_hangup, read_no_sideband, read_sdp_answer
from app.providers.base import (
    JSON_TYPE,
    SDP_TYPE,
    Traits,
    UpstreamRequest,
    UpstreamResponse,
    http_url,
    standard_key_header,
)
from app.providers.sessions import with_models

DEFAULT_BASE_URL: Final = "https://api.openai.com/v1"
# OpenAI's guide "Data residency": the key's project must have been made for the region.
REGIONS: Final[Mapping[str, str]] = {
    name: f"https://{name}.api.openai.com/v1" for name in ("us", "eu", "ae", "au", "in", "jp")
}
# The sessions that a form serves. Whether a translation's path takes one is not verified.
_TOO_DEEP: Final = "'session' is nested too deeply."
_FAMILIES: Final = frozenset({Family.REALTIME, Family.TRANSCRIPTION})


class OpenAI:
    """Mints with the standard key as a bearer token, relays the raw offer with the ephemeral key."""

    traits = Traits(
        takes_standard_call=True, tells_ends=True, federates=True, regions=REGIONS, is_copied=True
    )

    def base_url(self, pasted: str | None) -> str:
        if pasted is None:
            return DEFAULT_BASE_URL
        parts = http_url(pasted.strip())
        if parts is None or parts.query or parts.fragment:
            raise ValueError(
                "base_url must look like https://api.openai.com/v1, without user, query or fragment"
            )
        return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"

    def mint_request(self, deployment: Deployment, mint: MintRequest) -> UpstreamRequest:
        try:
            body = orjson.dumps(mint_body(deployment, mint))
        except orjson.JSONEncodeError:
            # orjson reads 1024 levels and writes 254.
            raise InvalidRequest(_TOO_DEEP, param="session") from None
        return UpstreamRequest(
            url=self.mint_url(deployment, translation=mint.family is Family.TRANSLATION),
            headers={
                **self.credential(deployment),
                **safety_header(mint.safety_identifier),
                "Content-Type": JSON_TYPE,
                "Accept": JSON_TYPE,
            },
            body=body,
        )

    def read_mint(self, deployment: Deployment, response: UpstreamResponse) -> EphemeralKey:
        return read_ephemeral_key(deployment, response)

    def relay_request(self, deployment: Deployment, key: Secret, offer: Offer) -> UpstreamRequest:
        return UpstreamRequest(
            url=self.calls_url(deployment, translation=offer.path is Family.TRANSLATION),
            headers={"Authorization": f"Bearer {key.reveal()}", "Content-Type": SDP_TYPE, "Accept": SDP_TYPE},
            body=offer.sdp,
        )

    def kept_call(self, deployment: Deployment, mint: MintRequest) -> StandardCall:
        if mint.family not in _FAMILIES:
            raise UpstreamError(
                f"Deployment '{deployment.name}' has no ephemeral keys, and serves no {mint.family.value} "
                "sessions without them.",
                upstream=(400, None),
            )
        try:
            # The session that was asked for: the provider's echo holds ids and times that no request takes.
            session = orjson.dumps(mint_session(deployment, mint))
        except orjson.JSONEncodeError:
            raise InvalidRequest(_TOO_DEEP, param="session") from None
        return StandardCall(session, mint.safety_identifier, deployment.upstream_model or mint.model)

    def standard_call_request(
        self, deployment: Deployment, call: StandardCall, offer: Offer
    ) -> UpstreamRequest:
        boundary = _boundary(offer.sdp, call.session)
        return UpstreamRequest(
            url=self.calls_url(deployment, translation=False),
            headers={
                **self.credential(deployment),
                **safety_header(call.safety_identifier),
                "Content-Type": f"multipart/form-data; boundary={boundary}",
                "Accept": SDP_TYPE,
            },
            body=_form(boundary, (("sdp", SDP_TYPE, offer.sdp), ("session", JSON_TYPE, call.session))),
        )

    def read_answer(self, deployment: Deployment, key: Secret | None, response: UpstreamResponse) -> Answer:
        return read_sdp_answer(deployment, key, response)

    def hangup_request(self, deployment: Deployment, call_id: str) -> UpstreamRequest:
        return UpstreamRequest(
            url=self.hangup_url(deployment, call_id),
            # A type without a body, as OpenAI's own SDK sends it.
            headers={**self.credential(deployment), "Content-Type": JSON_TYPE, "Accept": JSON_TYPE},
            body=b"",
        )

    def read_hangup(self, deployment: Deployment, response: UpstreamResponse) -> bool:
        return read_hangup(deployment, response)

    def sideband_request(self, deployment: Deployment, call_id: str) -> UpstreamRequest:
        # OpenAI's guide "Webhooks and server-side controls".
        return UpstreamRequest(
            url=f"{self.sideband_url(deployment)}?call_id={call_id}",
            headers=self.credential(deployment),
            body=b"",
        )

    def read_no_sideband(self, deployment: Deployment, response: UpstreamResponse) -> UpstreamError | None:
        return read_no_sideband(deployment, response)

    def mint_url(self, deployment: Deployment, *, translation: bool) -> str:
        """Where keys are minted; translations have separate paths."""
        return f"{deployment.base_url}/realtime/{_branch(translation)}client_secrets"

    def calls_url(self, deployment: Deployment, *, translation: bool) -> str:
        """Where offers go."""
        return f"{deployment.base_url}/realtime/{_branch(translation)}calls"

    def hangup_url(self, deployment: Deployment, call_id: str) -> str:
        """Where a call is ended."""
        return f"{deployment.base_url}/realtime/calls/{call_id}/hangup"

    def sideband_url(self, deployment: Deployment) -> str:
        """Where sidebands are opened; http becomes ws."""
        return f"ws{deployment.base_url.removeprefix('http')}/realtime"

    def credential(self, deployment: Deployment) -> Mapping[str, str]:
        """The header that carries the deployment's standard key."""
        return standard_key_header(deployment)


def safety_header(identifier: str | None) -> dict[str, str]:
    """``OpenAI-Safety-Identifier``, where the caller or the operator wants one sent."""
    return {"OpenAI-Safety-Identifier": identifier} if identifier is not None else {}


def _branch(translation: bool) -> str:
    return "translations/" if translation else ""


def mint_body(deployment: Deployment, mint: MintRequest) -> dict[str, Any]:
    """``{session, expires_after?}``."""
    session = mint_session(deployment, mint)
    if mint.seconds is None:
        return {"session": session}
    return {"expires_after": {"anchor": "created_at", "seconds": mint.seconds}, "session": session}


def mint_session(deployment: Deployment, mint: MintRequest) -> dict[str, Any]:
    """The caller's session with its type, and the model under the provider's name."""
    session = with_models(mint.family, mint.session, main=deployment.upstream_model or mint.model)
    # Translations have separate paths, and no type.
    if mint.family is not Family.TRANSLATION:
        session["type"] = str(mint.family)
    return session


def _boundary(*contents: bytes) -> str:
    """A line that is in none of the contents, since no text can contain its own SHA-256."""
    digest = hashlib.sha256()
    for content in contents:
        digest.update(b"%d:" % len(content) + content)
    return f"cloakroom-{digest.hexdigest()[:40]}"


def _form(boundary: str, parts: tuple[tuple[str, str, bytes], ...]) -> bytes:
    """A form of RFC 7578, written here because libraries that build text change an offer's bytes."""
    lines: list[bytes] = []
    for name, content_type, content in parts:
        head = (
            f"--{boundary}\r\n"
            f'Content-Disposition: form-data; name="{name}"\r\n'
            f"Content-Type: {content_type}\r\n\r\n"
        )
        lines += [head.encode("ascii"), content, b"\r\n"]
    return b"".join([*lines, f"--{boundary}--\r\n".encode("ascii")])
