"""What is known of models that end, what a provider tells, and that no example of ours leads to one."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime
from typing import Any, Final

import pytest

from app.models import USUAL_MODEL
from app.providers.retirement import KNOWN_ENDS, end_of, models_request, read_models
from tests.support.page import ROOT
from tests.unit.providers.responses import response
from tests.unit.values import OPENAI_KEY, deployment

TODAY: Final = date(2026, 11, 27)
# What tells of such models on purpose: the table, the name that old clients use, and pages about the past.
_TELLING: Final = frozenset(
    {"app/providers/retirement.py", "app/settings/load.py", "docs/decisions.md", "CHANGELOG.md"}
)


def listed(*models: Any) -> bytes:
    return json.dumps({"object": "list", "data": list(models)}).encode()


def test_the_list_is_asked_for_with_the_standard_key() -> None:
    request = models_request(deployment())
    assert request.url == "https://api.openai.com/v1/models"
    assert request.headers["Authorization"] == f"Bearer {OPENAI_KEY}"


def test_a_list_tells_each_model_and_the_day_of_its_end() -> None:
    body = listed({"id": "a", "shutdown_date": "2027-01-20"}, {"id": "b", "shutdown_date": None}, {"id": "c"})
    assert read_models(response(200, body)) == {"a": date(2027, 1, 20), "b": None, "c": None}


@pytest.mark.parametrize("day", ["soon", 1800000000, "2027-13-01", {}, True])
def test_a_day_that_cannot_be_read_is_no_end(day: Any) -> None:
    assert read_models(response(200, listed({"id": "a", "shutdown_date": day}))) == {"a": None}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, listed({"id": "a"})),
        (404, b""),
        (200, b"<html>"),
        (200, b"[]"),
        (200, b'{"data": {"id": "a"}}'),
    ],
)
def test_what_is_no_list_tells_nothing(status: int, body: bytes) -> None:
    assert read_models(response(status, body)) is None


def test_what_is_no_model_in_a_list_is_passed_over() -> None:
    assert read_models(response(200, listed("a", {"id": 7}, {"name": "x"}, {"id": "b"}))) == {"b": None}


def test_the_table_holds_where_the_provider_tells_nothing() -> None:
    end = end_of("gpt-realtime", {}, today=TODAY)
    assert end is not None
    assert (end.day, end.successor) == (date(2027, 1, 20), "gpt-realtime-2.1")
    assert end.at == datetime(2027, 1, 20, tzinfo=UTC).timestamp()
    assert end_of("gpt-realtime", {"gpt-realtime": None}, today=TODAY) == end


def test_the_providers_word_counts_more_than_the_table() -> None:
    end = end_of("gpt-realtime", {"gpt-realtime": date(2027, 3, 1)}, today=TODAY)
    assert end is not None
    assert (end.day, end.looked_at, end.successor) == (date(2027, 3, 1), TODAY, "gpt-realtime-2.1")
    assert end_of("some-model", {}, today=TODAY) is None


def test_each_known_end_names_its_source_and_a_successor_without_an_end() -> None:
    for end in KNOWN_ENDS.values():
        assert end.source
        assert end.looked_at < end.day
        assert end.successor is not None
        assert end.successor not in KNOWN_ENDS


def test_the_usual_model_lasts() -> None:
    assert USUAL_MODEL not in KNOWN_ENDS


def test_no_example_default_or_page_names_a_model_that_ends() -> None:
    names = "|".join(map(re.escape, sorted(KNOWN_ENDS, key=len, reverse=True)))
    ending = re.compile(rf"(?<![\w.-])(?:{names})(?![\w-]|\.\d)")
    found = []
    for folder in ("app", "docs", "deploy", "README.md", "docker-compose.yml", ".env.example", "Makefile"):
        place = ROOT / folder
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            name = path.relative_to(ROOT).as_posix()
            if not path.is_file() or name in _TELLING or path.suffix in (".pyc", ".png", ".woff2"):
                continue
            text = path.read_text(encoding="utf-8", errors="ignore")
            # A page about ends has to name one: between these marks.
            text = re.sub(r"<!-- ends -->.*?<!-- end of ends -->", "", text, flags=re.DOTALL)
            found += [f"{name}: {line.strip()}" for line in text.splitlines() if ending.search(line)]
    assert found == []
