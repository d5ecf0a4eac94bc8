"""The way over HTTP: the admin API of any one replica. What it does holds at all of them."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from aiohttp import (
    ClientConnectionError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    InvalidURL,
)
from yarl import URL

from app.cli.failure import EXIT_REFUSED, EXIT_UNREACHED, CliFailure
from app.cli.reach import admin_answers as answers
from app.cli.reach.base import HandleStory, Revocation, RevokeOutcome
from app.models import Secret
from app.store.events import Event
from app.store.listing.views import CallFilter, HandleFilter, HandleView, Page, Revoked, Stopped
from app.store.records.record import CallRecord

if TYPE_CHECKING:
    from app.broker.calls.hangup import Outcome

_LARGEST_ANSWER: Final = 32 * 1024 * 1024
_SHAPE_ERRORS: Final = (KeyError, TypeError, ValueError, AttributeError)
_OUTCOMES: Final[Mapping[str, RevokeOutcome]] = {"revoked": "revoked", "already_revoked": "already_revoked"}
_ENDS: Final[Mapping[str, Outcome]] = {"ended": "ended", "gone": "gone", "repeated": "repeated"}

# A stream says something every 15 s; one that is silent for longer is lost.
_SILENCE_SECONDS: Final = 40.0
_AGAIN_SECONDS: Final = 1.0
_CONNECT_SECONDS: Final = 5.0
# After these answers a watch that ran before tries again: too many watchers, draining, a load balancer.
_BUSY: Final = frozenset({429, 500, 502, 503, 504})
# Stands for the time without a stream.
_GAP: Final = Event("dropped", {"count": None, "replica": None, "at": None})

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
        found = await self._ask("GET", f"handles/{quote(handle_id, safe='')}")
        return self._read(answers.read_story, found) if found is not None else None

    async def handles(self, wanted: HandleFilter, *, cursor: str | None, limit: int) -> Page[HandleView]:
        flags = {} if wanted.suspected is None else {"suspected": str(wanted.suspected).lower()}
        found = await self._list("handles", answers.query_of(wanted, cursor=cursor, limit=limit, **flags))
        return self._read(lambda page: answers.page_of(page, answers.read_handle), found)

    async def count(self, wanted: HandleFilter) -> int:
        known = replace(wanted, deployment=None, state=None, suspected=None)
        found = await self._list("handles/count", answers.query_of(known))
        return self._read(lambda answer: int(answer["handles"]), found)

    async def revoke(self, handle_id: str, *, calls: bool = False) -> Revocation:
        body = {"calls": True} if calls else {}
        found = await self._ask("POST", f"handles/{quote(handle_id, safe='')}/revoke", body)
        if not found:
            return Revocation("gone")
        outcome = self._read(lambda answer: _OUTCOMES[answer["outcome"]], found)
        # A replica of an older release ignores the body: its answer has no calls.
        stopped = self._read(answers.stopped_of, found.get("calls", {})) if calls else None
        return Revocation(outcome, stopped)

    async def revoke_step(self, wanted: HandleFilter, *, cursor: str | None, calls: bool = False) -> Revoked:
        body = answers.query_of(wanted, cursor=cursor, calls=calls or None)
        found = await self._ask("POST", "handles/revoke", body)
        return self._read(answers.revoked_of, found or {})

    async def call(self, call_id: str) -> CallRecord | None:
        found = await self._ask("GET", f"calls/{quote(call_id, safe='')}")
        return self._read(answers.read_call, found) if found is not None else None

    async def calls(self, wanted: CallFilter, *, cursor: str | None, limit: int) -> Page[CallRecord]:
        found = await self._list("calls", answers.query_of(wanted, cursor=cursor, limit=limit))
        return self._read(lambda page: answers.page_of(page, answers.read_call), found)

    async def calls_named(self, call_ids: Sequence[str]) -> Mapping[str, CallRecord]:
        found = await self._ask("POST", "calls/lookup", {"ids": [*call_ids]})
        records = self._read(lambda answer: [answers.read_call(one) for one in answer["data"]], found or {})
        return {call.id: call for call in records}

    async def stop_step(self, wanted: CallFilter, *, cursor: str | None, dry_run: bool = False) -> Stopped:
        names = answers.query_of(wanted)
        body = {**(names or {"all": True}), "cursor": cursor, "dry_run": dry_run}
        found = await self._ask("POST", "calls/hangup", body)
        return self._read(answers.stopped_of, found or {})

    async def hang_up(self, call_id: str) -> Outcome | None:
        found = await self._ask("POST", f"calls/{quote(call_id, safe='')}/hangup", {})
        return self._read(lambda answer: _ENDS[answer["outcome"]], found) if found else None

    async def keys(self) -> Mapping[str, Any]:
        return await self._list("keys", {})

    async def pools(self) -> Mapping[str, Any]:
        return await self._list("pools", {})

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
                # The replica drains, is gone, or ended the stream after an hour: the next one may answer.
                yield [_GAP]
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _stream(self, *, again: bool) -> AsyncGenerator[Sequence[Event], None]:
        """The events of one connection; the first batch is empty and says that the stream is there."""
        timeout = ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENCE_SECONDS)
        url = URL(f"{self._base}/admin/v1/events", encoded=True)
        async with self._session.get(url, allow_redirects=False, timeout=timeout) as response:
            if again and response.status in _BUSY:
                return
            if response.status != 200:
                refusal = answers.refusal_of(response.status, await _whole(response))
                raise answers.failure_of(refusal, base=self._base)
            yield []
            reader = answers.EventReader()
            async for line in response.content:
                event = self._read(reader.feed, line)
                if event is not None:
                    yield [event]

    async def _list(self, path: str, query: Mapping[str, Any]) -> dict[str, Any]:
        return await self._ask("GET", f"{path}?{urlencode(query)}" if query else path) or {}

    async def _ask(self, method: str, path: str, body: Any = None) -> dict[str, Any] | None:
        """The JSON object of the answer; None when there is no such handle or call.

        Raises:
            CliFailure: nothing answers, or the answer is a refusal or not the admin API's.
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
            return self._read(answers.object_of, content)
        refusal = answers.refusal_of(status, content)
        if refusal.absent:
            return None
        raise answers.failure_of(refusal, base=self._base)

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
    """The body. A body that is larger than any of ours is cut, so that it is no longer JSON."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > _LARGEST_ANSWER:
            break
    return bytes(body)


@asynccontextmanager
async def open_admin_api(url: str, key: Secret, *, timeout: float) -> AsyncIterator[AdminApi]:
    """Open a session with the admin API; it connects at the first request.

    Args:
        url: the service's origin, with a path in front of ``/admin`` if there is one.
        key: sent as the bearer token, to this origin alone.
        timeout: seconds for each request.

    Raises:
        CliFailure: the address or the key cannot be one.
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


def base_of(url: str) -> str:
    """The address without a trailing slash.

    Raises:
        CliFailure: it is no address, or holds a password, which would be shown. The message repeats no part.
    """
    problem = CliFailure(
        "--url must be an origin such as http://127.0.0.1:8080, without a user or a query.",
        status=EXIT_REFUSED,
    )
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        raise problem from None
    strange = parts.username is not None or parts.query or parts.fragment or not url.isprintable()
    if parts.scheme not in ("http", "https") or not parts.hostname or strange or port == 0:
        raise problem
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def unreached(base: str, error: BaseException) -> CliFailure:
    """The failure when nothing answers: where, why if that is known, and what to do."""
    cause = getattr(error, "os_error", None) or error
    reason = next((words for kind, words in _REASONS if isinstance(cause, kind)), type(error).__name__)
    return CliFailure(
        f"no replica can be reached at {base}: {reason}. Give another --url (or CLOAKROOM_ADMIN_URL), or go "
        "straight to the store with --redis-url or --direct.",
        status=EXIT_UNREACHED,
    )
