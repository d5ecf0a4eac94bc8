"""Issuers in the settings: what fits together, what is refused, and the examples of their page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from app.settings.identity import IssuerSettings
from tests.unit.settings.environments import GOOD, load, problems

ISSUER: Final = {"issuer": "https://sso.example", "audience": "voice", "users": {"client": "web"}}
CLIENTS: Final[dict[str, Any]] = {"web": {}}
PAGE: Final = Path(__file__).parents[3] / "docs" / "browser-minting.md"


def environment(issuers: Any, clients: Any = CLIENTS) -> dict[str, str]:
    return {"CLOAKROOM_ISSUERS": json.dumps(issuers), "CLOAKROOM_CLIENTS": json.dumps(clients)}


def test_one_audience_or_several_and_the_defaults() -> None:
    settings = load(GOOD, **environment({"team": ISSUER}))
    team = settings.issuers["team"]
    assert (team.audience, team.algorithms, team.leeway_seconds) == (("voice",), ("RS256",), 30)
    several = {**ISSUER, "audience": ["a", "b"]}
    assert load(GOOD, **environment({"team": several})).issuers["team"].audience == ("a", "b")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"issuer": "http://sso.example"}, "must be an https URL"),
        ({"issuer": "sso.example"}, "must be an https URL"),
        ({"jwks_url": "http://sso.example/jwks"}, "must be an https URL"),
        ({"audience": []}, "audience"),
        ({"algorithms": ["none"]}, "algorithms"),
        ({"algorithms": ["HS256"]}, "algorithms"),
        ({"algorithms": []}, "algorithms"),
        ({"leeway_seconds": 301}, "leeway_seconds"),
        ({"users": None}, "neither users nor exchange"),
        ({"users": {}}, "client is missing"),
        ({"users": {"client": "web", "claim": "plan"}}, "belong together"),
        ({"users": {"client": "web", "clients": {"a": "web"}}}, "belong together"),
        ({"users": {"client": "nobody"}}, "there is no client 'nobody'"),
        ({"exchange": [{"subject": "a", "client": "nobody"}]}, "there is no client 'nobody'"),
        ({"exchange": [{"subject": "*", "client": "web"}]}, "begins with *"),
        ({"exchange": [{"subject": "*:main", "client": "web"}]}, "begins with *"),
        ({"exchange": [{"subject": "repo:[ab]", "client": "web"}]}, "of which * alone"),
        ({"exchange": [{"subject": "repo:?", "client": "web"}]}, "of which * alone"),
        ({"exchange": [{"subject": "a b", "client": "web"}]}, "of which * alone"),
        ({"exchange": [{"subject": "a", "client": "web", "audience": "x"}]}, "not one of the issuer's"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(change: dict[str, Any], told: str) -> None:
    lines = problems(GOOD, **environment({"team": {**ISSUER, **change}}))
    assert [line for line in lines if told in line and line.startswith("issuers.team")], lines


def test_one_issuer_stands_there_once_and_no_client_has_users_of_two() -> None:
    other = {**ISSUER, "issuer": "https://other.example"}
    twice = problems(GOOD, **environment({"a": ISSUER, "b": ISSUER}))
    assert any("that of issuers.a; put both into one" in line for line in twice)
    (line,) = problems(GOOD, **environment({"a": ISSUER, "b": other}))
    assert "give each issuer its own client" in line
    workloads = {**other, "users": None, "exchange": [{"subject": "x", "client": "web"}]}
    assert load(GOOD, **environment({"a": ISSUER, "b": workloads})).issuers.keys() == {"a", "b"}


def test_a_client_without_a_key_needs_an_issuer_that_leads_to_it() -> None:
    (line,) = problems(GOOD, **environment({"team": ISSUER}, {"web": {}, "idle": {}}))
    assert "clients.idle.api_key is missing, and no issuer leads to it" in line


def test_no_client_key_is_needed_where_issuers_lead_to_clients() -> None:
    without = {name: value for name, value in GOOD.items() if name != "CLOAKROOM_API_KEYS"}
    assert load(without, **environment({"team": ISSUER})).api_keys is None


def test_the_examples_of_the_page_are_settings() -> None:
    blocks = re.findall(r"```yaml\n(issuers:.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 3
    for block in blocks:
        document = yaml.safe_load(block)
        for issuer in document["issuers"].values():
            IssuerSettings(**issuer)
        clients = document.get("clients") or {
            name: {} for one in document["issuers"].values() for name in _named(IssuerSettings(**one))
        }
        load(GOOD, **environment(document["issuers"], clients))


def _named(issuer: IssuerSettings) -> set[str]:
    return {client for _, client in issuer.named_clients()}
