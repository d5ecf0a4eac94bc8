"""The provider in a box as LocalAI, speech-to-speech and an open server: each refuses in its own words."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.sandbox.conftest import MakeSandbox

SDP = {"Content-Type": "application/sdp"}
LOCALAI = "/localai/v1/realtime/calls"
SPEECH = "/speech-to-speech/v1/realtime/calls"


async def posted(client: Any, path: str, data: Any, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    async with client.post(path, data=data, headers=headers or {}) as answer:
        plain = answer.content_type != "application/json"
        return answer.status, await (answer.text() if plain else answer.json())


async def test_localai_answers_raw_sdp_with_a_model_and_names_no_call(
    sandbox: MakeSandbox, offer: str
) -> None:
    client = await sandbox()
    async with client.post(f"{LOCALAI}?model=voice", data=offer, headers=SDP) as answer:
        assert answer.status == 201
        assert answer.content_type == "application/sdp"
        assert "Location" not in answer.headers
        assert (await answer.text()).startswith("v=0")


@pytest.mark.parametrize(
    ("query", "data", "headers", "error"),
    [
        ("?model=voice", "v=0", {"Content-Type": "text/plain"}, "invalid request body"),
        ("", "v=0", SDP, "model is required"),
        ("?model=voice", "", SDP, "sdp is required"),
        ("?model=voice", "no offer", SDP, "invalid SDP offer"),
    ],
)
async def test_localais_errors_are_sentences(
    sandbox: MakeSandbox, query: str, data: str, headers: dict[str, str], error: str
) -> None:
    assert await posted(await sandbox(), LOCALAI + query, data, headers) == (400, {"error": error})


async def test_localai_asks_for_a_key_only_where_it_has_some(sandbox: MakeSandbox, offer: str) -> None:
    client = await sandbox(localai_keys=("local-key",))
    status, body = await posted(client, f"{LOCALAI}?model=voice", offer, SDP)
    assert (status, body["error"]["message"]) == (401, "An authentication key is required")
    for key, expected in (("local-key", 201), ("another", 401)):
        headers = SDP | {"Authorization": f"Bearer {key}"}
        assert (await posted(client, f"{LOCALAI}?model=voice", offer, headers))[0] == expected


async def test_speech_to_speech_names_its_call_and_ends_it_by_delete(
    sandbox: MakeSandbox, offer: str
) -> None:
    client = await sandbox()
    async with client.post(SPEECH, data=offer, headers=SDP) as answer:
        assert answer.status == 201
        location = answer.headers["Location"]
    assert location.startswith("/v1/realtime/calls/")
    for expected in (200, 404):
        async with client.delete(f"/speech-to-speech{location}") as ended:
            assert ended.status == expected
    async with client.post(f"/speech-to-speech{location}/hangup") as wrong:
        assert wrong.status == 404


async def test_speech_to_speech_refuses_in_plain_text(sandbox: MakeSandbox, offer: str) -> None:
    client = await sandbox()
    expected = (415, "Content-Type must be application/sdp")
    assert await posted(client, SPEECH, offer, {"Content-Type": "text/plain"}) == expected
    assert await posted(client, SPEECH, "no offer", SDP) == (400, "Invalid SDP offer")


async def test_an_open_server_takes_the_form_alone_and_no_key(sandbox: MakeSandbox, offer: str) -> None:
    client = await sandbox()
    status, body = await posted(client, "/open/v1/realtime/calls", offer, SDP)
    assert status == 400
    assert "multipart/form-data" in body["error"]["message"]
