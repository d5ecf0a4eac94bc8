"""The admin API shows no key, sealed or not, and its audit is written whatever the log leaves out."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp

from tests.support.api import called, minted
from tests.support.clocks import eventually
from tests.support.handles import claims_of
from tests.support.onlooker import async_onlooker
from tests.support.processes import Process
from tests.support.sinks import assert_nothing_planted_in
from tests.support.stack import Stack


async def sealed_texts(url: str) -> set[str]:
    """Every sealed value in the store: keys, which are cut into pieces, and answers."""
    client: Any = async_onlooker(url)
    found: set[str] = set()
    try:
        async for key in client.scan_iter(match="cloakroom:handle:*", count=1000):
            fields = await client.hgetall(key)
            found |= {value for name, value in fields.items() if name.startswith("sealed")}
        async for key in client.scan_iter(match="cloakroom:claim:*", count=1000):
            found.add((await client.get(key)).rpartition(":")[2])
    finally:
        await client.aclose()
    return {text for text in found if len(text) > 16}


@contextmanager
def quiet_replica(stack: Stack) -> Iterator[tuple[Process, str]]:
    """A replica that logs errors only, so that it does not say when it listens, and its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment = stack.environment(
        CLOAKROOM_LOG_LEVEL="error", CLOAKROOM_HOST="127.0.0.1", CLOAKROOM_PORT=port
    )
    with Process(["app", "serve"], environment) as replica:
        yield replica, f"http://127.0.0.1:{port}"


async def answers(http: aiohttp.ClientSession, url: str) -> None:
    """Wait until it does."""

    async def alive() -> bool:
        try:
            async with http.get(f"{url}/livez"):
                return True
        except aiohttp.ClientConnectionError:
            return False

    await eventually(alive, "the replica did not start")


async def test_no_answer_and_no_audit_line_holds_a_key_sealed_or_not(http: aiohttp.ClientSession) -> None:
    with Stack(peer="static") as stack, quiet_replica(stack) as (replica, url):
        await answers(http, url)
        handle = await minted(http, url, stack.planted.client_key)
        call_id = await called(http, url, handle)
        handle_id = str(claims_of(handle)["jti"])
        texts = []
        for method, path in (
            ("GET", "stats"),
            ("GET", "keys"),
            ("GET", "pools"),
            ("GET", "handles"),
            ("GET", "handles/count"),
            ("GET", f"handles/{handle_id}"),
            ("GET", "calls"),
            ("GET", f"calls/{call_id}"),
            ("POST", f"calls/{call_id}/hangup"),
            ("POST", f"handles/{handle_id}/revoke"),
            ("GET", f"handles/{handle}"),
            ("GET", f"handles?client={stack.planted.client_key}"),
        ):
            for key in (stack.planted.admin_key, stack.planted.client_key, handle):
                async with http.request(
                    method,
                    f"{url}/admin/v1/{path}",
                    headers={"Authorization": f"Bearer {key}"},
                ) as response:
                    texts.append(f"{dict(response.headers)} {await response.text()}")
        sealed = await sealed_texts(stack.engine.url)
        lines = replica.events("audit")
        output = replica.output
        assert_nothing_planted_in(stack, "the answers", *texts)
        assert_nothing_planted_in(stack, "the log", output)
    assert len(sealed) >= 3
    for text in sealed:
        assert text not in "".join(texts)
        assert text not in output
    assert handle not in "".join(texts)
    assert handle not in output
    # Only errors are logged here, and the audit.
    assert len(lines) == 36
    assert [line["admin"] for line in lines] == ["sre", None, None] * 12
    assert '"event":"mint"' not in output
