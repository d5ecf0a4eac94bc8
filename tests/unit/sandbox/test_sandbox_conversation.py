"""The partner is worth talking to: events in GA names and shapes, speech in and out."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest
from openai.types.realtime import RealtimeServerEvent, RealtimeTranslationServerEvent
from pydantic import TypeAdapter

from app.sandbox.conversation.outbox import Outbox
from app.sandbox.conversation.sessions import session_defaults
from app.sandbox.conversation.turns import Conversation
from app.sandbox.peer.voice import VoiceTrack, speech

if TYPE_CHECKING:
    from tests.unit.sandbox.conftest import Browser, MakeBrowser, MakeSandbox

Minted = Callable[..., Awaitable[str]]
SERVER_EVENT: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)
TRANSLATION_EVENT: TypeAdapter[Any] = TypeAdapter(RealtimeTranslationServerEvent)
TOOL = {"type": "function", "name": "get_weather", "parameters": {"type": "object", "properties": {}}}


def strictly(event: dict[str, Any]) -> None:
    """The official SDK's types accept the event as what it says it is."""
    assert SERVER_EVENT.validate_python(event).type == event["type"]


def say(page: Browser, text: str) -> None:
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    page.send("conversation.item.create", item=item)
    page.send("response.create")


def speak(microphone: VoiceTrack, words: str) -> None:
    utterance = microphone.say()
    utterance.feed(speech(words))
    utterance.finish()


@pytest.fixture
async def page(sandbox: MakeSandbox, browser: MakeBrowser, minted: Minted) -> Browser:
    """A connected page whose session was created."""
    client = await sandbox(peer="webrtc")
    one = browser()
    await one.call(client, await minted(client))
    await one.event("session.created")
    return one


async def test_a_typed_message_is_answered_in_the_ga_order_with_audible_speech(page: Browser) -> None:
    page.send("session.update", session={"type": "realtime", "instructions": "Be brief."})
    assert (await page.event("session.updated"))["session"]["instructions"] == "Be brief."
    quiet = page.loudest
    say(page, "good morning")
    done = await page.event("response.done")
    await page.event("output_audio_buffer.stopped")
    assert page.loudest > 10 * quiet
    assert page.loudest > 1000
    said = "".join(e["delta"] for e in page.events if e["type"] == "response.output_audio_transcript.delta")
    assert said == "You said: good morning"
    assert done["response"]["status"] == "completed"
    assert done["response"]["output"][0]["content"][0]["transcript"] == said
    assert done["response"]["usage"]["output_tokens"] > 0
    for event in page.events:
        strictly(event)
    order = [kind for kind in page.kinds if not kind.endswith(".delta")]
    assert order == [
        "session.created",
        "session.updated",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "output_audio_buffer.started",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
        "output_audio_buffer.stopped",
    ]


async def test_a_cancelled_response_says_so_and_a_second_cancel_is_an_error(page: Browser) -> None:
    say(page, " ".join(["word"] * 30))
    await page.event("response.output_audio_transcript.delta")
    page.send("response.cancel")
    done = await page.event("response.done", 1.0)
    assert done["response"]["status"] == "cancelled"
    assert done["response"]["status_details"]["reason"] == "client_cancelled"
    page.send("output_audio_buffer.clear")
    await page.event("output_audio_buffer.cleared", 1.0)
    page.send("response.cancel", event_id="mine")
    error = await page.event("error")
    assert error["error"]["code"] == "response_cancel_not_active"
    assert error["error"]["event_id"] == "mine"


@pytest.mark.parametrize(
    ("event", "code", "param"),
    [
        ({"type": "session.jump", "event_id": "e1"}, "invalid_value", "type"),
        ({"type": "session.update"}, "missing_required_parameter", "session"),
        ({"type": "session.update", "session": {}}, "missing_required_parameter", "session.type"),
        (
            {"type": "session.update", "session": {"type": "transcription"}},
            "invalid_session_type",
            "session.type",
        ),
        (
            {"type": "session.update", "session": {"type": "realtime", "voice": "ash"}},
            "unknown_parameter",
            "session.voice",
        ),
        ({"type": "conversation.item.create"}, "missing_required_parameter", "item"),
        (
            {
                "type": "conversation.item.create",
                "item": {"type": "message", "role": "user", "content": [{"type": "text"}]},
            },
            "invalid_value",
            "item.content[0].type",
        ),
        ({"type": "conversation.item.delete", "item_id": "item_x"}, "item_not_found", "item_id"),
        ({"type": "response.create", "response": []}, None, None),
        ({"type": "response.create", "response": "x"}, "invalid_type", "response"),
        ({"type": "input_audio_buffer.append", "audio": ""}, "invalid_event_for_session_type", "type"),
        ({"type": "input_audio_buffer.commit"}, "input_audio_buffer_commit_empty", None),
        ([], "invalid_value", "type"),
        ("no json", "invalid_json", None),
    ],
)
async def test_a_bad_event_is_answered_with_its_error_and_the_session_goes_on(
    event: Any, code: str | None, param: str | None
) -> None:
    channel = RecordingChannel()
    session = session_defaults("realtime", {})
    talk = Conversation(session, Outbox(filtered=False), VoiceTrack(), lambda work: work.close(), "")
    talk.open(channel)  # type: ignore[arg-type]
    talk.received(event if isinstance(event, str) else json.dumps(event))
    refused = [e for e in channel.events if e["type"] == "error"]
    if code is None:
        assert refused == []
        return
    strictly(refused[0])
    error = refused[0]["error"]
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", code, param)
    assert error["event_id"] == (event.get("event_id") if isinstance(event, dict) else None)
    talk.received('{"type":"input_audio_buffer.clear"}')
    assert channel.events[-1]["type"] == "input_audio_buffer.cleared"


class RecordingChannel:
    """An open data channel that keeps what is sent."""

    readyState = "open"  # noqa: N815 - the name is WebRTC's

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def send(self, text: str) -> None:
        self.events.append(json.loads(text))


async def test_speech_on_the_track_takes_a_turn_and_is_answered(
    sandbox: MakeSandbox, browser: MakeBrowser, minted: Minted
) -> None:
    client = await sandbox(peer="webrtc")
    microphone = VoiceTrack()
    page = browser(microphone)
    await page.call(client, await minted(client))
    await page.event("session.created")
    speak(microphone, "one two three")
    done = await page.event("response.done", 8.0)
    assert page.kinds[1:6] == [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
    ]
    started, stopped, committed = page.events[1:4]
    assert started["item_id"] == stopped["item_id"] == committed["item_id"]
    assert 500 < stopped["audio_end_ms"] - started["audio_start_ms"] < 3000
    assert "seconds of speech" in done["response"]["output"][0]["content"][0]["transcript"]
    for event in page.events:
        strictly(event)


async def test_a_message_that_names_a_tool_calls_it_and_its_output_is_read_out(page: Browser) -> None:
    page.send("session.update", session={"type": "realtime", "tools": [TOOL]})
    say(page, "please get_weather now")
    called = await page.event("response.function_call_arguments.done")
    assert called["name"] == "get_weather"
    await page.event("response.done")
    output = {"type": "function_call_output", "call_id": called["call_id"], "output": "sunny"}
    page.send("conversation.item.create", item=output)
    page.send("response.create", response={"output_modalities": ["text"]})
    assert (await page.event("response.output_text.done"))["text"] == "The tool answered: sunny"


async def test_azures_filter_hides_the_session_tools_and_errors_from_the_browser(
    sandbox: MakeSandbox, browser: MakeBrowser, minted: Minted
) -> None:
    client = await sandbox(peer="webrtc")
    base = "/openai/v1/realtime"
    session = {
        "type": "realtime",
        "model": "voice-prod",
        "instructions": "a secret prompt",
        "tools": [TOOL],
    }
    key = await minted(client, f"{base}/client_secrets", session=session)
    page = browser()
    await page.call(client, key, f"{base}/calls?webrtcfilter=on")
    await page.until(lambda: page.channel.readyState == "open")
    page.send("no.such.event")
    say(page, "get_weather")
    say(page, "good morning")
    await page.event("output_audio_buffer.stopped")
    assert set(page.kinds) <= {
        "conversation.item.added",
        "output_audio_buffer.started",
        "output_audio_buffer.stopped",
        "response.output_audio_transcript.delta",
        "response.output_audio_transcript.done",
    }
    assert "secret prompt" not in str(page.events)
    assert "function_call" not in str(page.events)


async def test_a_transcription_session_transcribes_and_never_responds(
    sandbox: MakeSandbox, browser: MakeBrowser, minted: Minted
) -> None:
    client = await sandbox(peer="webrtc")
    session = {"type": "transcription", "audio": {"input": {"transcription": {"model": "whisper-1"}}}}
    microphone = VoiceTrack()
    page = browser(microphone)
    await page.call(client, await minted(client, session=session))
    assert (await page.event("session.created"))["session"]["type"] == "transcription"
    speak(microphone, "one two three")
    heard = await page.event("conversation.item.input_audio_transcription.completed", 8.0)
    assert heard["transcript"].endswith("seconds of speech")
    page.send("response.create")
    assert (await page.event("error"))["error"]["code"] == "invalid_event_for_session_type"
    assert "response.created" not in page.kinds
    for event in page.events:
        strictly(event)


async def test_a_translation_session_speaks_after_the_speaker_in_its_own_events(
    sandbox: MakeSandbox, browser: MakeBrowser, minted: Minted
) -> None:
    client = await sandbox(peer="webrtc")
    base = "/v1/realtime/translations"
    audio = {"input": {"transcription": {"model": "whisper-1"}}, "output": {"language": "fr"}}
    session = {"model": "gpt-realtime-translate", "audio": audio}
    microphone = VoiceTrack()
    page = browser(microphone)
    await page.call(client, await minted(client, f"{base}/client_secrets", session=session), f"{base}/calls")
    await page.event("session.created")
    page.send("session.update", session={"audio": {"output": {"language": "de"}}})
    await page.event("session.updated")
    page.send("session.update", session={"voice": "ash"}, event_id="e")
    assert (await page.event("error"))["error"]["param"] == "session.voice"
    speak(microphone, "one two three")
    await page.event("session.input_transcript.delta", 8.0)
    await page.until(lambda: page.events[-1].get("delta") == " de.")
    await page.until(lambda: page.loudest > 1000)
    page.send("session.close")
    await page.event("session.closed")
    for event in page.events:
        assert TRANSLATION_EVENT.validate_python(event).type == event["type"]


async def test_speech_over_a_response_interrupts_it(
    sandbox: MakeSandbox, browser: MakeBrowser, minted: Minted
) -> None:
    client = await sandbox(peer="webrtc")
    microphone = VoiceTrack()
    page = browser(microphone)
    await page.call(client, await minted(client))
    await page.event("session.created")
    say(page, " ".join(["word"] * 30))
    await page.event("output_audio_buffer.started")
    speak(microphone, "wait wait wait")
    await page.event("output_audio_buffer.cleared")
    done = await page.event("response.done")
    assert done["response"]["status"] == "cancelled"
    assert done["response"]["status_details"]["reason"] == "turn_detected"


async def test_a_second_response_waits_for_the_first(page: Browser) -> None:
    say(page, "one two three four")
    page.send("response.create")
    error = await page.event("error")
    assert error["error"]["code"] == "conversation_already_has_active_response"
    assert (await page.event("response.done"))["response"]["status"] == "completed"


async def test_a_greeting_is_spoken_when_the_channel_opens(
    sandbox: MakeSandbox, browser: MakeBrowser, minted: Minted
) -> None:
    client = await sandbox(peer="webrtc", greeting="Good day.")
    page = browser()
    await page.call(client, await minted(client))
    done = await page.event("response.output_audio_transcript.done")
    assert done["transcript"] == "Good day."
    await page.until(lambda: page.loudest > 1000)
