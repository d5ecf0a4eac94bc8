"""Characters that do not show, from a caller: refused in a name, and shown nowhere else."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from urllib.parse import quote

import orjson
import pytest
from yarl import URL

from tests.support.hidden import HIDDEN, found_in
from tests.support.service import Service

# These end a line of HTTP, or the request.
LINES = {"LF", "CR", "NUL"}
NAMES = [name for name in HIDDEN if name not in LINES]


async def send(
    service: Service, method: str, path: str, headers: Mapping[str, str], body: bytes = b""
) -> tuple[int, str]:
    """Send headers as UTF-8, whatever is in them; the status and the whole answer."""
    url = URL(service.base)
    lines = [f"{method} {path} HTTP/1.1", f"Host: {url.authority}", "Connection: close"]
    lines += [f"Content-Length: {len(body)}", *(f"{name}: {value}" for name, value in headers.items())]
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    answer = (await reader.read()).decode()
    writer.close()
    return int(answer.split(" ")[1]), answer


@pytest.mark.parametrize("name", NAMES)
async def test_no_field_of_a_request_shows_them(
    service: Service, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    evil, key = f"a{HIDDEN[name]}b", service.planted.client_key
    client = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    operator = {"Authorization": f"Bearer {service.planted.admin_key}"}
    call_id = await service.called(await service.minted())
    report = orjson.dumps({"outcome": evil, "after_ms": 1})
    refused = {
        "subject": ("POST", "/v1/realtime/client_secrets", {**client, "x-cloakroom-subject": evil}, b"{}"),
        "safety": (
            "POST",
            "/v1/realtime/client_secrets",
            {**client, "OpenAI-Safety-Identifier": evil},
            b"{}",
        ),
        "origin": ("POST", "/v1/realtime/client_secrets", {**client, "Origin": f"https://{evil}"}, b"{}"),
        "model": ("POST", "/v1/realtime/client_secrets", client, orjson.dumps({"model": evil})),
        "field": ("POST", "/v1/realtime/client_secrets", client, orjson.dumps({evil: 1})),
        "type": ("POST", "/v1/realtime/client_secrets", client, orjson.dumps({"session": {"type": evil}})),
        "handle": ("POST", "/v1/realtime/calls", {"Authorization": f"Bearer ek_{evil}"}, b""),
        "call id": ("POST", f"/v1/realtime/calls/{quote(evil)}/hangup", client, b""),
        "report": ("POST", f"/v1/realtime/calls/{call_id}/report", client, report),
        "path": ("GET", f"/{quote(evil)}", {}, b""),
        "filter": ("GET", f"/admin/v1/handles?subject={quote(evil)}", operator, b""),
        "filter's name": ("GET", f"/admin/v1/handles?{quote(evil)}=1", operator, b""),
        "handle's id": ("GET", f"/admin/v1/handles/{quote(evil)}", operator, b""),
    }
    for field, (method, path, headers, body) in refused.items():
        status, answer = await send(service, method, path, headers, body)
        assert 400 <= status < 500, (field, answer)
        assert found_in(answer, allowed=("\r", "\n")) == [], field
    # What nobody reads is taken, and shown nowhere.
    status, answer = await send(
        service, "POST", "/v1/realtime/client_secrets", {**client, "User-Agent": evil, "X-Other": evil}, b"{}"
    )
    assert status in (200, 400), answer
    log = capfd.readouterr().out
    assert '"event":"mint"' in log
    assert found_in(log) == []
    async with service.http.get(f"{service.base}/metrics") as response:
        assert found_in(await response.text()) == []
