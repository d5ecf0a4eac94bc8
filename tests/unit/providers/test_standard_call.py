"""A call that the standard key creates: a form with the offer, byte for byte, and the session as minted."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidRequest, UpstreamError
from app.models import Family, Offer, Secret, StandardCall
from app.providers.registry import PROVIDERS
from app.sandbox.http.requests import multipart_call
from tests.samples import load
from tests.unit.values import EPHEMERAL_KEY, OPENAI_KEY, deployment, mint_request, offer

STANDARD = deployment(call_key="standard", upstream_model="gpt-realtime-2.1")
CALL = StandardCall(session=b'{"type":"realtime","model":"gpt-realtime-2.1"}')


class Arrived:
    """As much of a request as the provider in a box reads a form from."""

    def __init__(self, headers: dict[str, str], body: bytes) -> None:
        self.headers, self.body = headers, body

    async def read(self) -> bytes:
        return self.body


async def parts(sent: Offer, call: StandardCall) -> tuple[bytes, Any]:
    """What a parser that is not ours makes of the form."""
    request = PROVIDERS["openai"].standard_call_request(STANDARD, call, sent)
    arrived: Any = Arrived(dict(request.headers), request.body)
    return await multipart_call(arrived)


def test_the_form_goes_to_calls_with_the_standard_key_only() -> None:
    request = PROVIDERS["openai"].standard_call_request(STANDARD, CALL, offer(b"v=0\r\n"))
    assert request.url == "https://api.openai.com/v1/realtime/calls"
    assert request.headers["Authorization"] == f"Bearer {OPENAI_KEY}"
    assert request.headers["Accept"] == "application/sdp"
    assert EPHEMERAL_KEY not in str(dict(request.headers))
    assert OPENAI_KEY.encode() not in request.body
    boundary = request.headers["Content-Type"].removeprefix("multipart/form-data; boundary=").encode()
    assert request.body == (
        b"--" + boundary + b'\r\nContent-Disposition: form-data; name="sdp"\r\n'
        b"Content-Type: application/sdp\r\n\r\nv=0\r\n\r\n"
        b"--" + boundary + b'\r\nContent-Disposition: form-data; name="session"\r\n'
        b"Content-Type: application/json\r\n\r\n" + CALL.session + b"\r\n--" + boundary + b"--\r\n"
    )


@pytest.mark.parametrize(
    "sdp", [b"v=0\r\n", b"v=0", b"v=0\n\n\n", b"v=0\r\n\r\n--x\r\n", b"v=0\r\ns=\xc3\xa9\r\n", b"\r\n\r\n"]
)
async def test_the_offer_arrives_byte_for_byte(sdp: bytes) -> None:
    assert await parts(offer(sdp), CALL) == (sdp, orjson.loads(CALL.session))


@given(sdp=st.binary(min_size=1, max_size=400), text=st.text(max_size=100))
def test_no_offer_and_no_session_ends_the_form_early(sdp: bytes, text: str) -> None:
    session = orjson.dumps({"type": "realtime", "instructions": text})
    request = PROVIDERS["openai"].standard_call_request(STANDARD, StandardCall(session), offer(sdp))
    boundary = request.headers["Content-Type"].rpartition("=")[2].encode()
    assert boundary not in sdp
    assert boundary not in session
    assert request.body.count(b"--" + boundary) == 3


def test_an_offer_that_quotes_the_boundary_of_another_gets_a_boundary_of_its_own() -> None:
    first = PROVIDERS["openai"].standard_call_request(STANDARD, CALL, offer(b"v=0\r\n"))
    quoted = b"v=0\r\n--" + first.headers["Content-Type"].rpartition("=")[2].encode() + b"\r\n"
    second = PROVIDERS["openai"].standard_call_request(STANDARD, CALL, offer(quoted))
    assert second.headers["Content-Type"] != first.headers["Content-Type"]


@pytest.mark.parametrize(("identifier", "sent"), [("user-hash", "user-hash"), (None, None)])
def test_the_safety_identifier_of_the_mint_goes_along(identifier: str | None, sent: str | None) -> None:
    request = PROVIDERS["openai"].standard_call_request(
        STANDARD, StandardCall(CALL.session, identifier), offer(b"v=0")
    )
    assert request.headers.get("OpenAI-Safety-Identifier") == sent


# --- what is kept at the mint -----------------------------------------------------------------------


def test_the_session_that_was_minted_is_kept_under_the_providers_names() -> None:
    mint = mint_request(session={"model": "assistant", "voice": "marin"}, safety_identifier="user-hash")
    kept = PROVIDERS["openai"].kept_call(STANDARD, mint)
    minted = orjson.loads(PROVIDERS["openai"].mint_request(STANDARD, mint).body)["session"]
    assert (
        orjson.loads(kept.session)
        == minted
        == {
            "model": "gpt-realtime-2.1",
            "voice": "marin",
            "type": "realtime",
        }
    )
    assert (kept.safety_identifier, kept.model) == ("user-hash", "gpt-realtime-2.1")
    assert "marin" not in repr(kept)


def test_a_translation_is_not_created_without_its_ephemeral_key() -> None:
    with pytest.raises(UpstreamError, match="no translation sessions without them"):
        PROVIDERS["openai"].kept_call(STANDARD, mint_request(family=Family.TRANSLATION))
    kept = PROVIDERS["openai"].kept_call(STANDARD, mint_request(family=Family.TRANSCRIPTION))
    assert orjson.loads(kept.session)["type"] == "transcription"


def test_a_session_that_cannot_be_written_is_the_callers_fault() -> None:
    deep: Any = "x"
    for _ in range(300):
        deep = [deep]
    with pytest.raises(InvalidRequest, match="nested too deeply"):
        PROVIDERS["openai"].kept_call(STANDARD, mint_request(session={"deep": deep}))


def test_a_standard_key_that_is_refused_is_not_taken_for_an_ended_ephemeral_key() -> None:
    provider, sample = PROVIDERS["openai"], load("openai/calls-401-expired_key").response
    with pytest.raises(UpstreamError, match="mint a new handle"):
        provider.read_answer(STANDARD, Secret(EPHEMERAL_KEY), sample)
    with pytest.raises(UpstreamError, match=r"Check that deployments\.openai-main\.api_key"):
        provider.read_answer(STANDARD, Secret(OPENAI_KEY), sample)
