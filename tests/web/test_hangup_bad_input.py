"""Bad input where calls are hung up: the table's code, never a 500, and nothing is asked of the provider."""

from __future__ import annotations

import asyncio

import pytest
from yarl import URL

from app.store.embedded.engine import LocalEngine
from app.web.routes import ALIASES
from tests.conftest import ServiceFactory
from tests.support.api import post
from tests.support.clocks import PATIENCE
from tests.support.handles import bad_handles
from tests.support.service import Service

PAGE = "https://app.example.com"
# As they stand on the request line.
NO_CALL_IDS = {
    "a letter too many": "a" * 129,
    "a dot": "rtc_1.2",
    "a space": "rtc_1%202",
    "a line break": "rtc_1%0d%0aX:y",
    "a NUL": "rtc_%00",
    "a slash": "rtc_1%2f2",
    "a way out": "%2e%2e",
    "braces": "%7Brtc_1%7D",
    "a glob": "rtc_*",
    "another script": "%C3%A9",
    "no UTF-8": "%ff",
    "a surrogate": "%ed%a0%80",
    "a wrong escape": "rtc_%zz",
    "a query's mark": "rtc_1%3Fx",
    "markup": "%3Cscript%3E",
}


@pytest.mark.parametrize("what", NO_CALL_IDS)
async def test_what_is_no_call_id_is_the_same_404_and_asks_nothing_of_provider_or_store(
    service: Service, what: str
) -> None:
    handle = await service.minted()
    before = service.asked()
    for base in ALIASES:
        for credential in (service.planted.client_key, handle):
            url = URL(f"{service.base}{base}/realtime/calls/{NO_CALL_IDS[what]}/hangup", encoded=True)
            async with service.http.post(url, headers={"Authorization": f"Bearer {credential}"}) as response:
                answer = (await response.json())["error"]
            assert (response.status, answer["code"]) == (404, "call_id_not_found")
            assert answer["param"] == "call_id"
            unknown = await service.hang_up(credential, "rtc_nobody")
            assert unknown.json["error"] == answer
    assert service.asked() == before


async def test_the_store_is_not_even_asked_about_what_is_no_call_id(service_factory: ServiceFactory) -> None:
    with LocalEngine() as own:
        service = await service_factory(store_url=own.url)
        own.stop()
        for call_id, code in (("rtc_1.2", "call_id_not_found"), ("rtc_12", "store_unavailable")):
            assert (await service.hang_up(service.planted.client_key, call_id)).code == code


async def test_bytes_that_are_no_text_in_the_path_are_no_500(service: Service) -> None:
    reader, writer = await asyncio.open_connection(service.server.host, service.server.port)
    writer.write(
        b"POST /v1/realtime/calls/rtc_\xff\xfe\xed\xa0\x80/hangup HTTP/1.1\r\nHost: x\r\n"
        b"Authorization: Bearer " + service.planted.client_key.encode() + b"\r\n"
        b"Connection: close\r\nContent-Length: 0\r\n\r\n"
    )
    try:
        answer = await asyncio.wait_for(reader.read(), PATIENCE)
    finally:
        writer.close()
        await writer.wait_closed()
    assert answer.split(b" ", 2)[1] in (b"400", b"404")
    assert service.asked() == 0


async def test_a_segment_too_few_or_too_many_is_no_path_of_ours(service: Service) -> None:
    headers = {"Authorization": f"Bearer {service.planted.client_key}"}
    for path in ("/hangup", "rtc_1/hangup/", "rtc_1/x/hangup", "rtc_1/"):
        reply = await service.post(f"/v1/realtime/calls/{path}", headers=headers)
        assert (reply.status, reply.code) == (404, "not_found"), path


async def test_a_calls_own_url_takes_no_post(service: Service) -> None:
    headers = {"Authorization": f"Bearer {service.planted.client_key}"}
    for path in ("hangup", "rtc_1"):
        reply = await service.post(f"/v1/realtime/calls/{path}", headers=headers)
        assert (reply.status, reply.code) == (405, "method_not_allowed"), path


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_another_method_is_a_405_and_ends_nothing(service: Service, method: str) -> None:
    handle = await service.minted()
    call_id = await service.called(handle)
    url = f"{service.base}/v1/realtime/calls/{call_id}/hangup"
    async with service.http.request(method, url, headers={"Authorization": f"Bearer {handle}"}) as response:
        assert response.status == 405
        assert response.headers["Allow"] == "POST"
        assert (await response.json())["error"]["code"] == "method_not_allowed"
    assert service.call(call_id)["ended_at"] is None


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{}"),
        ("application/json", b"{broken"),
        ("text/plain", b"please"),
        ("multipart/form-data; boundary=b", b"--b"),
        ("application/sdp", b"\xff" * 200_000),
    ],
)
async def test_a_body_is_not_looked_at(service: Service, content_type: str, body: bytes) -> None:
    handle = await service.minted()
    call_id = await service.called(handle)
    reply = await post(
        service.http,
        f"{service.base}/v1/realtime/calls/{call_id}/hangup",
        data=body,
        headers={"Authorization": f"Bearer {handle}", "Content-Type": content_type},
    )
    assert reply.status == 200
    assert service.call(call_id)["end_reason"] == "hangup"


async def test_a_query_is_not_passed_on(service: Service) -> None:
    handle = await service.minted()
    call_id = await service.called(handle)
    headers = {"Authorization": f"Bearer {handle}"}
    path = f"/v1/realtime/calls/{call_id}/hangup?api-version=1&url=http://elsewhere"
    assert (await service.post(path, headers=headers)).status == 200
    (query,) = [e["query"] for e in service.provider.journal.reports() if e["operation"] == "hangup"]
    assert query == ""


async def test_without_a_good_credential_nothing_is_told_of_any_call(service: Service) -> None:
    handle = await service.minted()
    call_id = await service.called(handle)
    bad = bad_handles(handle, service.planted.signing)
    # Expired by a moment, and never stored: both are handles of ours, and may end calls of their own.
    for ours in ("expired", "never stored"):
        bad.pop(ours)
    bad |= {
        "another client's key": ("ck_" + "x" * 40, ""),
        "the provider's own key": (service.planted.openai_key, ""),
        "an operator's key": (service.planted.admin_key, ""),
    }
    for what, (text, _) in bad.items():
        answers = []
        for known in (call_id, "rtc_nobody", "no.id"):
            reply = await service.hang_up(text, known)
            # A key has no dots, a handle has; whoever sends neither is told of both.
            code = "invalid_handle" if "." in text else "invalid_api_key"
            assert (reply.status, reply.code) == (401, code), (what, reply)
            assert reply.headers["www-authenticate"] == "Bearer"
            answers.append(reply.text)
        assert len(set(answers)) == 1, what
    assert service.asked("/hangup") == 0
    assert service.call(call_id)["ended_at"] is None


@pytest.mark.parametrize("scheme", ["Basic {}", "{}", "Bearer", "Bearer {}, Bearer {}", ""])
async def test_another_scheme_is_no_credential(service: Service, scheme: str) -> None:
    handle = await service.minted()
    call_id = await service.called(handle)
    for credential in (handle, service.planted.client_key):
        reply = await service.post(
            f"/v1/realtime/calls/{call_id}/hangup",
            headers={"Authorization": scheme.format(credential, credential)},
        )
        assert reply.status == 401
        assert reply.code in ("invalid_api_key", "invalid_handle")
    reply = await service.post(f"/v1/realtime/calls/{call_id}/hangup")
    assert (reply.status, reply.code) == (401, "invalid_api_key")
    assert "handle" in reply.json["error"]["message"]
    assert service.asked("/hangup") == 0


async def test_a_page_may_hang_up_from_its_own_origin_only(service_factory: ServiceFactory) -> None:
    service = await service_factory(CLOAKROOM_CORS_ORIGINS=PAGE)
    handle = await service.minted()
    call_id = await service.called(handle)
    url = f"{service.base}/v1/realtime/calls/{call_id}/hangup"
    async with service.http.options(
        url,
        headers={
            "Origin": PAGE,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization",
        },
    ) as preflight:
        assert preflight.status == 204
        assert preflight.headers["Access-Control-Allow-Headers"] == "authorization"
    reply = await service.hang_up(handle, call_id, Origin="https://evil.example")
    assert (reply.status, reply.code) == (403, "origin_not_allowed")
    assert service.call(call_id)["ended_at"] is None
    reply = await service.hang_up(handle, call_id, Origin=PAGE)
    assert reply.status == 200
    assert reply.headers["access-control-allow-origin"] == PAGE
