"""What does not show is escaped, everywhere by one function, and nothing else is touched."""

from __future__ import annotations

import sys
import unicodedata

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.telemetry.redaction import legible, legible_json
from tests.support.hidden import HIDDEN

# A line break, an escape and the other control characters move a cursor; these move or hide text.
SHOWN = ["voice-prod", "müller", "Ζωή", "日本語", "नमस्ते", "عربي", "🎙", "a'b\"c\\d", "e\u0301", "—…€"]


@pytest.mark.parametrize("text", SHOWN)
def test_text_of_any_script_is_shown_as_it_is(text: str) -> None:
    assert legible(text) == text
    document = orjson.dumps({text: text})
    assert legible_json(document) == document


@pytest.mark.parametrize(("name", "character"), HIDDEN.items())
def test_what_does_not_show_is_escaped(name: str, character: str) -> None:
    shown = legible(f"a{character}b")
    assert shown.isascii(), name
    assert shown.isprintable()
    assert shown == f"a{character}b".encode("unicode-escape").decode().replace("\\x", "\\u00").replace(
        "\\n", "\\u000a"
    ).replace("\\r", "\\u000d").replace("\\t", "\\u0009")


@pytest.mark.parametrize(("name", "character"), HIDDEN.items())
def test_in_json_it_is_json_s_own_escape(name: str, character: str) -> None:
    document = orjson.dumps({"subject": f"a{character}b"}, option=orjson.OPT_INDENT_2)
    shown = legible_json(document)
    assert orjson.loads(shown) == {"subject": f"a{character}b"}, name
    assert shown.isascii()
    assert shown.replace(b"\n", b"").decode().isprintable()


def test_no_character_that_a_terminal_obeys_or_hides_is_left() -> None:
    """Every one of Unicode: controls, formats, separators of lines, halves of pairs."""
    for number in range(sys.maxunicode + 1):
        character = chr(number)
        if unicodedata.category(character) not in ("Cc", "Cf", "Zl", "Zp", "Cs"):
            continue
        # Signs of Arabic, Syriac and Kaithi numbers show.
        if unicodedata.category(character) == "Cf" and unicodedata.name(character, "").startswith(
            ("ARABIC", "SYRIAC", "KAITHI")
        ):
            continue
        assert legible(character).startswith("\\"), hex(number)


@given(st.text())
def test_what_is_legible_stays_so_and_json_keeps_its_meaning(text: str) -> None:
    once = legible(text)
    assert legible(once) == once
    document = orjson.dumps([text, {"k": text}])
    assert orjson.loads(legible_json(document)) == [text, {"k": text}]
    assert legible_json(legible_json(document)) == legible_json(document)
