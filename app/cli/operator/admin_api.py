"""An operator over the admin API of any one replica; what it does holds at all of them."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode

from aiohttp import (
    ClientConnectionError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    InvalidURL,
)
from yarl import URL

from app.broker.hangup import Outcome
from app.cli.failure import EXIT_REFUSED, EXIT_UNREACHED, CliFailure
from app.cli.operator import documents
from app.cli.operator.address import base_of
from app.cli.operator.answers import object_of, page_of, query_of, revoked_of
from app.cli.operator.base import HandleStory, RevokeOutcome
from app.cli.operator.event_stream import (
    AGAIN_SECONDS,
    BUSY,
    CONNECT_SECONDS,
    GAP,
    SILENCE_SECONDS,
    EventReader,
)
from app.cli.operator.refusals import Refusal, failure_of, refusal_of
from app.models import CallRecord, Secret
from app.store.events import Event
from app.store.views import CallFilter, HandleFilter, HandleView, Page, Revoked

_LARGEST_ANSWER: Final = 32 * 1024 * 1024
_SHAPE_ERRORS: Final = (KeyError, TypeError, ValueError, AttributeError)
_OUTCOMES: Final[Mapping[str, RevokeOutcome]] = {"revoked": "revoked", "already_revoked": "already_revoked"}
_ENDS: Final[Mapping[str, Outcome]] = {"ended": "ended", "gone": "gone", "repeated": "repeated"}

_REASONS: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (TimeoutError, "no answer in time"),
    (ConnectionRefusedError, "nothing listens there"),
    (socket.gaierror, "the host's name is not known"),
    (ssl.SSLError, "its TLS certificate, or the handshake, does not hold"),
    (ConnectionError, "the connection broke"),
    (ClientConnectionError, "the connection broke"),
    (ClientError, "what answers does not speak HTTP as we do"),
)

T = TypeVar("T")


class AdminApi:
    """The ``Operator`` of ``--url``.

    Args:
        base: the origin, without a trailing slash; safe to show.
    """

    def __init__(self, session: ClientSession, *, base: str) -> None:
        self._session = session
        self._base = base

    async def handle(self, handle_id: str) -> HandleStory | None:
        found = await self._get(f"handles/{quote(handle_id, safe='')}")
        return self._read(documents.read_story, found) if found is not None else None

    async def handles(self, wanted: HandleFilter, *, cursor: str | None, limit: int) -> Page[HandleView]:
        found = await self._listing(
            "handles", query_of(wanted, state=wanted.state, cursor=cursor, limit=limit)
        )
        return self._read(lambda page: page_of(page, documents.read_handle), found)

    async def count(self, wanted: HandleFilter) -> int:
        query = {"client": wanted.client, "subject": wanted.subject, "model": wanted.model}
        found = await self._listing("handles/count", query)
        return self._read(lambda answer: int(answer["handles"]), found)

    async def revoke(self, handle_id: str) -> RevokeOutcome:
        found = await self._post(f"handles/{quote(handle_id, safe='')}/revoke")
        return self._read(lambda answer: _OUTCOMES[answer["outcome"]], found) if found else "gone"

    async def revoke_step(self, wanted: HandleFilter, *, cursor: str | None) -> Revoked:
        body = {name: value for name, value in query_of(wanted, cursor=cursor).items() if value is not None}
        found = await self._post("handles/revoke", body)
        return self._read(revoked_of, found or {})

    async def call(self, call_id: str) -> CallRecord | None:
        found = await self._get(f"calls/{quote(call_id, safe='')}")
        return self._read(documents.read_call, found) if found is not None else None

    async def calls(self, wanted: CallFilter, *, cursor: str | None, limit: int) -> Page[CallRecord]:
        found = await self._listing("calls", query_of(wanted, state=wanted.state, cursor=cursor, limit=limit))
        return self._read(lambda page: page_of(page, documents.read_call), found)

    async def hang_up(self, call_id: str) -> Outcome | None:
        found = await self._post(f"calls/{quote(call_id, safe='')}/hangup")
        return self._read(lambda answer: _ENDS[answer["outcome"]], found) if found else None

    async def events(self) -> AsyncIterator[Sequence[Event]]:
        watched = False
        while True:
            here = False
            try:
                async with aclosing(self._stream(again=watched)) as stream:
                    async for events in stream:
                        here = watched = True
                        yield events
            except (ClientError, TimeoutError, OSError) as error:
                if not watched:
                    raise unreached(self._base, error) from None
            if here:
                # The replica drains or is gone, or an hour is over: behind a balancer the next one answers.
                yield [GAP]
            await asyncio.sleep(AGAIN_SECONDS)

    async def _stream(self, *, again: bool) -> AsyncGenerator[Sequence[Event], None]:
        """One connection's events, after an empty batch once it is there."""
        timeout = ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS)
        url = URL(f"{self._base}/admin/v1/events", encoded=True)
        async with self._session.get(url, allow_redirects=False, timeout=timeout) as response:
            if again and response.status in BUSY:
                return
            if response.status != 200:
                raise failure_of(refusal_of(response.status, await _whole(response)), base=self._base)
            yield []
            reader = EventReader()
            async for line in response.content:
                event = self._read(reader.feed, line)
                if event is not None:
                    yield [event]

    async def _listing(self, path: str, query: Mapping[str, Any]) -> dict[str, Any]:
        given = {name: value for name, value in query.items() if value is not None}
        return await self._get(f"{path}?{urlencode(given)}" if given else path) or {}

    async def _get(self, path: str) -> dict[str, Any] | None:
        return await self._ask("GET", path)

    async def _post(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        return await self._ask("POST", path, body if body is not None else {})

    async def _ask(self, method: str, path: str, body: Any = None) -> dict[str, Any] | None:
        """The JSON object of the answer; None where there is no such handle, or no such call.

        Raises:
            CliFailure: nobody answers, or the answer is a refusal, or none of ours.
        """
        url = URL(f"{self._base}/admin/v1/{path}", encoded=True)
        try:
            async with self._session.request(
                method, url, json=body, allow_redirects=False, headers={"Accept": "application/json"}
            ) as response:
                status = response.status
                content = await _whole(response)
        except (ClientError, InvalidURL, TimeoutError, asyncio.IncompleteReadError, OSError) as error:
            raise unreached(self._base, error) from None
        if status == 200:
            return self._read(object_of, content)
        refusal: Refusal = refusal_of(status, content)
        if refusal.absent:
            return None
        raise failure_of(refusal, base=self._base)

    def _read(self, read: Callable[[Any], T], found: Any) -> T:
        try:
            return read(found)
        except _SHAPE_ERRORS:
            raise CliFailure(
                f"what answers at {self._base} is no admin API that this version understands; "
                "see --url and 'cloakroom --version'.",
                status=EXIT_UNREACHED,
            ) from None


async def _whole(response: ClientResponse) -> bytes:
    """The body; of one that is larger than any of ours its beginning, which then is no JSON."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > _LARGEST_ANSWER:
            break
    return bytes(body)


@asynccontextmanager
async def open_admin_api(url: str, key: Secret, *, timeout: float) -> AsyncIterator[AdminApi]:
    """Open a session with the admin API; nothing is connected before the first question.

    Args:
        url: the service's origin, with a path in front of ``/admin`` if there is one.
        key: sent as the bearer token, to this origin alone.
        timeout: seconds for each request.

    Raises:
        CliFailure: the address is none.
    """
    base = base_of(url)
    try:
        key.reveal().encode("ascii")
    except UnicodeEncodeError:
        raise CliFailure("the admin key holds a character that no key has.", status=EXIT_REFUSED) from None
    async with ClientSession(
        headers={"Authorization": f"Bearer {key.reveal()}"},
        timeout=ClientTimeout(total=timeout),
        trust_env=False,
    ) as session:
        yield AdminApi(session, base=base)


def unreached(base: str, error: BaseException) -> CliFailure:
    """Nobody answered: where, why as far as it is known, and what to do."""
    cause = getattr(error, "os_error", None) or error
    reason = next((words for kind, words in _REASONS if isinstance(cause, kind)), type(error).__name__)
    return CliFailure(
        f"no replica can be reached at {base}: {reason}. Give another --url (or CLOAKROOM_ADMIN_URL), or go "
        "straight to the store with --redis-url or --direct.",
        status=EXIT_UNREACHED,
    )
