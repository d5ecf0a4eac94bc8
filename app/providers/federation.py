"""OpenAI's workload identity federation: a workload's own token is exchanged for an access token. Pure.

Source: OpenAI's API reference, "Workload identity token exchange", and its Python client 3.52. Not tried
against the service; the words of its refusals are not verified, so only the code is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import orjson

from app.models import Secret
from app.providers.answers import is_key
from app.providers.base import JSON_TYPE, UpstreamRequest, UpstreamResponse, http_url, on_this_machine

TOKEN_URL: Final = "https://auth.openai.com/oauth/token"  # noqa: S105 - an address
# Where Kubernetes mounts the token of a pod's service account.
KUBERNETES_TOKEN_FILE: Final = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105 - a path
_GRANT_TYPE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
_TOKEN_TYPES: Final = {
    "jwt": "urn:ietf:params:oauth:token-type:jwt",
    "id_token": "urn:ietf:params:oauth:token-type:id_token",
}
# As the official client: so long before its end, in seconds, or at half of a shorter life.
_AHEAD_SECONDS: Final = 1200.0
_CODE: Final = re.compile(r"[a-z_]{1,64}\Z")
# RFC 6749, section 5.2, and RFC 8693, section 2.2.2.
_MEANINGS: Final[Mapping[str, str]] = {
    "invalid_grant": "OpenAI does not accept the workload's token, check that {place}.token_file holds a "
    "fresh one, with the issuer and the audience that the identity provider expects",
    "invalid_client": "OpenAI knows no such identity, check {place}.identity_provider_id and "
    "{place}.service_account_id",
    "unauthorized_client": "no mapping lets this workload act as {place}.service_account_id, add one to the "
    "identity provider",
    "invalid_request": "OpenAI cannot read the exchange, check {place}.identity_provider_id, "
    "{place}.service_account_id and {place}.token_type",
}

TokenType = Literal["jwt", "id_token"]


@dataclass(frozen=True, slots=True)
class Federation:
    """Whom a workload's token is exchanged for. ``place`` is the setting's name, for messages."""

    place: str
    identity_provider_id: str
    service_account_id: str
    token_file: str = KUBERNETES_TOKEN_FILE
    token_type: TokenType = "jwt"  # noqa: S105 - a kind
    token_url: str = TOKEN_URL


class ExchangeRefused(Exception):
    """No access token was given. The message is a clause, safe to show, and says what to change."""


def token_url(pasted: str) -> str:
    """The address of the exchange.

    Raises:
        ValueError: it is none, or the workload's token would travel unencrypted.
    """
    parts = http_url(pasted.strip())
    if parts is None or parts.fragment or (parts.scheme == "http" and not on_this_machine(parts.hostname)):
        raise ValueError(f"token_url must be an https URL, as {TOKEN_URL} is")
    return parts.geturl()


def exchange_request(federation: Federation, workload_token: Secret) -> UpstreamRequest:
    """The request that exchanges the workload's token."""
    body = {
        "grant_type": _GRANT_TYPE,
        "subject_token": workload_token.reveal(),
        "subject_token_type": _TOKEN_TYPES[federation.token_type],
        "identity_provider_id": federation.identity_provider_id,
        "service_account_id": federation.service_account_id,
    }
    headers = {"Content-Type": JSON_TYPE, "Accept": JSON_TYPE}
    return UpstreamRequest(url=federation.token_url, headers=headers, body=orjson.dumps(body))


def read_exchange(federation: Federation, response: UpstreamResponse) -> tuple[Secret, float, float]:
    """The access token, its life, and when to renew it, both in seconds from the request.

    Raises:
        ExchangeRefused: it was not given.
    """
    try:
        body = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        body = None
    found = body if isinstance(body, dict) else {}
    if response.status != 200:
        raise ExchangeRefused(_refusal(federation, response.status, found.get("error")))
    token, life = found.get("access_token"), found.get("expires_in")
    if not is_key(token) or isinstance(life, bool) or not isinstance(life, int | float) or life <= 0:
        raise ExchangeRefused(
            f"the answer of the token exchange holds no usable token, check {federation.place}.token_url"
        )
    return Secret(token), float(life), life - min(_AHEAD_SECONDS, life / 2)


def _refusal(federation: Federation, status: int, error: object) -> str:
    place = federation.place
    if status not in (400, 401, 403):
        return f"the token exchange answered with status {status}"
    # As OAuth writes errors, or as OpenAI's API does.
    code = error.get("code") if isinstance(error, dict) else error
    if not isinstance(code, str) or not _CODE.match(code):
        return f"OpenAI refused to exchange the workload's token (status {status}), check {place}"
    meaning = _MEANINGS.get(code, "OpenAI refused to exchange the workload's token, check {place}")
    return f"{meaning.format(place=place)} ({code})"
