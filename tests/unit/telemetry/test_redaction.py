"""Everything that looks like a credential is masked in foreign text, and nothing can forge a line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.handles.keyring import parse_signing_ring
from app.handles.tokens import HandleIssuer, new_handle_id
from app.telemetry.redaction import MASK, one_safe_line, redact
from tests.unit.values import NOW, ring

HANDLE = HandleIssuer(parse_signing_ring(ring("k")), prefix="ek_", clock=lambda: NOW).issue(
    new_handle_id(), expires_at=int(NOW) + 600
)

CREDENTIALS = {
    "a standard key": "sk-proj-unit7Qz4YtWmP1nXcVbKjHgFdSaRe9876",
    "an old standard key": "sk-abcdefghijklmnopqrstuvwxyz",
    "a half masked key": "sk-proj-********************************4f2a",
    "an ephemeral key": "ek_68af296e8e408191a1120ab6383263c2",
    "our handle": HANDLE,
    "our handle without its prefix": HANDLE.removeprefix("ek_"),
    "an unsigned token": "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.",
    "a client key": "ck_P3v9mJ2sT8wXq1nRb5kZ",
    "a session key": "sess-9fJd83hdKq0",
    "an older key of Azure": "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
    "a newer key of Azure": "7Qz4YtWmP1nXcVbKjHgFdSaRe9876" * 3,
}


@pytest.mark.parametrize(
    "line",
    [
        '<turn:t.example>; rel="ice-server"; username="1:u"; credential="u2yJ3m0bq8kE5sY="',
        '{"urls": ["turn:t.example"], "username": "1:u", "credential": "u2yJ3m0bq8kE5sY="}',
        '{"urls":["turn:t.example"],"credential":"u2yJ3m0bq8kE5sY=","username":"1:u"}',
    ],
)
def test_the_password_of_a_turn_server_is_masked_where_it_is_named(line: str) -> None:
    assert "u2yJ3m0bq8kE5sY" not in redact(line)
    assert "turn:t.example" in redact(line)


@pytest.mark.parametrize("credential", CREDENTIALS.values(), ids=CREDENTIALS.keys())
@pytest.mark.parametrize(
    "sentence",
    [
        "{}",
        "Incorrect API key provided: {}.",
        '{{"error": "{}"}}',
        "key='{}', retry",
        "https://host/path?key={}&x=1",
        "<b>{}</b>",
        "({})",
        "line\n{}\nline",
    ],
)
def test_a_credential_in_a_sentence_is_masked(credential: str, sentence: str) -> None:
    line = redact(sentence.format(credential))
    assert MASK in line
    assert credential not in line
    # Nor a usable part of it: what is left over is shorter than anybody's random part.
    assert not any(credential[at : at + 8] in line for at in range(len(credential) - 7))


@pytest.mark.parametrize(
    ("url", "hidden"),
    [
        ("redis://default:hunter2hunter2@cache:6379/0", "hunter2"),
        ("rediss://:p%40ss@cache", "p%40ss"),
        ("redis://user:p@ss@cache:6379", "p@ss"),
        ("redis://user:p@ss@cache:6379", "ss@"),
        ("https://operator:opensesame@proxy.example/path", "opensesame"),
    ],
)
def test_user_and_password_of_a_url_are_masked_and_its_host_is_kept(url: str, hidden: str) -> None:
    line = redact(f"cannot connect to {url}: refused")
    assert hidden not in line
    assert f"://{MASK}@" in line
    assert "refused" in line


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_bearer_token_of_any_form_is_masked(scheme: str) -> None:
    line = redact(f"Authorization: {scheme} short1, next")
    assert "short1" not in line
    assert line.endswith(f"{scheme} {MASK}, next")


@pytest.mark.parametrize(
    "sentence",
    [
        "The model `gpt-4o-realtime-preview-2024-12-17` does not exist.",
        "Rate limit reached for gpt-realtime-2.1 on requests per min: Limit 200, Used 200. Try in 7.2s.",
        "No session found for call_id: rtc_u1_9c6574da8b8a41a18da9308f4ad974ce",
        "The task_manager asked a desk-clerk; risk-averse, she said no.",
        "See https://go.microsoft.com/fwlink/?linkid=2197993 or write to help@example.com",
        "Request 7c1d0f9e-4b53-4f0a-9a3e-2d6f8b1c5e70 failed at 2026-11-12T15:37:03Z.",
    ],
)
def test_an_honest_sentence_stays_as_it_is(sentence: str) -> None:
    assert redact(sentence) == sentence


@given(text=st.text(max_size=400))
def test_a_safe_line_has_no_control_character_and_keeps_to_its_limit(text: str) -> None:
    line = one_safe_line(text, limit=80)
    assert len(line) <= 80
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 or char in "\u2028\u2029" for char in line)
    assert line == line.strip()


def test_a_safe_line_cannot_forge_a_second_one() -> None:
    assert one_safe_line("no\r\nSet-Cookie: a=b\x00\x1b[2J") == r"no Set-Cookie: a=b\u0000\u001b[2J"
    shown = r"all\u202e nekot\u2066 is\u200b well\ufeff"
    assert one_safe_line("all\u202e nekot\u2066 is\u200b well\ufeff") == shown
    # An escape in front of a credential must not hide where it begins.
    secret = CREDENTIALS["a standard key"]
    assert one_safe_line(f"key \u200b{secret}") == rf"key \u200b{MASK}"


def test_a_line_that_is_too_long_is_cut_with_a_sign() -> None:
    line = one_safe_line("word " * 300, limit=50)
    assert len(line) == 50
    assert line.endswith("…")


def test_a_credential_across_the_cut_is_still_masked() -> None:
    secret = CREDENTIALS["a standard key"]
    line = one_safe_line("x " * 20 + secret, limit=50)
    assert secret[:8] not in line


@given(text=st.text("sk-ek_Bearer eyJ.:/@0a", max_size=120))
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    once = redact(text)
    assert redact(once).replace(MASK, "") == once.replace(MASK, "")
