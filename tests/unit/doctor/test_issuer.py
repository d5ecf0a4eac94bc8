"""The doctor's rows of an identity provider, over a real one: its keys, their algorithms, its clock."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from aiohttp.test_utils import TestServer

from app.doctor.finding import Finding
from app.doctor.issuer import examine_issuer
from app.identity.issuers import Issuer, Rule, Users
from app.sandbox import SandboxConfig
from app.sandbox.faults import read_fault
from app.sandbox.provider import PROVIDER
from tests.support.egress import here
from tests.support.service import start_sandbox


@pytest.fixture
async def sandbox() -> AsyncIterator[TestServer]:
    server = await start_sandbox(SandboxConfig(peer="static"))
    yield server
    await server.close()


def issuer_of(sandbox: TestServer) -> Issuer:
    url = str(sandbox.make_url("/issuer"))
    users, rules = Users("web", "plan", {"pro": "gold"}), (Rule("a:*", "backend"),)
    return Issuer("team", url, ("voice",), ("ES256",), users=users, rules=rules)


async def rows(issuer: Issuer) -> dict[str, Finding]:
    found = await examine_issuer(issuer, egress=here(), clock=time.time)
    assert {row.place for row in found} == {"issuer team"}
    return {row.name: row for row in found}


async def test_a_sound_issuer_is_all_right_and_its_rows_say_what_its_tokens_are_good_for(
    sandbox: TestServer,
) -> None:
    found = await rows(issuer_of(sandbox))
    assert {row.status for row in found.values()} == {"ok"}
    uses = "users mint as gold, web; workloads get tokens of backend (audience voice)"
    assert found["tokens"].detail == uses
    assert found["keys"].detail == f"1 at {issuer_of(sandbox).url}/jwks"
    assert found["algorithms"].detail == "ES256"


async def test_an_algorithm_without_a_key_is_a_warning_and_keys_for_none_of_them_a_failure(
    sandbox: TestServer,
) -> None:
    issuer = issuer_of(sandbox)
    found = await rows(replace(issuer, algorithms=("ES256", "RS256")))
    assert found["algorithms"].status == "warn"
    assert "none is for RS256" in found["algorithms"].detail
    found = await rows(replace(issuer, algorithms=("RS256",)))
    assert (found["keys"].status, "algorithms" in found) == ("fail", False)
    assert "check issuers.team.algorithms" in found["keys"].detail


async def test_an_issuer_that_cannot_be_asked_or_is_another_one_is_a_failure_with_a_fix(
    sandbox: TestServer,
) -> None:
    issuer = issuer_of(sandbox)
    for wrong in (replace(issuer, url="http://127.0.0.1:9/issuer"), replace(issuer, url=issuer.url + "/")):
        found = await rows(wrong)
        assert found["keys"].status == "fail"
        assert "issuers.team" in found["keys"].fix
    sandbox.app[PROVIDER].faults.arm(read_fault({"kind": "status", "path": "jwks", "status": 401}))
    assert "set issuers.team.token_file" in (await rows(issuer))["keys"].detail


@pytest.mark.parametrize(("skew", "status"), [(0, "ok"), (20, "warn"), (-20, "warn"), (300, "fail")])
async def test_a_clock_beyond_the_leeway_is_a_failure(sandbox: TestServer, skew: float, status: str) -> None:
    sandbox.app[PROVIDER].clock.skew = skew
    assert (await rows(issuer_of(sandbox)))["clock"].status == status
