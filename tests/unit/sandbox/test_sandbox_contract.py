"""What succeeds at OpenAI is answered here in the same shapes; keys, families, clock, static answers."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import FormData
from openai.types.realtime import ClientSecretCreateResponse, RealtimeTranslationClientSecretCreateResponse

from tests.support.clocks import no_sooner_than

if TYPE_CHECKING:
    from tests.unit.sandbox.conftest import Client, MakeSandbox

Minted = Callable[..., Awaitable[str]]
BEARER = {"Authorization": "Bearer sk-test-0123456789abcdef"}
SECRETS = "/v1/realtime/client_secrets"
CALLS = "/v1/realtime/calls"


async def call(client: Client, key: str, offer: str, path: str = CALLS) -> int:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/sdp"}
    async with client.post(path, data=offer, headers=headers) as answer:
        return answer.status


class Clock:
    """Epoch seconds that only a test moves."""

    def __init__(self) -> None:
        self.seconds = 1_800_000_000.0

    def __call__(self) -> float:
        return self.seconds


async def test_a_mint_answers_in_the_sdks_types_and_echoes_what_it_does_not_know(
    sandbox: MakeSandbox,
) -> None:
    clock = Clock()
    client = await sandbox(now=clock)
    session = {
        "type": "realtime",
        "model": "gpt-realtime-2.1",
        "instructions": "Speak like a pirate.",
        "audio": {"output": {"voice": "cedar"}},
        "a_field_of_next_year": {"deep": [1]},
    }
    async with client.post(SECRETS, json={"session": session}, headers=BEARER) as answer:
        assert (answer.status, answer.content_type) == (200, "application/json")
        found = await answer.json()
    typed = ClientSecretCreateResponse.model_validate(found, strict=True)
    assert typed.value.startswith("ek_")
    assert typed.expires_at == clock.seconds + 600
    shown = found["session"]
    assert shown["id"].startswith("sess_")
    assert shown["object"] == "realtime.session"
    assert shown["instructions"] == session["instructions"]
    assert shown["a_field_of_next_year"] == {"deep": [1]}
    assert shown["audio"]["output"]["voice"] == "cedar"
    assert shown["audio"]["input"]["turn_detection"]["type"] == "server_vad"
    assert shown["client_secret"] == {"value": found["value"], "expires_at": found["expires_at"]}


async def test_a_mint_without_a_session_gets_the_default_one(sandbox: MakeSandbox) -> None:
    client = await sandbox()
    async with client.post(SECRETS, headers=BEARER) as answer:
        assert answer.status == 200
        assert (await answer.json())["session"]["model"] == "gpt-realtime-2.1"


async def test_one_key_opens_several_calls_until_it_expires_and_calls_outlive_it(
    sandbox: MakeSandbox, minted: Minted, offer: str
) -> None:
    clock = Clock()
    client = await sandbox(now=clock)
    key = await minted(client, expires_after={"anchor": "created_at", "seconds": 10})
    assert [await call(client, key, offer) for _ in range(3)] == [201, 201, 201]
    clock.seconds += 9.9
    assert await call(client, key, offer) == 201
    clock.seconds += 0.2
    assert await call(client, key, offer) == 401
    state = await (await client.get("/_sandbox/state")).json()
    assert state["calls"] == {"opened": 4, "live": 4, "ended": 0}
    assert state["keys"] == {"minted": 1, "live": 0}
    assert state["requests"][CALLS] == 5
    listed = (await (await client.get("/_sandbox/calls")).json())["calls"]
    assert {c["key_sha256"] for c in listed} == {hashlib.sha256(key.encode()).hexdigest()[:16]}


async def test_a_foreign_ephemeral_key_is_refused(sandbox: MakeSandbox, minted: Minted, offer: str) -> None:
    client, other = await sandbox(), await sandbox()
    assert await call(client, await minted(other), offer) == 401


@pytest.mark.parametrize("skew", [90.0, -90.0])
async def test_the_skew_moves_date_expiry_and_the_check_of_expiry_together(
    sandbox: MakeSandbox, minted: Minted, offer: str, skew: float
) -> None:
    clock = Clock()
    client = await sandbox(now=clock, clock_skew=skew)
    async with client.post(SECRETS, headers=BEARER) as answer:
        found = await answer.json()
        date = parsedate_to_datetime(answer.headers["Date"]).timestamp()
    assert date == clock.seconds + skew
    assert found["expires_at"] == clock.seconds + skew + 600
    assert await call(client, found["value"], offer) == 201
    async with client.put("/_sandbox/clock", json={"skew": skew + 601}) as answer:
        assert answer.status == 200
    assert await call(client, found["value"], offer) == 401
    async with client.put("/_sandbox/clock", json={"skew": "soon"}) as answer:
        assert answer.status == 400


async def test_each_family_opens_its_own_calls_only(sandbox: MakeSandbox, minted: Minted, offer: str) -> None:
    client = await sandbox()
    transcription = {"type": "transcription", "audio": {"input": {"transcription": {"model": "whisper-1"}}}}
    async with client.post(SECRETS, json={"session": transcription}, headers=BEARER) as answer:
        found = await answer.json()
    assert ClientSecretCreateResponse.model_validate(found).session.type == "transcription"
    scribe = found["value"]
    body = {"session": {"model": "gpt-realtime-translate", "audio": {"output": {"language": "fr"}}}}
    path = "/v1/realtime/translations/client_secrets"
    async with client.post(path, json=body, headers=BEARER) as answer:
        assert answer.status == 200
        found = await answer.json()
    RealtimeTranslationClientSecretCreateResponse.model_validate(found)
    assert found["session"]["audio"]["output"]["language"] == "fr"
    interpreter = found["value"]
    translations = "/v1/realtime/translations/calls"
    keys = (await minted(client), scribe, interpreter)
    assert [await call(client, key, offer) for key in keys] == [201, 201, 401]
    assert [await call(client, key, offer, translations) for key in keys] == [401, 401, 201]


async def test_the_beta_mints_answer_flat_with_the_key_inside(sandbox: MakeSandbox, offer: str) -> None:
    client = await sandbox()
    headers = {**BEARER, "OpenAI-Beta": "realtime=v1"}
    for path, body in (
        ("/v1/realtime/sessions", {"model": "gpt-4o-realtime-preview", "voice": "ash"}),
        (
            "/v1/realtime/transcription_sessions",
            {"input_audio_transcription": {"model": "gpt-4o-transcribe"}},
        ),
    ):
        async with client.post(path, json=body, headers=headers) as answer:
            assert answer.status == 200
            found: dict[str, Any] = await answer.json()
        assert found["id"].startswith("sess_")
        assert {name: found[name] for name in body} == body
        assert await call(client, found["client_secret"]["value"], offer) == 201


@pytest.mark.parametrize("typed", [True, False])
async def test_a_standard_key_calls_with_multipart_parts_typed_or_plain(
    sandbox: MakeSandbox, offer: str, typed: bool
) -> None:
    client = await sandbox()
    session = json.dumps({"type": "realtime", "model": "gpt-realtime-2.1-mini"})
    form = FormData(default_to_multipart=True)
    form.add_field("sdp", offer, content_type="application/sdp" if typed else None)
    form.add_field("session", session, content_type="application/json" if typed else None)
    async with client.post(CALLS, data=form, headers=BEARER) as answer:
        assert answer.status == 201, await answer.text()
        location = answer.headers["Location"]
    listed = (await (await client.get("/_sandbox/calls")).json())["calls"]
    assert location == f"{CALLS}/{listed[0]['call_id']}"
    assert listed[0]["model"] == "gpt-realtime-2.1-mini"


async def test_a_static_answer_matches_the_offers_m_lines(
    sandbox: MakeSandbox, minted: Minted, offer: str
) -> None:
    client = await sandbox()
    video = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:2\r\na=rtpmap:96 VP8/90000\r\n"
    headers = {"Authorization": f"Bearer {await minted(client)}", "Content-Type": "application/sdp"}
    async with client.post(CALLS, data=offer + video, headers=headers) as answer:
        text = await answer.text()
    assert answer.status == 201
    lines = text.split("\r\n")
    assert [line.split()[0:2] for line in lines if line.startswith("m=")] == [
        ["m=audio", "9"],
        ["m=application", "9"],
        ["m=video", "0"],
    ]
    assert [line for line in lines if line.startswith("a=mid:")] == ["a=mid:0", "a=mid:1", "a=mid:2"]
    assert "a=group:BUNDLE 0 1" in lines
    assert text.count("a=setup:active") == 2


async def test_a_real_client_accepts_the_static_answer(sandbox: MakeSandbox, minted: Minted) -> None:
    from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

    client = await sandbox()
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    try:
        connection.addTransceiver("audio")
        connection.createDataChannel("oai-events")
        await connection.setLocalDescription()
        headers = {"Authorization": f"Bearer {await minted(client)}", "Content-Type": "application/sdp"}
        sdp = connection.localDescription.sdp
        async with client.post(CALLS, data=sdp, headers=headers) as answer:
            await connection.setRemoteDescription(RTCSessionDescription(await answer.text(), "answer"))
        assert connection.signalingState == "stable"
    finally:
        await connection.close()


async def test_a_static_call_can_be_hung_up_once(sandbox: MakeSandbox, minted: Minted, offer: str) -> None:
    client = await sandbox()
    headers = {"Authorization": f"Bearer {await minted(client)}", "Content-Type": "application/sdp"}
    async with client.post(CALLS, data=offer, headers=headers) as answer:
        location = answer.headers["Location"]

    async def hang_up() -> int:
        async with client.post(f"{location}/hangup", headers=BEARER) as answer:
            return answer.status

    assert sorted(await asyncio.gather(*(hang_up() for _ in range(5)))) == [200, 404, 404, 404, 404]


async def test_the_journal_tells_what_arrived_and_is_bounded_and_cleared(sandbox: MakeSandbox) -> None:
    client = await sandbox(journal_size=3)
    for number in range(5):
        body = {"session": {"type": "realtime", "n": number}}
        async with client.post(SECRETS, params={"n": number}, json=body, headers=BEARER) as answer:
            assert answer.status == 200
    entries = (await (await client.get("/_sandbox/requests")).json())["requests"]
    assert [e["query"] for e in entries] == ["n=2", "n=3", "n=4"]
    last = entries[-1]
    sent = json.dumps({"session": {"type": "realtime", "n": 4}}).encode()
    assert (last["method"], last["path"], last["status"]) == ("POST", SECRETS, 200)
    assert (last["body_size"], last["body_sha256"]) == (len(sent), hashlib.sha256(sent).hexdigest())
    assert ["Authorization", BEARER["Authorization"]] in last["headers"]
    async with client.delete("/_sandbox/requests") as answer:
        assert answer.status == 204
    assert (await (await client.get("/_sandbox/state")).json())["requests"] == {}


async def test_a_mint_takes_as_long_as_it_was_told(sandbox: MakeSandbox, minted: Minted, offer: str) -> None:
    client = await sandbox(mint_seconds=0.3)
    with no_sooner_than(0.3):
        key = await minted(client)
    assert await call(client, key, offer) == 201
