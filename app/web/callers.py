"""Who mints: a client by its key or client token, or a signed-in user by an identity provider's token.

And, before a request is parsed, who may have sent it.
"""

from __future__ import annotations

from dataclasses import field
from typing import Final

from aiohttp import hdrs, web

from app.errors import HandleExpired, InvalidHandle, InvalidRequest
from app.models import Client, value
from app.web.addresses import address_behind, counted_as
from app.web.appkeys import CLIENTS, HANDLES, IDENTITIES, SETTINGS, LogLine
from app.web.incoming import API_KEY_HEADER, credential, credential_in
from app.web.listener.refusal import Head

SUBJECT_HEADER: Final = "x-cloakroom-subject"
SAFETY_HEADER: Final = "OpenAI-Safety-Identifier"


@value
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


class UnparsedCallers:
    """The ``Callers`` of ``app.web.listener.early``: who sends a request, told by its head alone."""

    def __init__(self, app: web.Application) -> None:
        self._app = app

    def address(self, peer: str, head: Head) -> str | None:
        """What its address is counted under; None where the header of proxies comes twice."""
        settings = self._app[SETTINGS]
        header, proxies = settings.forwarded_header, settings.trusted_proxies
        if not proxies:
            return counted_as(address_behind(peer, (), 0))
        if head.repeats(header):
            return None
        entry = head.get(header)
        entries = () if entry is None else (entry,)
        return counted_as(address_behind(peer, entries, proxies, header=header))

    def is_worthless(self, head: Head) -> bool:
        """Whether its credential is certainly neither a client's nor a handle of ours.

        A token that names a configured issuer is not certain: that would take its issuer's keys.
        """
        if head.repeats(hdrs.AUTHORIZATION.lower()) or head.repeats(API_KEY_HEADER):
            return False
        unverified, app = _credential_of(head), self._app
        if not unverified:
            return True
        if app[CLIENTS].find(unverified) is not None:
            return False
        identities = app.get(IDENTITIES)
        if identities is not None and identities.known(unverified) is not None:
            return False
        try:
            app[HANDLES].verify(unverified, allow_expired=True)
        except HandleExpired:
            return False
        except InvalidHandle:
            return True
        return False

    def client(self, head: Head) -> Client | None:
        """The client whose key or token it carries."""
        return self._app[CLIENTS].find(_credential_of(head))


def _credential_of(head: Head) -> str | None:
    found = credential_in(head.get(hdrs.AUTHORIZATION.lower()), lambda: head.get(API_KEY_HEADER))
    # As aiohttp decodes headers.
    return None if found is None else found.encode("latin-1").decode("utf-8", "surrogateescape")
