"""Hang-ups that fail, what they leave behind, and in which provider a call is ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from app.store.embedded.engine import LocalEngine
from tests.conftest import ServiceFactory
from tests.support.planted import Planted
from tests.support.service import Service
from tests.web.hangups import hangups, record

# Only what stalls has to wait for the deadline; the other failures are there long before it.
FAST: Final = {"CLOAKROOM_MINT_TIMEOUT_SECONDS": "3"}

FAILURES: list[tuple[str, dict[str, Any], int, str]] = [
    ("drop_before", {}, 502, "upstream_error"),
    ("stall", {}, 504, "upstream_timeout"),
    ("html", {"status": 404}, 502, "upstream_error"),
    ("html", {"status": 502}, 502, "upstream_error"),
    ("redirect", {}, 502, "upstream_error"),
    ("status", {"status": 401}, 401, "upstream_error"),
    ("status", {"status": 404}, 404, "upstream_error"),
    ("status", {"status": 503}, 503, "upstream_error"),
]


@pytest.mark.parametrize(("kind", "options", "status", "code"), FAILURES)
async def test_a_hang_up_that_fails_at_the_provider_gets_the_tables_answer_and_can_be_repeated(
    service_factory: ServiceFactory,
    engine: LocalEngine,
    kind: str,
    options: dict[str, Any],
    status: int,
    code: str,
) -> None:
    service = await service_factory(**(FAST if kind == "stall" else {}))
    handle = await service.minted()
    call_id = await service.called(handle)
    service.fault(kind, "hangup", times=0, **options)
    reply = await service.hang_up(handle, call_id)
    assert (reply.status, reply.code) == (status, code), reply
    for word in ("127.0.0.1", "html", "Traceback", "/realtime", service.planted.openai_key[-6:]):
        assert word not in reply.text
    assert "ended_at" not in (await record(service, engine, call_id))[0]
    assert service.call(call_id)["ended_at"] is None
    service.provider.faults.clear()
    assert (await service.hang_up(handle, call_id)).status == 200
    assert service.call(call_id)["end_reason"] == "hangup"


@pytest.mark.parametrize("kind", ["drop_before", "drop_after", "stall_after", "truncate", "bad_header"])
async def test_an_answer_that_is_lost_is_asked_for_again_until_the_call_is_over(
    service_factory: ServiceFactory, kind: str
) -> None:
    service = await service_factory(
        **({"CLOAKROOM_MINT_TIMEOUT_SECONDS": "5"} if kind == "stall_after" else {})
    )
    handle = await service.minted()
    call_id = await service.called(handle)
    # An empty answer cannot be cut in half: there the first try succeeds already.
    tries = 1 if kind == "truncate" else 2
    service.fault(kind, "hangup", times=1)
    assert (await service.hang_up(handle, call_id)).status == 200
    assert service.call(call_id)["end_reason"] == "hangup"
    assert len(hangups(service)) == tries


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_a_passing_status_is_tried_again(service: Service, status: int) -> None:
    handle = await service.minted()
    call_id = await service.called(handle)
    service.fault("status", "hangup", status=status, times=2)
    assert (await service.hang_up(handle, call_id)).status == 200
    assert [entry["status"] for entry in hangups(service)] == [status, status, 200]


async def test_a_provider_that_cannot_be_reached_is_named_so(service: Service) -> None:
    handle = await service.minted()
    call_id = await service.called(handle)
    await service.stop_provider()
    reply = await service.hang_up(handle, call_id)
    assert (reply.status, reply.code) == (502, "upstream_unreachable")
    assert reply.headers["retry-after"] == "1"


async def test_a_store_that_is_down_is_a_503_and_the_provider_is_not_asked(
    service_factory: ServiceFactory,
) -> None:
    with LocalEngine() as own:
        service = await service_factory(store_url=own.url)
        handle = await service.minted()
        call_id = await service.called(handle)
        own.stop()
        for credential in (handle, service.planted.client_key):
            reply = await service.hang_up(credential, call_id)
            assert (reply.status, reply.code) == (503, "store_unavailable")
            assert reply.headers["retry-after"] == "1"
    assert hangups(service) == []


# --- in which provider --------------------------------------------------------------------------


async def test_the_call_ends_in_the_provider_that_owns_it_with_that_deployments_key(
    service_factory: ServiceFactory, planted: Planted, tmp_path: Path
) -> None:
    box = await service_factory()
    config = tmp_path / "cloakroom.yaml"
    config.write_text(
        "deployments:\n"
        f"  main: {{provider: openai, base_url: '{box.sandbox.make_url('/v1')}', "
        "api_key: '${OPENAI_KEY}'}\n"
        f"  az: {{provider: azure, base_url: '{box.sandbox.make_url('/')}', model: voice-prod, "
        "api_key: '${AZURE_KEY}'}\n"
        "models: {gpt-realtime-2.1: main, voice: az}\n"
    )
    service = await service_factory(
        CLOAKROOM_CONFIG=str(config), OPENAI_KEY=planted.openai_key, AZURE_KEY=planted.azure_key
    )
    handles = {alias: await service.minted({"model": alias}) for alias in ("gpt-realtime-2.1", "voice")}
    calls = {alias: await service.called(handle) for alias, handle in handles.items()}
    # A handle ends its own call only, though both are one client's.
    assert (await service.hang_up(handles["voice"], calls["gpt-realtime-2.1"])).code == "call_id_not_found"
    for alias in ("voice", "gpt-realtime-2.1"):
        assert (await service.hang_up(handles[alias], calls[alias])).status == 200
        assert box.call(calls[alias])["end_reason"] == "hangup"
    azure, openai = hangups(box)
    sent = {name.lower(): value for name, value in azure["headers"]}
    assert azure["path"] == f"/openai/v1/realtime/calls/{calls['voice']}/hangup"
    assert azure["query"] == ""
    assert sent["api-key"] == planted.azure_key
    assert "authorization" not in sent
    sent = {name.lower(): value for name, value in openai["headers"]}
    assert sent["authorization"] == f"Bearer {planted.openai_key}"
    assert "api-key" not in sent


async def test_a_replica_that_does_not_know_the_deployment_says_so_and_leaves_the_call_to_others(
    service_factory: ServiceFactory, planted: Planted, tmp_path: Path
) -> None:
    service = await service_factory()
    config = tmp_path / "cloakroom.yaml"
    config.write_text(
        "deployments:\n"
        f"  renamed: {{provider: openai, base_url: '{service.sandbox.make_url('/v1')}', "
        "api_key: '${OPENAI_KEY}'}\n"
        "models: {gpt-realtime-2.1: renamed}\n"
    )
    newer = await service_factory(CLOAKROOM_CONFIG=str(config), OPENAI_KEY=planted.openai_key)
    handle = await service.minted()
    call_id = await service.called(handle)
    reply = await newer.hang_up(handle, call_id)
    assert (reply.status, reply.code) == (502, "upstream_unreachable")
    assert reply.headers["retry-after"] == "1"
    assert hangups(service) == []
    assert (await service.hang_up(handle, call_id)).status == 200
