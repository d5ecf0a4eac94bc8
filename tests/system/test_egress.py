"""As in production, nothing inside is asked unless the operator opens it; every look says what to set."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import aiohttp
import pytest

from app.outbound.addresses import SETTING
from tests.support import api
from tests.support.clocks import PATIENCE, until
from tests.support.processes import ROOT
from tests.support.stack import Stack


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack(
        peer="static", CLOAKROOM_ENVIRONMENT="production", CLOAKROOM_PRIVATE_NETWORKS="127.0.0.0/8"
    ) as running:
        yield running


async def test_a_provider_inside_is_not_asked_and_the_answer_names_the_setting(stack: Stack) -> None:
    closed = stack.replica("closed", **{SETTING: "10.0.0.0/8"})
    async with aiohttp.ClientSession() as http:
        handle = await api.minted(http, stack.a.url, stack.planted.client_key)
        before = stack.sandbox.control("GET", "state")["requests"]
        for reply in (
            await api.mint(http, closed.url, stack.planted.client_key),
            await api.relay(http, closed.url, handle),
        ):
            assert (reply.status, reply.code) == (502, "upstream_unreachable"), reply
            assert SETTING in reply.text
            assert "127.0.0.1" not in reply.text
            assert "retry-after" not in reply.headers
        after = stack.sandbox.control("GET", "state")["requests"]
        # The list of models is asked for in the background, by replicas that may.
        asked = {path for path in after if after[path] != before.get(path)} - {"/v1/models"}
        assert asked == set()
        refused = until(lambda: closed.events("address_refused"))
        assert refused[0]["host"] == "127.0.0.1"
        assert SETTING in refused[0]["reason"]
        # Nothing was sent, so the handle kept its use: the same offer is taken where the way is open.
        assert (await api.relay(http, stack.b.url, handle)).status == 201


def doctor(stack: Stack, **changes: str) -> dict[str, dict[str, str]]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-m", "app", "doctor", "--json"],
        env={**kept, **stack.environment(**changes)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    rows = json.loads(done.stdout)["findings"]
    return {row["name"]: row for row in rows if row["area"] in ("settings", "deployment")}


def test_the_doctor_finds_it_and_what_is_opened_too_far(stack: Stack) -> None:
    rows = doctor(stack, **{SETTING: "10.0.0.0/8"})
    assert rows["reach"]["status"] == "fail"
    assert f"127.0.0.1 is this machine, and {SETTING} is not set to open it" in rows["reach"]["detail"]
    assert SETTING in rows["reach"]["fix"]
    assert (rows["egress"]["status"], rows["egress"]["detail"]) == (
        "ok",
        "directly; to public addresses, and to 10.0.0.0/8",
    )
    rows = doctor(stack)
    assert rows["reach"]["status"] == "ok"
    for networks, risk in (
        ("127.0.0.0/8,169.254.169.254", "169.254.169.254"),
        ("0.0.0.0/0", "every address"),
    ):
        row = doctor(stack, **{SETTING: networks})["egress"]
        assert row["status"] == "warn"
        assert risk in row["detail"]


def test_an_issuer_inside_is_not_asked_either(stack: Stack) -> None:
    issuer = {
        "issuer": f"{stack.sandbox.url}/issuer",
        "audience": "cloakroom",
        "users": {"client": "shop"},
    }
    closed = stack.replica(
        "no-issuer", CLOAKROOM_ISSUERS=json.dumps({"box": issuer}), **{SETTING: "10.0.0.0/8"}
    )
    line = until(lambda: closed.events("issuer_keys_not_fetched"))[0]
    assert "may not be asked: 127.0.0.1 is this machine" in line["reason"]
    assert SETTING in line["reason"]
    assert "/issuer/jwks" not in stack.sandbox.control("GET", "state")["requests"]
