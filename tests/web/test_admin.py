"""The admin API: what operators see of handles and calls, and what they do to them."""

from __future__ import annotations

import secrets
import time

import pytest

from app import __version__
from app.doctor.rehearsal import rehearse
from app.store import keys
from app.store.embedded.engine import LocalEngine
from app.web.appkeys import STORE
from tests.conftest import ServiceFactory
from tests.support.clocks import PATIENCE, eventually
from tests.support.planted import Planted
from tests.support.service import Service
from tests.web.hangups import hangups
from tests.web.operators import ask, get, id_of, post

SUBJECT = "x-cloakroom-subject"


@pytest.fixture
def client() -> str:
    """A client that no other test mints as, since the store is shared."""
    return f"client-{secrets.token_hex(6)}"


@pytest.fixture
async def service(service_factory: ServiceFactory, planted: Planted, client: str) -> Service:
    return await service_factory(
        CLOAKROOM_API_KEYS=f"{client}:{planted.client_key}", CLOAKROOM_HANDLE_MAX_CALLS="2"
    )


async def test_a_fresh_handle_is_shown_with_everything_but_its_key(service: Service, client: str) -> None:
    reply = await service.mint(None, **{SUBJECT: "user-1"})
    handle_id = id_of(reply.json["value"])
    shown = await get(service, f"/handles/{handle_id}")
    assert 0 < shown.pop("seconds_left") <= 7200
    assert shown == {
        "object": "handle",
        "id": handle_id,
        "version": 1,
        "state": "live",
        "model": "gpt-realtime-2.1",
        "deployment": "openai",
        "provider": "openai",
        "region": None,
        "family": "realtime",
        "client": client,
        "subject": "user-1",
        "origin": None,
        "bind_origin": None,
        "bind_fingerprint": None,
        "used_origin": None,
        "used_fingerprint": None,
        "minted_at": shown["minted_at"],
        "minted_by": "replica-a",
        "expires_at": reply.json["expires_at"],
        "max_calls": 2,
        "max_call_seconds": None,
        "calls": 0,
        "uses_left": 2,
        "last_call_at": None,
        "last_call_by": None,
        "revoked_at": None,
        "revoked_by": None,
        "calls_revoked_by": None,
        "refusals": 0,
        "last_refusal": None,
        "suspicions": 0,
        "suspected_at": None,
        "suspicion": None,
        "relays_count": 0,
        "relays": [],
    }


async def test_the_story_of_a_spent_handle_tells_each_relay_with_its_call_and_the_refusal(
    service: Service,
) -> None:
    handle = await service.minted()
    first, second = await service.called(handle), await service.called(handle)
    assert (await service.relay(handle)).code == "handle_spent"
    assert (await service.hang_up(handle, first)).status == 200
    shown = await get(service, f"/handles/{id_of(handle)}")
    assert (shown["state"], shown["calls"], shown["uses_left"]) == ("spent", 2, 0)
    assert (shown["refusals"], shown["last_refusal"]["code"]) == (1, "handle_spent")
    assert [relay["call_id"] for relay in shown["relays"]] == [first, second]
    assert [relay["call"]["state"] for relay in shown["relays"]] == ["ended", "open"]
    assert {relay["outcome"] for relay in shown["relays"]} == {"answered"}


async def test_a_failed_relay_is_in_the_story_without_a_call(service: Service) -> None:
    handle = await service.minted()
    service.fault("status", "calls", status=400, body='{"error": {"message": "no", "code": "bad_offer"}}')
    assert (await service.relay(handle)).status == 400
    (relay,) = (await get(service, f"/handles/{id_of(handle)}"))["relays"]
    assert (relay["call_id"], relay["call"]) == (None, None)
    assert relay["outcome"] != "answered"


@pytest.mark.parametrize("limit", [1, 3, 1000])
async def test_pages_of_any_size_list_each_handle_once(service: Service, client: str, limit: int) -> None:
    minted = {id_of(await service.minted()) for _ in range(7)}
    listed: list[str] = []
    cursor = ""
    while True:
        page = await get(service, f"/handles?client={client}&limit={limit}{cursor}")
        assert len(page["data"]) <= limit
        assert page["examined"] >= len(page["data"])
        listed += [handle["id"] for handle in page["data"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert len(listed) == len(minted)
    assert set(listed) == minted


async def test_each_filter_lists_what_it_says_and_nothing_else(service: Service, client: str) -> None:
    subject = f"user-{client}"
    live = id_of((await service.mint(None, **{SUBJECT: subject})).json["value"])
    spent, revoked = await service.minted(), await service.minted({"model": "gpt-realtime-2.1-mini"})
    for _ in range(2):
        await service.called(spent)
    await post(service, f"/handles/{id_of(revoked)}/revoke")

    async def listed(query: str) -> set[str]:
        return {handle["id"] for handle in (await get(service, f"/handles?{query}"))["data"]}

    mine = f"client={client}"
    assert await listed(mine) == {live, id_of(spent), id_of(revoked)}
    assert await listed(f"subject={subject}") == {live}
    assert await listed(f"{mine}&model=gpt-realtime-2.1-mini") == {id_of(revoked)}
    assert await listed(f"{mine}&deployment=openai&model=gpt-realtime-2.1") == {live, id_of(spent)}
    assert await listed(f"{mine}&deployment=elsewhere") == set()
    for state, expected in (("live", live), ("spent", id_of(spent)), ("revoked", id_of(revoked))):
        assert await listed(f"{mine}&state={state}") == {expected}
    assert live in await listed("limit=1000")
    suspicion = {"suspicions": 1, "suspicion": "wrong_origin"}
    await service.store_client.hset(keys.handle(live), mapping=suspicion)
    assert await listed(f"{mine}&suspected=true") == {live}
    assert await listed(f"{mine}&suspected=false") == {id_of(spent), id_of(revoked)}


async def test_the_doctors_handle_is_shown_as_documented_while_it_lasts(service: Service) -> None:
    """The service's own watch compares each answer with the reference."""
    found: list[dict[str, object]] = []
    while not found:
        # It lives for two seconds, which a busy machine may need before the list.
        client = service.server.app[STORE]._client
        assert await rehearse(client, now=time.time(), seconds=PATIENCE) == []
        found = (await get(service, "/handles?client=cloakroom-doctor"))["data"]
    assert str(found[0]["id"]).startswith("doctor-")


async def test_handles_are_counted_by_the_narrowest_name(service: Service, client: str) -> None:
    for number in range(5):
        await service.mint(None, **{SUBJECT: f"{client}-{number % 2}"})
    assert await get(service, f"/handles/count?client={client}") == {"object": "count", "handles": 5}
    assert (await get(service, f"/handles/count?client={client}&model=gpt-realtime-2.1"))["handles"] == 5
    assert (await get(service, f"/handles/count?client={client}&subject={client}-0"))["handles"] >= 3
    assert (await get(service, "/handles/count?model=gpt-realtime-2.1"))["handles"] >= 5
    assert (await get(service, "/handles/count"))["handles"] >= 5
    assert (await get(service, "/handles/count?client=nobody"))["handles"] == 0


async def test_a_revoked_handle_relays_nowhere_from_then_on_and_keeps_its_first_revocation(
    service_factory: ServiceFactory, service: Service
) -> None:
    bobs_key = "ak_" + secrets.token_urlsafe(32)
    second = await service_factory(CLOAKROOM_ADMIN_KEYS=f"sre:{service.planted.admin_key},bob:{bobs_key}")
    handle = await service.minted()
    first = await post(service, f"/handles/{id_of(handle)}/revoke")
    assert first == {
        "object": "handle.revocation",
        "id": id_of(handle),
        "outcome": "revoked",
        "revoked_at": first["revoked_at"],
        "revoked_by": "sre",
    }
    again = await ask(second, "POST", f"/handles/{id_of(handle)}/revoke", key=bobs_key)
    assert again.json == {**first, "outcome": "already_revoked"}
    for replica in (service, second):
        assert (await replica.relay(handle)).code == "handle_revoked"
    shown = await get(second, f"/handles/{id_of(handle)}")
    assert (shown["state"], shown["revoked_by"]) == ("revoked", "sre")
    assert shown["last_refusal"]["code"] == "handle_revoked"


async def test_revoking_a_client_takes_all_of_its_handles_and_no_others(
    service_factory: ServiceFactory, service: Service, client: str
) -> None:
    other = await service_factory()
    stranger = await other.minted()
    handles = [await service.minted() for _ in range(6)]
    await post(service, f"/handles/{id_of(handles[0])}/revoke")
    assert await post(service, "/handles/revoke", {"client": client, "cursor": None}) == {
        "object": "handles.revocation",
        "revoked": 5,
        "already_revoked": 1,
        "newer_release": 0,
        "examined": 6,
        "next_cursor": None,
    }
    for handle in handles:
        assert (await service.relay(handle)).code == "handle_revoked"
    assert (await other.relay(stranger)).status == 201


async def test_revoking_many_goes_on_from_its_cursor_in_bounded_steps(
    service: Service, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.store.listing.directory.EXAMINED_AT_MOST", 4)
    for _ in range(10):
        await service.minted()
    steps = []
    body = {"client": client}
    while True:
        steps.append(await post(service, "/handles/revoke", body))
        if steps[-1]["next_cursor"] is None:
            break
        body = {"client": client, "cursor": steps[-1]["next_cursor"]}
    assert sum(step["revoked"] for step in steps) == 10
    assert {step["examined"] for step in steps[:-1]} == {4}
    assert len(steps) == 3


async def test_all_given_names_must_match_what_is_revoked(service: Service, client: str) -> None:
    one, two = await service.minted(), await service.minted({"model": "gpt-realtime-2.1-mini"})
    for wanted, revoked in (({"deployment": "other"}, 0), ({"model": "gpt-realtime-2.1-mini"}, 1)):
        step = await post(service, "/handles/revoke", {"client": client, **wanted})
        assert step["revoked"] == revoked
    assert (await service.relay(one)).status == 201
    assert (await service.relay(two)).code == "handle_revoked"


async def test_calls_are_listed_shown_and_ended_whoevers_they_are(service: Service, client: str) -> None:
    handle = await service.minted()
    first, second = await service.called(handle), await service.called(handle)
    page = await get(service, f"/calls?client={client}")
    assert [call["id"] for call in page["data"]] == [second, first]
    assert await post(service, f"/calls/{first}/hangup") == {
        "object": "call.hangup",
        "id": first,
        "outcome": "ended",
    }
    assert service.call(first)["end_reason"] == "hangup"
    assert (await post(service, f"/calls/{first}/hangup"))["outcome"] == "repeated"
    assert len(hangups(service)) == 1
    await service.provider.calls.hang_up(second)
    assert (await post(service, f"/calls/{second}/hangup"))["outcome"] == "gone"
    shown = await get(service, f"/calls/{first}")
    assert (shown["state"], shown["ended_by"], shown["handle"]) == ("ended", "replica-a", id_of(handle))
    assert (shown["ended_because"], shown["hangup_asked_by"]) == ("operator", "sre")
    assert shown["hangup_asked_at"] == shown["ended_at"]
    assert [call["id"] for call in (await get(service, f"/calls?client={client}&state=open"))["data"]] == []
    ended = (await get(service, f"/calls?client={client}&state=ended&limit=1"))["data"]
    assert len(ended) == 1


async def test_the_providers_refusal_of_a_hang_up_is_the_operators_answer(service: Service) -> None:
    call_id = await service.called(await service.minted())
    service.fault(
        "status", "hangup", status=403, body='{"error": {"message": "no", "code": "not_now", "type": "x"}}'
    )
    reply = await ask(service, "POST", f"/calls/{call_id}/hangup")
    assert (reply.status, reply.code, reply.json["error"]["type"]) == (403, "not_now", "upstream_error")
    assert (await get(service, f"/calls/{call_id}"))["state"] == "open"


async def test_figures_at_a_glance(service: Service) -> None:
    await service.called(await service.minted())
    figures = await get(service, "/stats")
    assert figures["handles"] >= 1
    assert figures["calls"] >= 1
    assert figures == {
        "object": "stats",
        "handles": figures["handles"],
        "calls": figures["calls"],
        "store": "up",
        "replica": "replica-a",
        "version": __version__,
        "in_flight": 1,
    }


async def test_without_the_store_figures_say_so_and_everything_else_is_503(
    service_factory: ServiceFactory,
) -> None:
    with LocalEngine() as own_store:
        service = await service_factory(store_url=own_store.url)
        own_store.stop()
        await eventually(lambda: not service.server.app[STORE].up)
    figures = await get(service, "/stats")
    assert (figures["store"], figures["handles"], figures["calls"]) == ("down", None, None)
    for method, path, body in (
        ("GET", "/handles", None),
        ("GET", "/handles/count", None),
        ("GET", f"/handles/{'A' * 22}", None),
        ("POST", f"/handles/{'A' * 22}/revoke", None),
        ("POST", "/handles/revoke", {"client": "shop"}),
        ("GET", "/calls", None),
        ("GET", "/calls/rtc_1", None),
        ("POST", "/calls/rtc_1/hangup", None),
        ("POST", "/calls/hangup", {"all": True}),
        ("POST", "/calls/lookup", {"ids": ["rtc_1"]}),
    ):
        reply = await ask(service, method, path, body=body)
        assert (reply.status, reply.code) == (503, "store_unavailable"), path
        assert reply.headers["retry-after"]
