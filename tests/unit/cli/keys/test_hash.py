"""``cloakroom keys hash``: a digest that the service takes in place of the key, and never the key."""

from __future__ import annotations

import io
import json
import sys

import pytest

from app.broker.clients import ClientRegistry
from app.cli.root import run
from app.settings.secrets import parse_key_pairs
from app.wiring.identity import client_pairs
from tests.unit.settings.environments import load

KEY = "ck_7Qz4YtWmP1nXcVbKjHgFdSaRe"


def hashed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], given: str, *arguments: str
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "stdin", io.StringIO(given))
    status = run(["keys", "hash", *arguments])
    return status, *capsys.readouterr()


@pytest.mark.parametrize("given", [KEY, f"{KEY}\n", f"shop:{KEY}\r\n"])
def test_the_service_takes_the_digest_for_the_key(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], given: str
) -> None:
    status, out, err = hashed(monkeypatch, capsys, given, "shop")
    assert (status, err) == (0, "")
    assert KEY not in out
    assert list(parse_key_pairs(out.strip())) == ["shop"]
    # Beside a client whose key is given in clear.
    settings = load(CLOAKROOM_API_KEYS=f"{out.strip()},till:ck_Zk8wLr2uTn5vEo1iYp3aQs6d")
    clients = ClientRegistry(client_pairs(settings))
    assert clients.authenticate(KEY).name == "shop"
    assert clients.authenticate("ck_Zk8wLr2uTn5vEo1iYp3aQs6d").name == "till"


def test_a_new_key_is_shown_once_apart_from_what_is_configured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = hashed(monkeypatch, capsys, "", "ops", "--new", "--admin")
    key = err.strip().splitlines()[-1]
    assert status == 0
    assert key.startswith("ck_admin_")
    assert key not in out
    again = hashed(monkeypatch, capsys, key, "ops")
    assert again[1] == out


def test_json_has_the_key_only_where_it_was_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = hashed(monkeypatch, capsys, KEY, "shop", "--json")
    assert json.loads(out).keys() == {"name", "value", "sha256"}
    _, out, err = hashed(monkeypatch, capsys, "", "shop", "--new", "--json")
    made = json.loads(out)
    assert err == ""
    assert hashed(monkeypatch, capsys, made["key"], "shop")[1].strip() == made["value"]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("", "there is no key"),
        ("short", "the key is weak"),
        ("a" * 40, "the key is weak"),
        (f"{KEY}\n{KEY}", "that is no key"),
        ("sha256:" + "0" * 64, "a digest already"),
        ("k" * 10_000, "that is no key"),
    ],
)
def test_what_is_no_strong_key_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], given: str, why: str
) -> None:
    status, out, err = hashed(monkeypatch, capsys, given, "shop")
    assert status != 0
    assert out == ""
    assert why in err
    assert given == "" or given not in err


@pytest.mark.parametrize("arguments", [("a b",), ("shop", "--admin")])
def test_wrong_usage_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    assert hashed(monkeypatch, capsys, KEY, *arguments)[0] == 2
