"""Reading answers: what a whole one is, wherever the network cuts it, and that anything else is refused."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.outbound.http1 import (
    MAX_ANSWER_BYTES,
    MAX_HEAD_BYTES,
    MAX_INTERIM_ANSWERS,
    AnswerReader,
    Fields,
    Malformed,
)
from app.providers.base import UpstreamResponse

OK = b"HTTP/1.1 200 OK\r\n"
TWO = b"Content-Length: 2\r\n\r\nhi"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


@dataclass(frozen=True)
class Answer:
    """What a reader made of some bytes, and whether more could follow on the connection."""

    status: int
    fields: Mapping[str, str]
    body: bytes
    reusable: bool


def seen(reader: AnswerReader, response: UpstreamResponse) -> Answer:
    return Answer(response.status, dict(response.headers), response.body, reader.reusable)


def read(*pieces: bytes, then_end: bool = False) -> Answer | None:
    reader = AnswerReader()
    for piece in pieces:
        response = reader.feed(piece)
        if response is not None:
            return seen(reader, response)
    return seen(reader, reader.end()) if then_end else None


def whole(*pieces: bytes, then_end: bool = False) -> Answer:
    answer = read(*pieces, then_end=then_end)
    assert answer is not None
    return answer


@pytest.mark.parametrize(
    ("text", "body", "reusable"),
    [
        pytest.param(OK + TWO, b"hi", True, id="a length"),
        pytest.param(OK + b"Content-Length: 0\r\n\r\n", b"", True, id="no body"),
        pytest.param(OK + CHUNKED + b"\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n", b"hi", True, id="chunks"),
        pytest.param(OK + CHUNKED + b"\r\n2;a=b\r\nhi\r\n0\r\nX: y\r\n\r\n", b"hi", True, id="trailers"),
        pytest.param(OK + b"Connection: close\r\n" + TWO, b"hi", False, id="announced end"),
        pytest.param(b"HTTP/1.0 200 OK\r\n" + TWO, b"hi", False, id="HTTP/1.0"),
        pytest.param(
            b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + TWO, b"hi", True, id="HTTP/1.0 that stays"
        ),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + OK + TWO, b"hi", True, id="100"),
        pytest.param(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 3 + OK + TWO, b"hi", True, id="103"),
        pytest.param(b"HTTP/1.1 200\r\n" + TWO, b"hi", True, id="no reason"),
        pytest.param(OK + b"Upgrade: h2\r\nConnection: Upgrade\r\n" + TWO, b"hi", True, id="an offer of h2"),
        pytest.param(OK + TWO + b"more", b"hi", False, id="surplus"),
        pytest.param(OK + TWO + OK + TWO, b"hi", False, id="a second answer"),
        pytest.param(OK + b"Connection: close\r\n" + TWO + b"more", b"hi", False, id="surplus at the end"),
    ],
)
def test_an_answer_is_whole_where_its_framing_says(text: bytes, body: bytes, reusable: bool) -> None:
    answer = whole(text)
    assert (answer.status, answer.body, answer.reusable) == (200, body, reusable)
    assert not {"link", "x"} & answer.fields.keys()


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
@pytest.mark.parametrize(
    ("fields", "reusable"), [(b"", True), (b"Content-Length: 5\r\n", False), (CHUNKED, False)]
)
def test_an_answer_that_can_have_no_body_is_whole_after_its_head(
    status: bytes, fields: bytes, reusable: bool
) -> None:
    answer = whole(b"HTTP/1.1 " + status + b"\r\n" + fields + b"\r\n")
    assert (answer.body, answer.reusable) == (b"", reusable)


def test_without_a_length_the_end_of_the_connection_is_the_end_of_the_answer() -> None:
    answer = whole(OK + b"Date: now\r\n\r\nh", b"i", then_end=True)
    assert (answer.body, answer.reusable, answer.fields["date"]) == (b"hi", False, "now")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        OK,
        OK + b"Content-Length: 3\r\n\r\nhi",
        OK + CHUNKED + b"\r\n5\r\nhi",
        OK + CHUNKED + b"\r\n2\r\nhi\r\n0\r\n",
        OK + b"Transfer-Encoding: gzip\r\n\r\nhi",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
)
def test_an_end_before_the_answer_is_whole_leaves_no_answer(text: bytes) -> None:
    with pytest.raises(Malformed):
        read(text, then_end=True)


@pytest.mark.parametrize(
    "text",
    [
        b"ICY 200 OK\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        OK + b" Folded: x\r\n\r\n",
        OK + b"X : y\r\n\r\n",
        OK + b"X: a\r\n b\r\n" + TWO,
        OK + b"X: a\rb\r\n\r\n",
        OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi",
        OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
        OK + b"Content-Length: 2, 2\r\n\r\nhi",
        OK + b"Content-Length: +2\r\n\r\nhi",
        OK + b"Content-Length: 0x2\r\n\r\nhi",
        OK + b"Content-Length: 2\x00\r\n\r\nhi",
        OK + b"Content-Length:\r\n\r\nhi",
        OK + b"Transfer-Encoding: xchunked\r\n" + TWO,
        b"HTTP/1.1 200 O\rK\r\n" + TWO,
        OK + b"X: a\x00b\r\n" + TWO,
        OK + b"X: a\nb\r\n" + TWO,
        OK + b"X\x00: a\r\n" + TWO,
        OK + "X\u202e: a\r\n".encode() + TWO,
        OK + b": a\r\n" + TWO,
        OK + CHUNKED + b"\r\n2 \r\nhi\r\n0\r\n\r\n",
        OK + CHUNKED + b"\r\n2\nhi\r\n0\r\n\r\n",
        OK + CHUNKED + b"\r\n0x2\r\nhi\r\n0\r\n\r\n",
        OK + CHUNKED + b"\r\n2;a=\x00\r\nhi\r\n0\r\n\r\n",
        OK + CHUNKED + b"\r\n2\r\nhi\r\n0\r\nX: a\x00\r\n\r\n",
        OK + b"Content-Length: 99999999999999999999999\r\n\r\nhi",
        OK + CHUNKED + TWO,
        OK + CHUNKED + b"\r\n-1\r\nhi\r\n",
        OK + CHUNKED + b"\r\n2\r\nhix\r\n",
        OK + CHUNKED + b"\r\nfffffffffffffffff\r\nhi",
    ],
)
def test_what_is_ambiguous_or_no_http_is_refused(text: bytes) -> None:
    with pytest.raises(Malformed):
        read(text)


def test_a_body_may_be_as_large_as_the_cap_and_no_larger() -> None:
    for sized in (OK + b"Content-Length: %d\r\n\r\n", OK + CHUNKED + b"\r\n%x\r\n"):
        fits, too_large = MAX_ANSWER_BYTES, MAX_ANSWER_BYTES + 1
        end = b"\r\n0\r\n\r\n" if b"%x" in sized else b""
        assert len(whole(sized % fits, b"x" * fits + end).body) == fits
        with pytest.raises(Malformed):
            read(sized % too_large, b"x" * too_large + end)
    with pytest.raises(Malformed):
        read(OK + b"\r\n" + b"x" * (MAX_ANSWER_BYTES + 1), then_end=True)


@pytest.mark.parametrize("step", [1, 1000, 2 * MAX_HEAD_BYTES])
def test_a_head_beyond_its_cap_is_refused_however_it_comes(step: int) -> None:
    text = OK + b"".join(b"X-%d: %s\r\n" % (number, b"x" * 1000) for number in range(70)) + TWO
    with pytest.raises(Malformed):
        read(*(text[at : at + step] for at in range(0, len(text), step)))


def test_a_small_head_with_a_large_body_in_one_piece_is_read() -> None:
    size = MAX_HEAD_BYTES * 2
    assert len(whole(OK + b"Content-Length: %d\r\n\r\n" % size + b"x" * size).body) == size


@pytest.mark.parametrize("number", [MAX_INTERIM_ANSWERS, MAX_INTERIM_ANSWERS + 1, 5000])
def test_interim_answers_beyond_a_number_are_refused_however_they_come(number: int) -> None:
    hints = [b"HTTP/1.1 103 Early Hints\r\n\r\n"] * number
    for pieces in (hints, [b"".join(hints)], [b"".join([*hints, OK, TWO])], [*hints, OK + TWO]):
        if number <= MAX_INTERIM_ANSWERS:
            whole_one = OK in pieces[-1]
            assert (read(*pieces) is not None) is whole_one
            continue
        with pytest.raises(Malformed):
            read(*pieces)


def test_the_same_reader_reads_the_next_answer_with_nothing_left_of_the_first() -> None:
    reader = AnswerReader()
    reader.feed(OK + b"X-One: 1\r\n" + CHUNKED + b"\r\n2\r\nhi\r\n0\r\nTrailer: t\r\n\r\n")
    reader.reset()
    second = reader.feed(b"HTTP/1.1 404 Not Found\r\nX-Two: 2\r\nContent-Length: 0\r\n\r\n")
    assert second is not None
    assert seen(reader, second) == Answer(404, {"x-two": "2", "content-length": "0"}, b"", True)


def test_a_closed_reader_reads_nothing() -> None:
    reader = AnswerReader()
    reader.close()
    with pytest.raises(Malformed):
        reader.feed(OK + TWO)


_TOKEN = st.text("abcXYZ019-_!~", min_size=1, max_size=8).filter(
    lambda name: name.lower() not in ("te", "connection", "upgrade")
)
_VALUE = st.binary(max_size=20).map(lambda raw: bytes(c for c in raw if c > 32 and c != 127))
_BODY = st.binary(max_size=300)


@st.composite
def _answers(draw: st.DrawFn) -> bytes:
    fields = draw(st.lists(st.tuples(_TOKEN, _VALUE), max_size=6))
    head = b"".join(b"x-" + name.encode() + b": " + value + b"\r\n" for name, value in fields)
    interim = draw(st.sampled_from([b"", b"HTTP/1.1 103 Hints\r\nLink: a\r\n\r\n"]))
    status = draw(st.sampled_from([b"200 OK", b"201 Created", b"429 ", b"503 Service Unavailable"]))
    start = interim + b"HTTP/1.1 " + status + b"\r\n" + head
    body = draw(_BODY)
    if draw(st.booleans()):
        return start + b"Content-Length: %d\r\n\r\n" % len(body) + body
    pieces = draw(st.lists(st.binary(min_size=1, max_size=40), max_size=5))
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    trailers = draw(st.sampled_from([b"", b"X-Sum: 1\r\n"]))
    return start + CHUNKED + b"\r\n" + chunks + b"0\r\n" + trailers + b"\r\n"


def _cut(text: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[a:b] for a, b in itertools.pairwise(places)]


@given(_answers(), st.lists(st.integers(0, 2000), max_size=12))
def test_however_the_network_cuts_an_answer_it_reads_the_same(text: bytes, cuts: list[int]) -> None:
    expected = whole(text)
    assert read(*_cut(text, cuts)) == expected
    assert read(*(text[at : at + 1] for at in range(len(text)))) == expected


@given(_answers(), st.integers(0, 4000), st.binary(max_size=6), st.lists(st.integers(0, 2000), max_size=6))
def test_a_spoilt_answer_is_read_or_refused_alike_however_it_is_cut(
    text: bytes, place: int, spoiling: bytes, cuts: list[int]
) -> None:
    at = place % (len(text) + 1)
    spoilt = text[:at] + spoiling + text[at + len(spoiling) :]

    def outcome(pieces: list[bytes]) -> object:
        try:
            answer = read(*pieces, then_end=True)
        except Malformed:
            return None
        assert answer is not None
        # How much of a surplus was there in time to be seen is the network's doing.
        return answer.status, answer.fields, answer.body

    assert outcome([spoilt]) == outcome(_cut(spoilt, cuts))


@given(st.lists(st.binary(max_size=200), max_size=8), st.sampled_from([b"", b"HTTP/1.1 ", OK, OK + CHUNKED]))
def test_bytes_of_any_kind_make_an_answer_or_a_refusal(pieces: list[bytes], start: bytes) -> None:
    try:
        answer = read(start, *pieces, then_end=True)
    except Malformed:
        return
    assert answer is not None
    assert 200 <= answer.status <= 999


def test_fields_are_found_whatever_their_case_and_the_first_of_several_counts() -> None:
    fields = Fields([(b"Date", b"now"), (b"SET-COOKIE", b"a"), (b"set-cookie", b"b"), (b"X", b"\xe9")])
    assert (fields["DATE"], fields["Set-Cookie"], fields["x"]) == ("now", "a", "\xe9")
    assert fields.get("Location", "-") == "-"
    assert "dat\xe9" not in fields
    assert dict(fields.items()) == {"date": "now", "set-cookie": "a", "x": "\xe9"}
    assert len(fields) == 3
