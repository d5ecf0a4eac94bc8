"""The doctor's rows of the webhook: a real receiver that takes the message, refuses it, or is away."""

from __future__ import annotations

import json
import time

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from app.doctor.finding import Finding
from app.doctor.webhook import examine_webhook
from app.settings import load_settings
from tests.support.clocks import PATIENCE
from tests.support.egress import here
from tests.support.planted import Planted
from tests.support.receiver import free_port

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


async def examined(url: str, *, send: bool) -> dict[str, Finding]:
    environment = Planted().environment(
        CLOAKROOM_REDIS_URL="memory://",
        OPENAI_API_KEY="sk-proj-" + "k" * 40,
        CLOAKROOM_SECURITY_WEBHOOK_URL=url,
        CLOAKROOM_SECURITY_WEBHOOK_SECRET=SECRET,
    )
    rows = await examine_webhook(
        load_settings(environment), egress=here(), seconds=PATIENCE, send=send, clock=time.time
    )
    return {row.name: row for row in rows}


@pytest.mark.parametrize(("status", "verdict"), [(204, "ok"), (401, "fail")])
async def test_a_test_message_is_sent_only_where_it_is_asked_for(status: int, verdict: str) -> None:
    seen = []

    async def take(request: web.Request) -> web.Response:
        seen.append(json.loads(await request.read()))
        return web.Response(status=status)

    app = web.Application()
    app.router.add_post("/hooks/T0P-secret", take)
    server = TestServer(app)
    await server.start_server()
    url = str(server.make_url("/hooks/T0P-secret"))
    rows = await examined(url, send=False)
    assert (rows["reach"].status, rows["message"].status, seen) == ("ok", "skipped", [])
    rows = await examined(url, send=True)
    await server.close()
    assert rows["message"].status == verdict
    (message,) = seen
    assert message["type"] == "security.test"
    assert all("T0P-secret" not in f"{row.detail} {row.fix}" for row in rows.values())


async def test_a_receiver_that_is_away_is_told_and_gets_no_message() -> None:
    rows = await examined(f"http://127.0.0.1:{free_port()}/hooks", send=True)
    assert (rows["reach"].status, rows["message"].status) == ("fail", "skipped")
    assert "CLOAKROOM_SECURITY_WEBHOOK_URL" in rows["reach"].fix
