"""Operators end many calls at once over the admin API, and the calls of handles that they revoke."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import pytest

from app.web.appkeys import DESK
from tests.conftest import ServiceFactory
from tests.support.clocks import eventually
from tests.support.planted import Planted
from tests.support.service import Service
from tests.web.hangups import hangups
from tests.web.operators import audited, get, id_of, post


@pytest.fixture
def client() -> str:
    """A client of this test alone: the store is shared."""
    return f"shop-{secrets.token_hex(6)}"


@pytest.fixture
async def service(service_factory: ServiceFactory, planted: Planted, client: str) -> Service:
    return await service_factory(
        CLOAKROOM_API_KEYS=f"{client}:{planted.client_key}", CLOAKROOM_HANDLE_MAX_CALLS="0"
    )


async def called(service: Service, count: int) -> list[str]:
    """So many calls, each with a handle that was minted for it."""
    return [await service.called(await service.minted()) for _ in range(count)]


async def over(service: Service, ids: list[str]) -> list[dict[str, Any]]:
    """The records of these calls, once all of them have ended."""

    async def ended() -> bool:
        found = (await post(service, "/calls/lookup", {"ids": ids}))["data"]
        return len(found) == len(ids) and all(call["state"] == "ended" for call in found)

    await eventually(ended)
    return list((await post(service, "/calls/lookup", {"ids": ids}))["data"])


async def test_all_calls_of_a_client_end_and_the_records_tell_who_wanted_it(
    service: Service, client: str
) -> None:
    ids = await called(service, 4)
    with audited() as lines:
        step = await post(service, "/calls/hangup", {"client": client})
    assert sorted(step.pop("ids")) == sorted(ids)
    assert step == {
        "object": "calls.hangup",
        "dry_run": False,
        "found": 4,
        "noted": 4,
        "newer_release": 0,
        "examined": 4,
        "next_cursor": None,
    }
    (line,) = lines
    assert (line["action"], line["admin"], line["outcome"]) == ("calls.hangup_many", "sre", "noted")
    assert (line["filters"], line["count"], line["noted"]) == ({"client": client}, 4, 4)
    for call in await over(service, ids):
        assert (call["ended_because"], call["hangup_asked_by"]) == ("operator", "sre")
    assert {service.call(call_id)["end_reason"] for call_id in ids} == {"hangup"}
    assert len(hangups(service)) == 4
    # There is nothing left to end.
    again = await post(service, "/calls/hangup", {"client": client})
    assert (again["found"], again["noted"], again["examined"]) == (0, 0, 4)


async def test_a_dry_run_ends_nothing(service: Service, client: str) -> None:
    ids = await called(service, 2)
    step = await post(service, "/calls/hangup", {"client": client, "dry_run": True})
    assert (step["dry_run"], step["found"], step["noted"], sorted(step["ids"])) == (True, 2, 0, sorted(ids))
    assert {(await get(service, f"/calls/{one}"))["hangup_asked_at"] for one in ids} == {None}


async def test_the_calls_of_one_handle_are_listed_and_ended_by_its_id(service: Service) -> None:
    handle = await service.minted()
    mine, (other,) = [await service.called(handle) for _ in range(2)], await called(service, 1)
    listed = await get(service, f"/calls?handle={id_of(handle)}")
    assert {call["id"] for call in listed["data"]} == set(mine)
    step = await post(service, "/calls/hangup", {"handle": id_of(handle)})
    assert sorted(step["ids"]) == sorted(mine)
    await over(service, mine)
    assert (await get(service, f"/calls/{other}"))["state"] == "open"


async def test_a_hang_up_that_fails_is_on_the_record_until_it_succeeds(
    service: Service, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.broker.deadlines.overdue.AGAIN_SECONDS", 0.2)
    (call_id,) = await called(service, 1)
    refusal = '{"error": {"message": "no", "code": "not_now", "type": "x"}}'
    service.fault("status", "hangup", status=403, body=refusal)
    await post(service, "/calls/hangup", {"client": client})
    (call,) = await over(service, [call_id])
    assert (call["hangup_failures"], call["last_hangup_failure"]) == (1, "not_now")


async def test_only_calls_on_record_are_looked_up_and_one_that_is_named_twice_comes_once(
    service: Service,
) -> None:
    (call_id,) = await called(service, 1)
    found = await post(service, "/calls/lookup", {"ids": [call_id, "rtc_never", call_id]})
    assert [call["id"] for call in found["data"]] == [call_id]
    assert found["data"][0] == await get(service, f"/calls/{call_id}")


# --- revocations that take the calls along --------------------------------------------------------


async def test_a_revoked_handle_takes_its_calls_along_where_that_is_asked(service: Service) -> None:
    handle, other = await service.minted(), await service.minted()
    mine = [await service.called(handle) for _ in range(2)]
    untouched = await service.called(other)
    with audited() as lines:
        answer = await post(service, f"/handles/{id_of(handle)}/revoke", {"calls": True})
    calls = answer.pop("calls")
    assert (calls["found"], calls["noted"], calls["next_cursor"]) == (2, 2, None)
    assert sorted(calls["ids"]) == sorted(mine)
    assert (answer["outcome"], lines[0]["noted"]) == ("revoked", 2)
    await over(service, mine)
    assert (await get(service, f"/calls/{untouched}"))["state"] == "open"
    shown = await get(service, f"/handles/{id_of(handle)}")
    assert (shown["revoked_by"], shown["calls_revoked_by"]) == ("sre", "sre")
    assert "calls" not in await post(service, f"/handles/{id_of(other)}/revoke", {"calls": False})
    assert (await get(service, f"/calls/{untouched}"))["state"] == "open"


async def test_a_revocation_of_many_goes_on_with_the_calls_after_the_handles(
    service: Service, client: str
) -> None:
    ids = await called(service, 3)
    body: dict[str, Any] = {"client": client, "calls": True}
    steps = [await post(service, "/handles/revoke", body)]
    while steps[-1]["next_cursor"] is not None:
        steps.append(await post(service, "/handles/revoke", {**body, "cursor": steps[-1]["next_cursor"]}))
    assert [(step["revoked"], step["calls"]["noted"]) for step in steps] == [(3, 0), (0, 3)]
    assert sorted(steps[-1]["calls"]["ids"]) == sorted(ids)
    await over(service, ids)


async def test_a_call_that_is_being_relayed_at_that_moment_ends_as_well(service: Service) -> None:
    """The revocation comes between the claim and the provider's answer: the browser still gets its answer."""
    handle = await service.minted()
    service.fault("delay", "calls", seconds=0.5)
    relaying = asyncio.create_task(service.relay(handle))
    await eventually(lambda: service.asked("/realtime/calls") == 1)
    answer = await post(service, f"/handles/{id_of(handle)}/revoke", {"calls": True})
    assert answer["calls"]["found"] == 0
    reply = await relaying
    assert reply.status == 201
    (call,) = await over(service, [reply.headers["location"].rpartition("/")[2]])
    assert (call["ended_because"], call["hangup_asked_by"]) == ("operator", "sre")
    assert (await service.relay(handle)).code == "handle_revoked"


async def test_without_calls_the_one_that_is_being_relayed_goes_on(service: Service) -> None:
    handle = await service.minted()
    service.fault("delay", "calls", seconds=0.5)
    relaying = asyncio.create_task(service.relay(handle))
    await eventually(lambda: service.asked("/realtime/calls") == 1)
    await post(service, f"/handles/{id_of(handle)}/revoke")
    call_id = (await relaying).headers["location"].rpartition("/")[2]
    assert (await get(service, f"/calls/{call_id}"))["hangup_asked_at"] is None
    assert (await service.server.app[DESK].stops.one(call_id, by="sre", now=1.0)) == "noted"
    await over(service, [call_id])
