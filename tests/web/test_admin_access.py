"""Who is let in to the admin API, what is refused before the store is asked, and what the audit tells."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from aiohttp import hdrs

from tests.conftest import ServiceFactory
from tests.support.handles import unsigned
from tests.support.planted import Planted
from tests.support.service import Service
from tests.web.operators import ask, audited, get, id_of, post

HANDLE_ID = "A" * 22
EVERYTHING = [
    ("GET", "/stats"),
    ("GET", "/keys"),
    ("GET", "/pools"),
    ("GET", "/events"),
    ("GET", "/handles"),
    ("GET", "/handles/count"),
    ("POST", "/handles/revoke"),
    ("GET", f"/handles/{HANDLE_ID}"),
    ("POST", f"/handles/{HANDLE_ID}/revoke"),
    ("GET", "/calls"),
    ("GET", "/calls/rtc_1"),
    ("POST", "/calls/rtc_1/hangup"),
    ("POST", "/calls/hangup"),
    ("POST", "/calls/lookup"),
]


@pytest.fixture
async def deaf(service: Service, monkeypatch: pytest.MonkeyPatch) -> Service:
    """A service whose store fails the test when it is asked."""

    async def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("the store was asked")

    monkeypatch.setattr("app.store.connection.StoreConnection._run", never)
    return service


# --- who ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), EVERYTHING)
async def test_nothing_but_an_operators_key_opens_anything(service: Service, method: str, path: str) -> None:
    handle, planted = await service.minted(), service.planted
    for key in (
        "",
        planted.client_key,
        handle,
        handle.removeprefix("ek_"),
        unsigned(handle),
        planted.openai_key,
        planted.admin_key[:-1],
        planted.admin_key + "x",
        planted.admin_key.upper(),
        f"sre:{planted.admin_key}",
        "sha256:" + hashlib.sha256(planted.admin_key.encode()).hexdigest(),
    ):
        reply = await ask(service, method, path, key=key)
        assert (reply.status, reply.code) == (401, "invalid_api_key"), key[:6]
        assert reply.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path"), EVERYTHING)
async def test_without_admin_keys_it_is_closed_and_says_which_setting_opens_it(
    service_factory: ServiceFactory, method: str, path: str
) -> None:
    service = await service_factory(CLOAKROOM_ADMIN_KEYS="")
    for key in (None, "", service.planted.client_key):
        reply = await ask(service, method, path, key=key)
        assert (reply.status, reply.code) == (403, "admin_disabled")
        assert "CLOAKROOM_ADMIN_KEYS" in reply.text


async def test_a_key_is_taken_in_azures_header_and_where_it_is_configured_as_its_hash(
    service_factory: ServiceFactory, planted: Planted
) -> None:
    digest = hashlib.sha256(planted.admin_key.encode()).hexdigest()
    service = await service_factory(CLOAKROOM_ADMIN_KEYS=f"sre:sha256:{digest}")
    assert (await ask(service, "GET", "/stats")).status == 200
    reply = await ask(service, "GET", "/stats", key="", **{"api-key": planted.admin_key})
    assert reply.status == 200


async def test_an_operators_key_neither_mints_nor_relays_nor_hangs_up_as_a_client(service: Service) -> None:
    key = service.planted.admin_key
    call_id = await service.called(await service.minted())
    assert (await service.mint(None, Authorization=f"Bearer {key}")).code == "invalid_api_key"
    assert (await service.relay(key)).status == 401
    assert (await service.hang_up(key, call_id)).code == "invalid_api_key"


@pytest.mark.parametrize("base", ["", "/openai", "/v1", "/openai/v1"])
async def test_there_is_one_spelling_of_each_path(service: Service, base: str) -> None:
    headers = {hdrs.AUTHORIZATION: f"Bearer {service.planted.admin_key}"}
    for path in (f"{base}/admin/handles", f"{base}/admin/v1/handles/", f"{base}/v1/admin/handles"):
        async with service.http.get(service.base + path, headers=headers) as response:
            assert response.status == 404, path
    if base:
        async with service.http.get(f"{service.base}{base}/admin/v1/handles", headers=headers) as response:
            assert response.status == 404


@pytest.mark.parametrize(("method", "path"), [*EVERYTHING, ("GET", "/%68andles"), ("GET", "/nothing")])
async def test_no_page_gets_through_whatever_origins_are_allowed(
    service_factory: ServiceFactory, method: str, path: str
) -> None:
    service = await service_factory(CLOAKROOM_CORS_ORIGINS="*")
    for origin in ("https://app.example", service.base, "null"):
        reply = await ask(service, method, path, Origin=origin)
        assert (reply.status, reply.code) == (403, "origin_not_allowed")
        preflight = await ask(
            service, "OPTIONS", path, Origin=origin, **{"Access-Control-Request-Method": method}
        )
        assert preflight.status == 403
        for answer in (reply, preflight):
            assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/handles/count", "GET,HEAD"),
        ("GET", "/handles/revoke", "POST"),
        ("DELETE", f"/handles/{HANDLE_ID}", "GET,HEAD"),
        ("POST", "/calls/rtc_1", "GET,HEAD"),
        ("GET", "/calls/rtc_1/hangup", "POST"),
        ("GET", "/calls/hangup", "POST"),
        ("GET", "/calls/lookup", "POST"),
    ],
)
async def test_a_wrong_method_is_told_with_the_right_one(
    service: Service, method: str, path: str, allow: str
) -> None:
    reply = await ask(service, method, path)
    assert (reply.status, reply.code) == (405, "method_not_allowed")
    assert reply.headers["allow"].replace(" ", "") == allow


# --- what is refused, and the store never hears of it --------------------------------------------


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=-1", "limit"),
        ("limit=1.5", "limit"),
        ("limit=ten", "limit"),
        ("limit=", "limit"),
        ("limit=%D9%A3", "limit"),
        ("limit=10%0A", "limit"),
        ("limit=5&limit=6", "limit"),
        ("cursor=x", "cursor"),
        ("cursor=1-2-3", "cursor"),
        ("cursor=", "cursor"),
        ("state=dead", "state"),
        ("state=LIVE", "state"),
        ("suspected=yes", "suspected"),
        ("suspected=True", "suspected"),
        ("client=", "client"),
        ("client=a%00b", "client"),
        ("model=a%0Ab", "model"),
        ("subject=%FF", "subject"),
        ("deployment=" + "d" * 257, "deployment"),
        ("clinet=shop", "clinet"),
        ("client[]=shop", "client[]"),
    ],
)
@pytest.mark.parametrize("path", ["/handles", "/calls"])
async def test_a_query_that_is_none_is_refused_by_its_name(
    deaf: Service, path: str, query: str, param: str
) -> None:
    reply = await ask(deaf, "GET", f"{path}?{query}")
    assert (reply.status, reply.code, reply.json["error"]["param"]) == (400, "invalid_request", param)


async def test_a_state_of_the_other_kind_is_refused(deaf: Service) -> None:
    for path in (
        "/handles?state=open",
        "/calls?state=live",
        "/calls?suspected=true",
        "/handles/count?state=live",
        "/stats?x=1",
    ):
        assert (await ask(deaf, "GET", path)).code == "invalid_request"
    for path in (f"/handles/{HANDLE_ID}?client=x", "/calls/rtc_1?limit=1", "/events?seconds=0"):
        assert (await ask(deaf, "GET", path)).code == "invalid_request"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "client"),
        ({"deployment": "openai"}, "client"),
        ({"client": None}, "client"),
        ({"model": "gpt-realtime-2.1", "client": None}, "client"),
        ({"client": ""}, "client"),
        ({"client": 7}, "client"),
        ({"client": ["shop"]}, "client"),
        ({"client": "shop", "cursor": 5}, "cursor"),
        ({"client": "shop", "cursor": "x"}, "cursor"),
        ({"client": "shop", "state": "live"}, "state"),
        ({"client": "shop", "modle": "x"}, "modle"),
        ({"client": "shop", "calls": "yes"}, "calls"),
        ({"client": "shop", "calls": None}, "calls"),
        ({"client": "shop", "calls": True, "cursor": "calls:x"}, "cursor"),
        ({"client": "shop", "calls": False, "cursor": "calls:"}, "cursor"),
        ({"subject": "a\nb"}, "subject"),
        ([], None),
    ],
)
async def test_a_revocation_that_is_none_revokes_nothing(deaf: Service, body: Any, param: str | None) -> None:
    reply = await ask(deaf, "POST", "/handles/revoke", body=body)
    assert (reply.status, reply.code, reply.json["error"]["param"]) == (400, "invalid_request", param)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "all"),
        ({"all": False}, "all"),
        ({"all": "yes"}, "all"),
        ({"all": None}, "all"),
        ({"all": True, "client": "shop"}, "all"),
        ({"client": None}, "client"),
        ({"client": ""}, "client"),
        ({"client": ["shop"]}, "client"),
        ({"model": "gpt-realtime-2.1", "client": None}, "client"),
        ({"client": "shop", "dry_run": 1}, "dry_run"),
        ({"client": "shop", "state": "open"}, "state"),
        ({"client": "shop", "cursor": "x"}, "cursor"),
        ({"client": "shop", "cursor": "calls:"}, "cursor"),
        ({"klient": "shop"}, "klient"),
        ({"ids": ["rtc_1"]}, "ids"),
        ([], None),
    ],
)
async def test_an_order_to_end_calls_that_is_none_ends_nothing(
    deaf: Service, body: Any, param: str | None
) -> None:
    reply = await ask(deaf, "POST", "/calls/hangup", body=body)
    assert (reply.status, reply.code, reply.json["error"]["param"]) == (400, "invalid_request", param)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "ids"),
        ({"ids": []}, "ids"),
        ({"ids": "rtc_1"}, "ids"),
        ({"ids": [7]}, "ids"),
        ({"ids": ["a b"]}, "ids"),
        ({"ids": ["rtc_1"] * 1001}, "ids"),
        ({"ids": ["rtc_1"], "client": "shop"}, "client"),
    ],
)
async def test_what_cannot_be_looked_up_is_refused(deaf: Service, body: Any, param: str) -> None:
    reply = await ask(deaf, "POST", "/calls/lookup", body=body)
    assert (reply.status, reply.code, reply.json["error"]["param"]) == (400, "invalid_request", param)


@pytest.mark.parametrize("body", [[], {"calls": "yes"}, {"client": "shop"}, {"calls": True, "cursor": "1-1"}])
async def test_a_revocation_of_one_handle_with_an_odd_body_revokes_nothing(deaf: Service, body: Any) -> None:
    reply = await ask(deaf, "POST", f"/handles/{HANDLE_ID}/revoke", body=body)
    assert (reply.status, reply.code) == (400, "invalid_request")


async def test_a_revocation_is_json_of_a_bounded_size(deaf: Service) -> None:
    url = f"{deaf.base}/admin/v1/handles/revoke"
    key = {hdrs.AUTHORIZATION: f"Bearer {deaf.planted.admin_key}"}
    async with deaf.http.post(url, data=b"client=shop", headers=key) as response:
        assert response.status == 415
    huge = {"client": "s" * 70_000}
    async with deaf.http.post(url, json=huge, headers=key) as response:
        assert response.status == 413


@pytest.mark.parametrize(
    "handle_id", ["short", "A" * 21, "A" * 23, "a%2Fb", "%2E%2E%2F", "A" * 21 + "!", "é" * 22]
)
async def test_an_id_that_no_handle_has_is_not_found_without_a_look(deaf: Service, handle_id: str) -> None:
    for method, path in (("GET", f"/handles/{handle_id}"), ("POST", f"/handles/{handle_id}/revoke")):
        reply = await ask(deaf, method, path)
        assert (reply.status, reply.code) == (404, "handle_not_found")


@pytest.mark.parametrize("call_id", ["c" * 129, "a b", "a%0Ab", "%7Brtc%7D"])
async def test_an_id_that_no_call_has_is_not_found_without_a_look(deaf: Service, call_id: str) -> None:
    for method, path in (("GET", f"/calls/{call_id}"), ("POST", f"/calls/{call_id}/hangup")):
        reply = await ask(deaf, method, path)
        assert (reply.status, reply.code) == (404, "call_not_found")


async def test_what_is_on_record_no_longer_is_not_found(service: Service) -> None:
    for method, path, code in (
        ("GET", f"/handles/{HANDLE_ID}", "handle_not_found"),
        ("POST", f"/handles/{HANDLE_ID}/revoke", "handle_not_found"),
        ("GET", "/calls/rtc_never", "call_not_found"),
        ("POST", "/calls/rtc_never/hangup", "call_not_found"),
    ):
        reply = await ask(service, method, path)
        assert (reply.status, reply.code) == (404, code)


# --- the audit -----------------------------------------------------------------------------------


async def test_each_action_has_one_line_with_who_what_how_many_and_outcome(service: Service) -> None:
    handle = await service.minted()
    call_id = await service.called(handle)
    with audited() as lines:
        await get(service, "/handles?client=shop&state=live&limit=1")
        await post(service, f"/calls/{call_id}/hangup")
        await post(service, f"/handles/{id_of(handle)}/revoke")
        await post(service, "/handles/revoke", {"client": "nobody", "model": "gpt-realtime-2.1"})
        await ask(service, "GET", "/handles?limit=0")
        await ask(service, "GET", f"/handles/{HANDLE_ID}", key=service.planted.client_key)
    told = [(line["action"], line["admin"], line["outcome"], line["status"]) for line in lines]
    assert told == [
        ("handles.list", "sre", "done", 200),
        ("calls.hangup", "sre", "ended", 200),
        ("handles.revoke", "sre", "revoked", 200),
        ("handles.revoke_many", "sre", "revoked", 200),
        ("handles.list", "sre", "invalid_request", 400),
        ("handles.show", None, "invalid_api_key", 401),
    ]
    assert (lines[0]["filters"], lines[0]["count"]) == ({"client": "shop", "state": "live"}, 1)
    assert (lines[1]["call_id"], lines[1]["handle"]) == (call_id, id_of(handle))
    assert (lines[2]["handle"], lines[2]["revoked"]) == (id_of(handle), 1)
    assert (lines[3]["filters"], lines[3]["revoked"]) == (
        {"client": "nobody", "model": "gpt-realtime-2.1"},
        0,
    )
    assert all(line["request_id"] for line in lines)


async def test_a_secret_pasted_where_a_name_belongs_is_in_no_line_and_no_answer(service: Service) -> None:
    handle, planted = await service.minted(), service.planted
    pasted = (handle, planted.client_key, planted.admin_key, planted.openai_key, planted.azure_key)
    with audited() as lines:
        for secret in pasted:
            for path in (
                f"/handles?client={secret[:200]}",
                f"/handles?{secret}=1",
                f"/handles/{secret}",
                f"/calls/{secret}.",
            ):
                reply = await ask(service, "GET", path)
                assert secret[:200] not in reply.text
            await ask(service, "POST", "/handles/revoke", body={"subject": secret[:200]})
            await ask(service, "POST", "/handles/revoke", body={secret: "x"})
            await ask(service, "GET", "/stats", key=secret + "x")
    assert len(lines) == 7 * len(pasted)
    for secret in pasted:
        assert secret[:200] not in str(lines)


async def test_admin_requests_are_neither_mints_nor_relays_in_the_metrics(service: Service) -> None:
    async def counted() -> list[str]:
        async with service.http.get(f"{service.base}/metrics") as response:
            text = await response.text()
        names = ("cloakroom_mints_total", "cloakroom_relays_total", "cloakroom_hangups_total")
        return [line for line in text.splitlines() if line.startswith(names)]

    call_id = await service.called(await service.minted())
    before = await counted()
    assert before
    await get(service, "/handles")
    await post(service, f"/calls/{call_id}/hangup")
    assert await counted() == before
