"""The readers of providers' answers: a provider that goes mad makes an error in words, and shows no key."""

from __future__ import annotations

from typing import Final

import orjson
from multidict import CIMultiDict

from app.errors import CloakroomError, OutcomeUnknown, UpstreamError
from app.models import Secret
from app.providers.answers import is_sdp_answer
from app.providers.base import UpstreamResponse, is_call_id
from app.providers.dialects.voice_live import EXCHANGE
from app.providers.registry import PROVIDERS
from tests.fuzz.target import PLANTED, Target, without_secrets
from tests.samples import load, names
from tests.unit.values import deployment

_KEY: Final = Secret("ek_fuzz_5f0c2ad9e87b41c6a3d2")
_DEPLOYMENTS: Final = [
    (provider, deployment(name, api_key=Secret(PLANTED))) for name, provider in PROVIDERS.items()
]
_EXCHANGED: Final = 101
_HEADERS: Final = ("Content-Type", "Location", "Retry-After", "Date", "x-request-id")


def check(data: bytes) -> None:
    """A byte that chooses provider and question, a line with the status, one with header values, the body."""
    chosen, rest = (data[0] if data else 0), data[1:]
    line, _, rest = rest.partition(b"\n")
    values, _, body = rest.partition(b"\n")
    digits = line[:3].decode("latin-1")
    status = int(digits) if digits.isascii() and digits.isdecimal() and len(digits) == 3 else 200
    headers = CIMultiDict(
        (name, value.decode("latin-1")) for name, value in zip(_HEADERS, values.split(b"\t"), strict=False)
    )
    if status == _EXCHANGED and not _is_message(body):
        return
    response = UpstreamResponse(status, headers, body)
    provider, at = _DEPLOYMENTS[(chosen >> 2) % len(_DEPLOYMENTS)]
    try:
        if chosen & 3 == 0 and provider.traits.mints:
            key = provider.read_mint(at, response)
            without_secrets(key)
            assert key.value.reveal().isascii()
            assert key.value.reveal().isprintable()
            assert key.expires_at is None or type(key.expires_at) is int
        elif chosen & 3 == 1:
            provider.read_hangup(at, response)
        elif chosen & 3 == 2:
            without_secrets(provider.read_no_sideband(at, response))
        else:
            answer = provider.read_answer(at, _KEY, response)
            assert is_sdp_answer(answer.sdp)
            assert _KEY.reveal().encode() not in answer.sdp
            assert answer.call_id is None or is_call_id(answer.call_id)
    except (UpstreamError, OutcomeUnknown) as error:
        _check_error(error)


def _is_message(body: bytes) -> bool:
    """Whether this can be the message of an exchange, in which the outbound client has read the type."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    types = EXCHANGE.answered_by | EXCHANGE.refused_by
    return isinstance(found, dict) and isinstance(found.get("type"), str) and found["type"] in types


def _check_error(error: CloakroomError) -> None:
    without_secrets(error.message, error.param, error.answer_code, *error.headers.values())
    shown = f"{error.message}{error.param}{error.answer_code}{''.join(error.headers.values())}"
    assert _KEY.reveal() not in shown
    assert not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in shown)
    assert 400 <= error.answer_status <= 599
    assert error.retry_after is None or 0 <= error.retry_after <= 99_999


def _seed(number: int, status: int, values: str, body: bytes) -> bytes:
    return bytes([number]) + f"{status}\n{values}\n".encode() + body


_TYPE: Final = "application/json\t/v1/realtime/calls/rtc_1\t3\tWed, 21 Oct 2026 07:28:00 GMT\treq_1"
_QUESTIONS: Final = {"client_secrets": 0, "hangup": 1, "sideband": 2, "calls": 3}
_NUMBERS: Final = {name: number for number, name in enumerate(PROVIDERS)}

TARGET: Final = Target(
    name="answers",
    check=check,
    share=0.08,
    seeds=(
        *(
            _seed(
                _NUMBERS[one.provider] * 4 + _QUESTIONS.get(one.endpoint, 0),
                one.response.status,
                _TYPE,
                one.response.body,
            )
            for one in map(load, names(*PROVIDERS))
            if len(one.response.body) < 3000
        ),
        *(
            _seed(number, 400, _TYPE, orjson.dumps({"error": {"message": f"bad {PLANTED}", "code": "c"}}))
            for number in range(len(_NUMBERS) * 4)
        ),
        _seed(3, 201, _TYPE, b"v=0\r\nm=audio 9\r\n" + _KEY.reveal().encode()),
        _seed(0, 200, _TYPE, b"[" * 1200),
    ),
    words=(
        b'"error"',
        b'"message"',
        b'"code"',
        b'"param"',
        b'"value"',
        b'"expires_at"',
        b"v=0\r\n",
        b"m=audio ",
    ),
)
