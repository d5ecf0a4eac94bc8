"""Who mints: a client by its key or client token, or a signed-in user by an identity provider's token."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from app.errors import InvalidRequest
from app.models import Client
from app.web.appkeys import CLIENTS, IDENTITIES, LogLine
from app.web.incoming import credential

SUBJECT_HEADER: Final = "x-cloakroom-subject"
SAFETY_HEADER: Final = "OpenAI-Safety-Identifier"


@dataclass(frozen=True, slots=True)
class Caller:
    """The client whose policy counts, for whom it mints, and what the provider may tell abusers apart by.

    A client says both itself. A user, who is ``signed_in``, says neither: his subject is the ``sub`` of his
    token.
    """

    client: Client
    subject: str | None
    safety_identifier: str | None = field(repr=False)
    signed_in: bool = False


async def minting_caller(request: web.Request, line: LogLine) -> Caller:
    """Return who mints, and note it for the log.

    Raises:
        InvalidApiKey, InvalidToken, UserNotAllowed, SignInUnavailable
        InvalidRequest: a user names another one.
    """
    app, headers, unverified = request.app, request.headers, credential(request)
    client = app[CLIENTS].find(unverified)
    if client is not None:
        line.fields["client"] = client.name
        return Caller(client, headers.get(SUBJECT_HEADER), headers.get(SAFETY_HEADER))
    identities = app.get(IDENTITIES)
    token = identities.known(unverified) if identities is not None and unverified else None
    if identities is None or token is None:
        raise app[CLIENTS].unknown()
    user = await identities.sign_in(token, line.fields)
    line.fields["client"] = user.client.name
    for name in (SUBJECT_HEADER, SAFETY_HEADER):
        if name in headers:
            raise InvalidRequest(
                "A signed-in user mints for himself: leave this header out.", param=name.lower()
            )
    return Caller(user.client, user.subject, None, signed_in=True)
