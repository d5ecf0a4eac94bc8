"""Keeps the public keys of an issuer fresh (``app.outbound.keeping.keeper``), also through its outages.

Requests fetch nothing, with one exception: a token names a key that is not known. Then one fetch is made
before its time, for all requests that wait for it, and the next one ``EARLY_EVERY_SECONDS`` later at the
soonest. So a flood of invented key ids costs the issuer two requests in half a minute from each replica.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from app.errors import SignInUnavailable
from app.identity.issuers import Issuer
from app.identity.keys import Key, KeySet, KeysRefused, read_discovery, read_keys
from app.outbound.client import UpstreamClient
from app.outbound.egress import Egress
from app.outbound.keeping.keeper import FetchFault, Keeper, read_token_file
from app.outbound.upstream import NoAnswer, NotAllowed, NotConnected
from app.providers.base import UpstreamRequest, UpstreamResponse

log = structlog.get_logger("cloakroom.issuers")

# An issuer that retires a key is believed after so long, and a new key is usually there before it signs.
REFRESH_SECONDS: Final = 600.0
EARLY_EVERY_SECONDS: Final = 30.0
# How long keys are used that cannot be fetched anew: an outage of a day, and no compromised key for ever.
KEEP_SECONDS: Final = 86_400.0
# One document; there are two at most.
FETCH_SECONDS: Final = 5.0
# What a request waits for keys, and how many do at once: a slow issuer must not hold a replica's places.
WAIT_SECONDS: Final = 3.0
WAITING_AT_ONCE: Final = 64


@dataclass(frozen=True, slots=True)
class FetchedKeys:
    """The keys, and when they were fetched, in epoch seconds.

    ``url`` is where they were, ``date`` the issuer's own clock as its answer has it.
    """

    keys: KeySet
    at: float
    url: str
    date: str | None = None


Fetch = Callable[[], Awaitable[FetchedKeys]]


class IssuerKeys(Keeper[FetchedKeys]):
    """Keeps the keys of one issuer.

    Args:
        count: is told of each fetch, and whether it was good.
        clock: returns epoch seconds.
    """

    def __init__(
        self, issuer: Issuer, fetch: Fetch, *, count: Callable[[bool], None], clock: Callable[[], float]
    ) -> None:
        super().__init__(fetch, fetch_seconds=3 * FETCH_SECONDS, early_every=EARLY_EVERY_SECONDS, clock=clock)
        self._issuer = issuer.name
        self._count = count
        self._waiting = 0

    async def key(self, kid: str, algorithm: str) -> Key | None:
        """The key with this id, for this algorithm; None where the issuer has none.

        Raises:
            SignInUnavailable: that is not known just now.
        """
        found = self._keys().find(kid, algorithm)
        if found is None:
            known = await self._renewed()
            found = self._keys().find(kid, algorithm)
            if found is None and not known:
                raise self._unavailable()
        return found

    def due(self, kept: FetchedKeys) -> float:
        return kept.at + REFRESH_SECONDS

    def tell_fetched(self, kept: FetchedKeys) -> None:
        self._count(True)
        if self.kept is None or self.kept.keys.kids != kept.keys.kids:
            log.info("issuer_keys_changed", issuer=self._issuer, kids=kept.keys.kids)

    def tell_failed(self) -> None:
        self._count(False)
        age = round(self._clock() - self.kept.at) if self.kept is not None else None
        log.warning("issuer_keys_not_fetched", issuer=self._issuer, reason=self.fault, age_seconds=age)

    def _keys(self) -> KeySet:
        kept = self.kept
        if kept is None or self._clock() > kept.at + KEEP_SECONDS:
            raise self._unavailable()
        return kept.keys

    async def _renewed(self) -> bool:
        """Fetch the keys once for all that wait; return whether those that are kept are all there are."""
        # Where fetches fail, the next one comes by itself; where one was made a moment ago, it has told all.
        if self.fault or not (self.hurrying or self.hurry()):
            return not self.fault
        if self._waiting >= WAITING_AT_ONCE:
            return False
        self._waiting += 1
        try:
            return await self.next_end(wait=WAIT_SECONDS) and not self.fault
        finally:
            self._waiting -= 1

    def _unavailable(self) -> SignInUnavailable:
        wait = self.next_at - self._clock() if self.fault else 0.0
        return SignInUnavailable(
            "Sign-ins cannot be checked just now. Try again shortly with the same token.",
            retry_after=max(math.ceil(wait), 1),
        )


def keys_fetch(issuer: Issuer, *, clock: Callable[[], float], egress: Egress | None = None) -> Fetch:
    """Return a function that fetches the keys once.

    Args:
        clock: returns epoch seconds.
        egress: the way out, as for providers; directly where it is left out.
    """

    async def fetch() -> FetchedKeys:
        headers = {"Accept": "application/json"}
        if issuer.token_file is not None:
            token = await read_token_file(issuer.token_file, place=f"{issuer.place}.token_file")
            headers["Authorization"] = f"Bearer {token.reveal()}"
        # Two requests in ten minutes keep no connection.
        client, at = UpstreamClient(connect_timeout=FETCH_SECONDS, egress=egress), clock()
        try:
            url = issuer.keys_url
            if url is None:
                document = await _get(client, issuer, issuer.discovery_url, headers)
                url = read_discovery(issuer, document.body)
            answer = await _get(client, issuer, url, headers)
            return FetchedKeys(read_keys(issuer, answer.body), at, url, answer.headers.get("Date"))
        except KeysRefused as refused:
            raise FetchFault(str(refused)) from None
        finally:
            await client.close()

    return fetch


async def _get(client: UpstreamClient, issuer: Issuer, url: str, head: Mapping[str, str]) -> UpstreamResponse:
    try:
        response = await client.get(UpstreamRequest(url, head, b""), timeout=FETCH_SECONDS)
    except NotAllowed as refused:
        raise FetchFault(f"{url} may not be asked: {refused}") from None
    except NotConnected:
        raise FetchFault(f"{url} cannot be reached, check {issuer.place}") from None
    except NoAnswer as failure:
        how = "did not answer in time" if failure.timed_out else "broke off its answer"
        raise FetchFault(f"{url} {how}") from None
    if response.status != 200:
        hint = f", set {issuer.place}.token_file" if response.status in (401, 403) else ""
        raise FetchFault(f"{url} answered with status {response.status}{hint}")
    return response
