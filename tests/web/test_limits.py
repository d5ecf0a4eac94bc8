"""Limits: a client's mints a minute over all replicas, its models, and requests at once."""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import Any

import pytest

from tests.conftest import ServiceFactory
from tests.support import api
from tests.support.service import Service

LIMIT = 5


@pytest.fixture
def limited() -> tuple[str, dict[str, Any]]:
    """A client with a limit and one model; its name is new, so that no other test counts for it."""
    key = "ck_" + secrets.token_urlsafe(24)
    client = {"api_key": key, "models": ["gpt-realtime-2.1"], "mints_per_minute": LIMIT}
    return key, {f"limited-{secrets.token_hex(4)}": client}


async def test_a_clients_limit_counts_over_all_replicas_and_stops_before_the_provider(
    service_factory: ServiceFactory, limited: tuple[str, dict[str, Any]]
) -> None:
    key, clients = limited
    replicas = [await service_factory(CLOAKROOM_CLIENTS=json.dumps(clients)) for _ in range(2)]
    replies = await asyncio.gather(
        *(api.mint(replicas[0].http, replicas[number % 2].base, key) for number in range(LIMIT * 4))
    )
    refused = [reply for reply in replies if reply.status != 200]
    # The minute may turn while the test runs, and then a second one has room for as many again.
    assert len(replies) - len(refused) in (LIMIT, LIMIT * 2)
    assert {(reply.status, reply.code) for reply in refused} == {(429, "rate_limited")}
    assert all(1 <= int(reply.headers["retry-after"]) <= 60 for reply in refused)
    assert sum(replica.asked("/client_secrets") for replica in replicas) == len(replies) - len(refused)
    # Nobody else pays for it.
    assert (await replicas[0].mint()).status == 200


async def test_a_clients_models_are_its_own(
    service_factory: ServiceFactory, limited: tuple[str, dict[str, Any]]
) -> None:
    key, clients = limited
    service = await service_factory(CLOAKROOM_CLIENTS=json.dumps(clients))
    reply = await api.mint(service.http, service.base, key, {"model": "gpt-realtime-2.1-mini"})
    assert (reply.status, reply.code) == (403, "model_not_allowed")
    assert "gpt-realtime-2.1." in reply.json["error"]["message"]
    assert service.asked() == 0


async def test_a_model_that_nobody_configured_is_a_404_that_lists_those_that_are(
    service_factory: ServiceFactory,
) -> None:
    service = await service_factory(CLOAKROOM_MODELS='{"voice": "openai", "chat": "openai"}')
    reply = await service.mint({"model": "gpt-realtime-2.1"})
    assert (reply.status, reply.code) == (404, "model_not_found")
    assert "chat, voice" in reply.json["error"]["message"]
    assert service.asked() == 0


async def test_more_requests_at_once_than_allowed_are_told_to_wait(service_factory: ServiceFactory) -> None:
    service = await service_factory(CLOAKROOM_MAX_IN_FLIGHT="3")
    service.fault("delay", "client_secrets", times=3, seconds=2)
    replies = await asyncio.gather(*(service.mint() for _ in range(8)))
    assert sorted(reply.status for reply in replies) == [200] * 3 + [503] * 5
    refused = next(reply for reply in replies if reply.status == 503)
    assert refused.code == "overloaded"
    assert refused.headers["retry-after"] == "1"
    assert (await service.mint()).status == 200


async def test_a_request_id_is_taken_over_when_it_is_one_and_made_when_it_is_not(service: Service) -> None:
    given = "trace-0123456789"
    assert (await service.mint(**{"x-request-id": given})).headers["x-request-id"] == given
    for bad in ("short", "with space in it", "x" * 200, "<script>alert(1)</script>"):
        assert (await service.mint(**{"x-request-id": bad})).headers["x-request-id"].startswith("req_")


async def test_a_backends_users_have_their_own_limit_and_mints_for_nobody_count_for_the_client_alone(
    service_factory: ServiceFactory,
) -> None:
    key, name = "ck_" + secrets.token_urlsafe(24), f"limited-{secrets.token_hex(4)}"
    client = {"api_key": key, "mints_per_minute_per_subject": 2}
    service = await service_factory(CLOAKROOM_CLIENTS=json.dumps({name: client}))

    async def minted(subject: str | None) -> list[int]:
        headers = {"x-cloakroom-subject": subject} if subject is not None else {}
        replies = [await api.mint(service.http, service.base, key, **headers) for _ in range(6)]
        return [reply.status for reply in replies]

    # The minute may turn while the test runs, and then a second one has room for as many again.
    assert (await minted("ada")).count(200) in (2, 4)
    assert (await minted("bob")).count(200) in (2, 4)
    assert await minted(None) == [200] * 6
