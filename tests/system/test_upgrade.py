"""An upgrade: replicas of the release before and of this code share a store, and serve each other's handles.

The release before is real: its code comes from the commit that CHANGELOG.md names, and runs as a process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import pytest

from app.store import keys
from tests.support.api import Reply, called, hang_up, minted, relay
from tests.support.handles import claims_of
from tests.support.offers import certificate, fresh_offer, offer_with
from tests.support.onlooker import onlooker
from tests.support.processes import Replica
from tests.support.releases import CHANGELOG, check_out, releases
from tests.support.stack import Stack

MAX_CALLS: Final = 2


@dataclass(frozen=True)
class Upgrade:
    """A stack and its two replicas by their release: ``before`` and ``today``."""

    stack: Stack
    replicas: dict[str, Replica]
    http: aiohttp.ClientSession
    store: Any

    async def mint(self, at: str) -> str:
        return await minted(self.http, self.replicas[at].url, self.stack.planted.client_key)

    async def relay(self, at: str, handle: str, offer: bytes | None = None) -> Reply:
        return await relay(self.http, self.replicas[at].url, handle, offer)

    async def call(self, at: str, handle: str, offer: bytes | None = None) -> str:
        return await called(self.http, self.replicas[at].url, handle, offer)

    async def hang_up(self, at: str, credential: str, call_id: str) -> int:
        return (await hang_up(self.http, self.replicas[at].url, credential, call_id)).status

    async def operate(self, at: str, path: str, method: str = "GET") -> Any:
        """What the admin API of this replica answers."""
        headers = {"Authorization": f"Bearer {self.stack.planted.admin_key}"}
        url = f"{self.replicas[at].url}/admin/v1/{path}"
        async with self.http.request(method, url, headers=headers) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    def record(self, key: str) -> dict[str, str]:
        found: dict[str, str] = self.store.hgetall(key)
        return found

    def opened(self) -> int:
        """How many calls the provider has made."""
        return int(self.stack.sandbox.control("GET", "state")["calls"]["opened"])


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, dict[str, Replica]]]:
    """One store, one provider, and a replica of either release."""
    release = releases(CHANGELOG.read_text(encoding="utf-8"))[0]
    code = check_out(release, tmp_path_factory.mktemp(f"release-{release.version}"))
    with Stack(peer="static", CLOAKROOM_HANDLE_MAX_CALLS=str(MAX_CALLS)) as stack:
        yield stack, {"before": stack.replica_of(code, "before"), "today": stack.a}


@pytest.fixture
def upgrade(both: tuple[Stack, dict[str, Replica]], http: aiohttp.ClientSession) -> Iterator[Upgrade]:
    stack, replicas = both
    with onlooker(stack.engine.url) as store:
        yield Upgrade(stack, replicas, http, store)


# Who writes a record, and who reads it.
pytestmark = pytest.mark.parametrize(("one", "other"), [("before", "today"), ("today", "before")])


def id_of(handle: str) -> str:
    return str(claims_of(handle)["jti"])


async def test_a_handle_of_one_release_opens_its_calls_at_the_other_and_no_more_at_either(
    upgrade: Upgrade, one: str, other: str
) -> None:
    handle = await upgrade.mint(one)
    # That two releases run here, and not one of them twice.
    versions = {"before": None, "today": "1"}
    assert upgrade.record(keys.handle(id_of(handle))).get("v") == versions[one]

    call_id = await upgrade.call(other, handle)
    assert upgrade.record(keys.call(call_id)).get("v") == versions[other]
    await upgrade.call(one, handle)
    for release in (one, other):
        reply = await upgrade.relay(release, handle)
        assert (reply.status, reply.code) == (409, "handle_spent")


async def test_an_offer_that_one_release_relayed_gets_the_same_answer_from_the_other(
    upgrade: Upgrade, one: str, other: str
) -> None:
    handle, offer, before = await upgrade.mint(other), fresh_offer(), upgrade.opened()
    first = await upgrade.relay(one, handle, offer)
    again = await upgrade.relay(other, handle, offer)
    assert (first.status, again.status) == (201, 201)
    assert (first.text, first.headers["location"]) == (again.text, again.headers["location"])
    assert upgrade.opened() == before + 1


async def test_an_offer_that_both_releases_get_at_once_makes_one_call(
    upgrade: Upgrade, one: str, other: str
) -> None:
    handle, before = await upgrade.mint(one), upgrade.opened()
    offers = [fresh_offer() for _ in range(MAX_CALLS)]
    for offer in offers:
        replies = await asyncio.gather(
            *[upgrade.relay(release, handle, offer) for release in (one, other, one, other)]
        )
        assert {reply.status for reply in replies} == {201}
        assert len({reply.headers["location"] for reply in replies}) == 1
    assert upgrade.opened() == before + MAX_CALLS


async def test_an_offer_whose_outcome_one_release_does_not_know_is_not_sent_again_by_the_other(
    upgrade: Upgrade, one: str, other: str
) -> None:
    handle, offer = await upgrade.mint(one), fresh_offer()
    upgrade.stack.sandbox.control("POST", "faults", {"kind": "drop_after", "path": "calls", "times": 1})
    assert (await upgrade.relay(one, handle, offer)).code == "outcome_unknown"
    before = upgrade.opened()
    assert (await upgrade.relay(other, handle, offer)).code == "outcome_unknown"
    assert upgrade.opened() == before


async def test_a_call_of_one_release_is_hung_up_by_the_other_and_both_know_that_it_ended(
    upgrade: Upgrade, one: str, other: str
) -> None:
    handle = await upgrade.mint(other)
    first, second = await upgrade.call(one, handle), await upgrade.call(one, handle)
    assert await upgrade.hang_up(other, handle, first) == 200
    assert await upgrade.hang_up(other, upgrade.stack.planted.client_key, second) == 200
    for release in (one, other):
        for call_id in (first, second):
            shown = await upgrade.operate(release, f"calls/{call_id}")
            assert (shown["state"], shown["ended_by"]) == ("ended", upgrade.replicas[other].name)
            # A repeat is content with the note, whoever made it.
            assert await upgrade.hang_up(release, handle, call_id) == 200


async def test_a_handle_that_one_release_revoked_is_refused_by_both(
    upgrade: Upgrade, one: str, other: str
) -> None:
    for minter in (one, other):
        handle = await upgrade.mint(minter)
        revoked = await upgrade.operate(one, f"handles/{id_of(handle)}/revoke", "POST")
        assert revoked["outcome"] == "revoked"
        for release in (one, other):
            reply = await upgrade.relay(release, handle)
            assert (reply.status, reply.code) == (401, "handle_revoked")
        again = await upgrade.operate(other, f"handles/{id_of(handle)}/revoke", "POST")
        assert again["outcome"] == "already_revoked"


async def test_either_release_lists_and_shows_what_both_wrote(upgrade: Upgrade, one: str, other: str) -> None:
    handles = [await upgrade.mint(release) for release in (one, other)]
    call_ids = [await upgrade.call(release, handle) for release in (one, other) for handle in handles]
    listed = await upgrade.operate(one, "handles?limit=1000")
    assert {id_of(handle) for handle in handles} <= {item["id"] for item in listed["data"]}
    listed = await upgrade.operate(one, "calls?limit=1000")
    assert set(call_ids) <= {item["id"] for item in listed["data"]}
    for handle in handles:
        shown = {
            release: await upgrade.operate(release, f"handles/{id_of(handle)}") for release in (one, other)
        }
        assert shown[one]["state"] == "spent"
        assert [relay["outcome"] for relay in shown[one]["relays"]] == ["answered"] * MAX_CALLS
        # The same story but for what is new, and for the time that passes.
        assert _told(shown["before"]) == _told(shown["today"])


async def test_a_handle_of_either_release_is_bound_to_nothing_unless_its_mint_said_so(
    upgrade: Upgrade, one: str, other: str
) -> None:
    handle = await upgrade.mint(one)
    await upgrade.call(other, handle, offer_with(certificate(1)))
    await upgrade.call(one, handle, offer_with(certificate(2)))
    found = upgrade.record(keys.handle(id_of(handle)))
    assert not {"bind_origin", "bind_fingerprint"} & found.keys()
    # The release before does not note who uses a handle.
    assert ("used_fingerprint" in found) is (other == "today")
    for release in (one, other):
        reply = await upgrade.relay(release, handle, offer_with(certificate(3)))
        assert (reply.status, reply.code) == (409, "handle_spent")


async def test_a_bound_handle_is_refused_to_others_by_this_release_and_not_by_the_one_before(
    upgrade: Upgrade, one: str, other: str
) -> None:
    """docs/stolen-handles.md says so: bind once no replica of the release before is left."""
    body = {"model": "gpt-realtime-2.1", "bind": {"fingerprint": certificate(1)}}
    handle = await minted(upgrade.http, upgrade.replicas["today"].url, upgrade.stack.planted.client_key, body)
    replies = {
        release: await upgrade.relay(release, handle, offer_with(certificate(2))) for release in (one, other)
    }
    assert (replies["today"].status, replies["today"].code) == (403, "wrong_certificate")
    assert replies["before"].status == 201
    await upgrade.call("today", handle, offer_with(certificate(1)))


# What a handle's view, and a call's, have had since the release before.
NEW_OF_HANDLES: Final = (
    *("version", "seconds_left", "region", "max_call_seconds", "calls_revoked_by"),
    *("bind_origin", "bind_fingerprint", "used_origin", "used_fingerprint"),
    *("suspicions", "suspected_at", "suspicion"),
)
NEW_OF_CALLS: Final = (
    *("version", "ended_because", "undelivered_at", "delivered_at", "not_ended_because"),
    *("hangup_asked_at", "hangup_asked_by", "hangup_failures", "last_hangup_failure"),
    *("max_call_seconds", "ends_at", "report", "attached_at", "sideband"),
    *("metered", "seconds", "usage"),
)


def _told(shown: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in shown.items() if name not in NEW_OF_HANDLES}
    for noted in kept["relays"]:
        for name in NEW_OF_CALLS:
            noted["call"].pop(name, None)
    return kept
