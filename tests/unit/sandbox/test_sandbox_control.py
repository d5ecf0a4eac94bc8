"""The control paths have no password, so no web page may use them, under whatever name it calls."""

from __future__ import annotations

import pytest

from tests.unit.sandbox.conftest import MakeSandbox

PATHS = [
    ("GET", "/_sandbox/state"),
    ("GET", "/_sandbox/requests"),
    ("POST", "/_sandbox/faults"),
    ("POST", "/_sandbox/issuer/tokens"),
    ("PUT", "/_sandbox/clock"),
]


@pytest.mark.parametrize(("method", "path"), PATHS)
async def test_a_page_is_refused_by_its_name_and_by_its_origin(
    sandbox: MakeSandbox, method: str, path: str
) -> None:
    client = await sandbox()
    for headers in ({"Host": "evil.example:9090"}, {"Host": "localhost:9090", "Origin": "http://localhost"}):
        response = await client.request(method, path, headers=headers, json={"skew": 99})
        assert response.status == 421
    state = await (await client.get("/_sandbox/state")).json()
    assert state["clock"]["skew"] == 0


@pytest.mark.parametrize("host", ["127.0.0.1:9090", "[::1]:9090", "localhost:9090", "sandbox:9090"])
async def test_programs_reach_it_by_address_and_by_a_name_of_their_network(
    sandbox: MakeSandbox, host: str
) -> None:
    client = await sandbox()
    assert (await client.get("/_sandbox/state", headers={"Host": host})).status == 200
