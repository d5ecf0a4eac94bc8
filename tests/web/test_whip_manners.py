"""What a client that knows RFC 9725 (WHIP) expects of HTTP: DELETE hangs up, and no method surprises it."""

from __future__ import annotations

from typing import Any

import pytest

from app.web.routes import ALIASES
from tests.conftest import ServiceFactory
from tests.support.service import Service

PAGE = "https://app.example.com"
OFFERS = ("/realtime/calls", "/realtime", "/realtime/translations/calls")


async def ask(
    service: Service, method: str, path: str, **headers: str
) -> tuple[int, dict[str, str], str, dict[str, Any]]:
    async with service.http.request(method, service.base + path, headers=headers) as answer:
        text = await answer.text()
        found = {name.lower(): value for name, value in answer.headers.items()}
        error = (await answer.json())["error"] if text and answer.content_type == "application/json" else {}
        return answer.status, found, text, error


@pytest.mark.parametrize("base", ALIASES)
@pytest.mark.parametrize("by", ["client", "handle"])
async def test_delete_on_the_calls_location_hangs_up(service: Service, base: str, by: str) -> None:
    handle = await service.minted()
    relayed = await service.relay(handle)
    location = relayed.headers["location"]
    credential = handle if by == "handle" else service.planted.client_key
    path = base + location.removeprefix("/v1")
    status, headers, text, _ = await ask(service, "DELETE", path, Authorization=f"Bearer {credential}")
    assert (status, text) == (200, "")
    assert headers["x-request-id"]
    call_id = location.rpartition("/")[2]
    assert service.call(call_id)["end_reason"] == "hangup"
    # Ending it again, in either way, is no error.
    assert (await ask(service, "DELETE", path, Authorization=f"Bearer {credential}"))[0] == 200
    assert (await service.hang_up(credential, call_id)).status == 200


async def test_delete_ignores_an_entity_tag_and_refuses_strangers(service: Service) -> None:
    handle, other = await service.minted(), await service.minted()
    call_id = await service.called(handle)
    path = f"/v1/realtime/calls/{call_id}"
    for headers, expected in (
        ({}, (401, "invalid_api_key")),
        ({"Authorization": f"Bearer {other}"}, (404, "call_id_not_found")),
    ):
        status, _, _, error = await ask(service, "DELETE", path, **headers)
        assert (status, error["code"]) == expected
    status, _, _, error = await ask(
        service, "DELETE", "/v1/realtime/calls/a%20b", Authorization=f"Bearer {handle}"
    )
    assert (status, error["code"]) == (404, "call_id_not_found")
    assert service.call(call_id)["ended_at"] is None
    matched = {"Authorization": f"Bearer {handle}", "If-Match": '"xyzzy"'}
    assert (await ask(service, "DELETE", path, **matched))[0] == 200


async def test_a_page_may_delete_its_call(service_factory: ServiceFactory) -> None:
    service = await service_factory(CLOAKROOM_CORS_ORIGINS=PAGE)
    handle = await service.minted()
    path = f"/v1/realtime/calls/{await service.called(handle)}"
    wanted = {"Access-Control-Request-Method": "DELETE", "Access-Control-Request-Headers": "authorization"}
    status, headers, _, _ = await ask(service, "OPTIONS", path, Origin=PAGE, **wanted)
    assert status == 204
    assert "DELETE" in headers["access-control-allow-methods"].split(", ")
    status, headers, _, _ = await ask(service, "DELETE", path, Origin=PAGE, Authorization=f"Bearer {handle}")
    assert (status, headers["access-control-allow-origin"]) == (200, PAGE)


@pytest.mark.parametrize("base", ALIASES)
@pytest.mark.parametrize("path", OFFERS)
async def test_options_tells_what_may_be_posted(service: Service, base: str, path: str) -> None:
    status, headers, text, _ = await ask(service, "OPTIONS", base + path)
    assert (status, text) == (200, "")
    assert headers["accept-post"] == "application/sdp"
    assert headers["allow"] == ("GET, HEAD, OPTIONS, POST" if path == "/realtime" else "OPTIONS, POST")


@pytest.mark.parametrize("path", OFFERS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH"])
async def test_where_offers_go_any_other_method_is_a_405(service: Service, path: str, method: str) -> None:
    status, headers, _, _ = await ask(service, method, "/v1" + path)
    if path == "/realtime" and method in ("GET", "HEAD"):
        # A sideband's handshake, which needs a client key.
        assert status == 401
        return
    attaching = "GET, HEAD, " if path == "/realtime" else ""
    assert (status, headers["allow"]) == (405, f"{attaching}OPTIONS, POST")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST", "OPTIONS"])
async def test_at_a_call_any_method_but_delete_and_patch_is_a_405(service: Service, method: str) -> None:
    call_id = await service.called(await service.minted())
    status, headers, _, _ = await ask(service, method, f"/v1/realtime/calls/{call_id}")
    assert (status, headers["allow"]) == (405, "DELETE, PATCH")
    assert service.call(call_id)["ended_at"] is None


async def test_patch_of_a_call_is_a_501_and_changes_nothing(service: Service) -> None:
    handle = await service.minted()
    call_id = await service.called(handle)
    headers = {"Authorization": f"Bearer {handle}", "Content-Type": "application/trickle-ice-sdpfrag"}
    status, _, _, error = await ask(service, "PATCH", f"/v1/realtime/calls/{call_id}", **headers)
    assert (status, error["code"]) == (501, "method_not_implemented")
    assert service.call(call_id)["ended_at"] is None
