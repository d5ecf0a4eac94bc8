"""Writing requests: what a URL comes to, and that nothing can begin a line that was not meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.outbound.http1 import Origin, Unsendable, target_of, written


@pytest.mark.parametrize(
    ("url", "origin", "path", "host"),
    [
        ("https://api.openai.com/v1/x", Origin(True, "api.openai.com", 443), "/v1/x", "api.openai.com"),
        ("https://API.openai.com:443", Origin(True, "api.openai.com", 443), "/", "api.openai.com"),
        ("http://a.test:80/v1?api-version=1&b", Origin(False, "a.test", 80), "/v1?api-version=1&b", "a.test"),
        ("http://a.test:8080/v1#part", Origin(False, "a.test", 8080), "/v1", "a.test:8080"),
        ("http://[::1]:8080/v1", Origin(False, "::1", 8080), "/v1", "[::1]:8080"),
        ("https://[2001:db8::1]/", Origin(True, "2001:db8::1", 443), "/", "[2001:db8::1]"),
        ("http://127.0.0.1/a b", Origin(False, "127.0.0.1", 80), "/a%20b", "127.0.0.1"),
        (
            "https://münchen.test/ü",
            Origin(True, "xn--mnchen-3ya.test", 443),
            "/%C3%BC",
            "xn--mnchen-3ya.test",
        ),
    ],
)
def test_a_url_comes_to_whom_to_connect_and_what_to_ask(
    url: str, origin: Origin, path: str, host: str
) -> None:
    target = target_of(url)
    assert target.origin == origin
    head = written("POST", target, {}, b"").decode().split("\r\n")
    assert head[:2] == [f"POST {path} HTTP/1.1", f"Host: {host}"]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/v1",
        "http://",
        "https://[",
        "https://[::1",
        "ftp://a.test/",
        "http://a.test:0x1/",
        "http://a.test:99999/",
        "http:///v1",
        "http://user:@/v1",
        "redis+cluster://ps:x@/",
        "tt://[::1]user@/",
    ],
)
def test_what_names_no_host_cannot_be_sent_and_is_not_quoted(url: str) -> None:
    with pytest.raises(Unsendable) as failure:
        target_of(url)
    assert str(failure.value) == "no usable URL"


@given(st.text(max_size=40))
def test_no_url_can_begin_a_line_of_its_own(text: str) -> None:
    for url in (f"http://a.test/{text}", f"http://a.test{text}", f"http://{text}"):
        try:
            target = target_of(url)
        except Unsendable:
            continue
        lines = written("POST", target, {}, b"").split(b"\r\n")
        assert lines[0].count(b" ") == 2
        assert [line.partition(b":")[0] for line in lines[1:-2]] == [
            b"Host",
            b"User-Agent",
            b"Accept-Encoding",
            b"Accept",
            b"Content-Length",
        ]


def test_a_request_is_one_text_with_its_length_and_its_body() -> None:
    target = target_of("http://a.test/v1")
    text = written("POST", target, {"Accept": "application/sdp", "api-key": "k"}, b"v=0")
    assert text.endswith(
        b"Accept-Encoding: identity\r\nAccept: application/sdp\r\napi-key: k\r\nContent-Length: 3\r\n\r\nv=0"
    )
    assert b"\r\nContent-Length: 0\r\n\r\n" in written("POST", target, {}, b"")
    assert written("GET", target, {}, None).endswith(b"\r\nAccept: */*\r\n\r\n")


SECRET = "sk-very-secret"


@pytest.mark.parametrize(
    "headers",
    [
        {"api-key": f"{SECRET}\r\nX-Evil: 1"},
        {"api-key": f"{SECRET}\nX-Evil: 1"},
        {"api-key": f"{SECRET}\r"},
        {"api-key": f"{SECRET}\0"},
        {"api-key": f"{SECRET}\x7f"},
        {f"api key {SECRET}": "1"},
        {"": SECRET},
        {"X: y\r\nZ": SECRET},
        {f"{SECRET}:": "1"},
    ],
)
def test_a_field_that_would_break_out_of_its_line_cannot_be_sent_and_is_not_quoted(
    headers: dict[str, str],
) -> None:
    with pytest.raises(Unsendable) as failure:
        written("POST", target_of("http://a.test/"), {"Accept": "*/*", **headers}, b"")
    assert SECRET not in repr(failure.value)


@given(st.dictionaries(st.text(max_size=6), st.text(max_size=12), max_size=4))
def test_what_is_written_has_one_line_for_each_field(headers: dict[str, str]) -> None:
    try:
        text = written("POST", target_of("http://a.test/"), headers, b"")
    except Unsendable:
        return
    lines = text.split(b"\r\n\r\n")[0].split(b"\r\n")
    own = [b"Host", b"User-Agent", b"Accept-Encoding", *([] if "Accept" in headers else [b"Accept"])]
    names = [line.partition(b": ")[0] for line in lines[1:]]
    assert names == [*own, *(name.encode() for name in headers), b"Content-Length"]
    assert text.count(b"\r\n") == text.count(b"\n") == text.count(b"\r")
