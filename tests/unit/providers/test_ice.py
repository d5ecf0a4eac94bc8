"""ICE servers in the forms in which they are told, and the credential of a shared secret."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.providers.ice import MAX_SERVERS, IceServer, as_json, as_links, read_ice_servers, turn_credential


@pytest.mark.parametrize(
    ("found", "servers"),
    [
        ([{"urls": "stun:a"}], (IceServer(("stun:a",)),)),
        (
            [{"urls": ["stun:a", "turn:a"], "username": "u", "credential": "c"}],
            (IceServer(("stun:a", "turn:a"), "u", "c"),),
        ),
        # A relay without a whole credential would make a browser's constructor throw.
        ([{"urls": ["stun:a", "turn:a"], "username": "u"}], (IceServer(("stun:a",)),)),
        ([{"urls": ["turn:a"]}, {"urls": "http://a"}, {"urls": 7}, {}, "stun:a", None], ()),
        ([{"urls": ["stun:a\r\nSet-Cookie: x", "stun:b"]}], (IceServer(("stun:b",)),)),
        ([{"urls": "turn:a", "username": "u\n", "credential": "c"}], ()),
        (
            [{"urls": f"stun:{number}"} for number in range(100)],
            tuple(IceServer((f"stun:{n}",)) for n in range(MAX_SERVERS)),
        ),
        ({"urls": "stun:a"}, ()),
        (None, ()),
    ],
)
def test_what_no_browser_would_take_is_left_out(found: Any, servers: tuple[IceServer, ...]) -> None:
    assert read_ice_servers(found) == servers


def test_a_server_is_read_from_what_it_is_written_as() -> None:
    server = IceServer(("turn:a:1?transport=tcp", "stun:b"), "1:u", "c=")
    assert read_ice_servers([as_json(server)]) == (server,)
    assert as_json(IceServer(("stun:a",))) == {"urls": ["stun:a"]}


def test_only_a_relays_link_has_a_credential() -> None:
    stun, turn = as_links(IceServer(("stun:a", "turn:a"), "u", "c"))
    assert stun == '<stun:a>; rel="ice-server"'
    assert turn == '<turn:a>; rel="ice-server"; username="u"; credential="c"; credential-type="password"'


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=40))
def test_no_text_breaks_out_of_a_links_quotes(text: str) -> None:
    (link,) = as_links(IceServer(("turn:a",), text, text))
    quoted = link.split("username=", 1)[1]
    read, rest = _unquoted(quoted)
    assert read == text
    assert _unquoted(rest.removeprefix("; credential="))[0] == text


def _unquoted(quoted: str) -> tuple[str, str]:
    """A quoted-string's text, and what comes after it (RFC 9110, section 5.6.4)."""
    assert quoted.startswith('"')
    text, at = "", 1
    while quoted[at] != '"':
        at += quoted[at] == "\\"
        text, at = text + quoted[at], at + 1
    return text, quoted[at + 1 :]


def test_the_credential_is_what_openssl_computes() -> None:
    username, password = turn_credential(b"north wind", "user", expires_at=1_795_786_200)
    assert username == "1795786200:user"
    digest = subprocess.run(
        "printf %s 1795786200:user | openssl dgst -sha1 -hmac 'north wind' -binary | openssl base64",
        shell=True,
        check=True,
        capture_output=True,
        text=True,
    )
    assert password == digest.stdout.strip()
