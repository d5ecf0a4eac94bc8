"""Settings from the environment alone: what is enough, what is refused, and how a refusal reads."""

from __future__ import annotations

import re

import pytest
from pydantic import ValidationError

from tests.unit.settings.environments import OWN, load, problems, without


def test_four_secrets_and_a_providers_key_are_enough() -> None:
    settings = load()
    assert settings.production
    assert (settings.host, settings.port, settings.handle_prefix) == ("0.0.0.0", 8080, "ek_")
    assert (settings.handle_max_calls, settings.cors_origins) == (0, ())


def test_only_the_mapping_that_is_passed_in_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOAKROOM_PORT", "9999")
    monkeypatch.setenv("CLOAKROOM_HOST", "192.0.2.1")
    settings = load()
    assert (settings.host, settings.port) == ("0.0.0.0", 8080)


def test_settings_do_not_change_once_they_are_parsed() -> None:
    settings = load()
    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1
    with pytest.raises(ValidationError, match="frozen"):
        settings.deployments["openai"].model = "other"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("port", "0", 0),
        ("host", "127.0.0.1", "127.0.0.1"),
        ("replica", "eu-1.a_b", "eu-1.a_b"),
        ("handle_prefix", "", "ek_"),
        ("handle_prefix", "tk-", "tk-"),
        ("handle_max_calls", "1", 1),
        ("public_url", "https://voice.example/", "https://voice.example"),
        (
            "cors_origins",
            "https://a.example, http://localhost:3000 ,",
            ("https://a.example", "http://localhost:3000"),
        ),
        ("cors_origins", "*", ("*",)),
        ("log_level", "debug", "debug"),
        ("drain_seconds", "0.5", 0.5),
        ("environment", "development", "development"),
    ],
)
def test_each_setting_is_its_name_in_capitals(name: str, value: str, expected: object) -> None:
    assert getattr(load(**{f"CLOAKROOM_{name.upper()}": value}), name) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "eighty"),
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("ENVIRONMENT", "staging"),
        ("REPLICA", "a b"),
        ("REPLICA", "x" * 65),
        ("PUBLIC_URL", "voice.example"),
        ("PUBLIC_URL", "https://voice.example/path"),
        ("CORS_ORIGINS", "https://a.example/"),
        ("CORS_ORIGINS", "a.example"),
        ("HANDLE_PREFIX", "with space"),
        ("HANDLE_PREFIX", "x" * 17),
        ("HANDLE_MAX_CALLS", "-1"),
        ("MAX_BODY_BYTES", "10"),
        ("STORE_TIMEOUT_SECONDS", "0"),
        ("RELAY_TIMEOUT_SECONDS", "nan"),
        ("LOG_LEVEL", "loud"),
        ("DEPLOYMENTS", "openai"),
        ("MODELS", "{gpt: openai}"),
        ("MODELS", "5"),
        ("CLIENTS", '{"kiosk": 5}'),
    ],
)
def test_a_value_out_of_bounds_is_refused_in_one_line_that_names_the_variable(name: str, value: str) -> None:
    (line,) = problems(**{f"CLOAKROOM_{name}": value})
    assert re.match(rf"(CLOAKROOM_{name}|{name.lower()}[.\w]*): \S", line)


@pytest.mark.parametrize("name", [name for name in OWN if name.endswith("_KEYS")])
def test_a_missing_secret_says_which_command_makes_one(name: str) -> None:
    (line,) = problems(without(name))
    assert line.startswith(f"{name} is missing")
    assert "cloakroom keys new" in line


def test_all_problems_are_told_at_once() -> None:
    lines = problems(without("CLOAKROOM_SIGNING_KEYS", "CLOAKROOM_REDIS_URL", "OPENAI_API_KEY"))
    assert len(lines) == 3


@pytest.mark.parametrize("name", ["CLOAKROOM_SIGNING_KEYS", "CLOAKROOM_SEALING_KEYS"])
@pytest.mark.parametrize("value", ["k1", "k1:", "k1:c2hvcnQ", "k1:" + "QUFB" * 12, ","])
def test_a_weak_or_malformed_ring_is_refused_by_name(name: str, value: str) -> None:
    (line,) = problems(**{name: value})
    assert line.startswith(f"{name}: ")
    assert "QUFB" not in line
    assert "c2hvcnQ" not in line


@pytest.mark.parametrize(
    "value", ["shop", "shop:", "shop:short", "shop:" + "a" * 40, "a b:" + "xY3" * 10, ","]
)
@pytest.mark.parametrize("name", ["CLOAKROOM_API_KEYS", "CLOAKROOM_ADMIN_KEYS"])
def test_a_weak_or_malformed_caller_key_is_refused_by_name(name: str, value: str) -> None:
    (line,) = problems(**{name: value})
    assert line.startswith(f"{name}: ")
    assert "aaaa" not in line
    assert "xY3" not in line


# --- production and its store -----------------------------------------------------------------------


@pytest.mark.parametrize("url", [None, "memory://"])
def test_production_refuses_to_run_without_a_shared_store(url: str | None) -> None:
    changes = {"CLOAKROOM_REDIS_URL": url} if url else {}
    (line,) = problems(without("CLOAKROOM_REDIS_URL"), **changes)
    assert line.startswith("CLOAKROOM_REDIS_URL must name a Redis or Valkey server in production")
    assert "CLOAKROOM_ENVIRONMENT=development" in line


@pytest.mark.parametrize("url", [None, "memory://"])
def test_development_may_run_on_a_store_of_its_own(url: str | None) -> None:
    changes = {"CLOAKROOM_REDIS_URL": url} if url else {}
    settings = load(without("CLOAKROOM_REDIS_URL"), CLOAKROOM_ENVIRONMENT="development", **changes)
    assert not settings.production


@pytest.mark.parametrize("url", ["http://cache", "cache:6379", "redis:/cache", "unix:///run/redis.sock"])
def test_a_store_url_of_another_kind_is_refused(url: str) -> None:
    (line,) = problems(CLOAKROOM_REDIS_URL=url)
    assert line.startswith("CLOAKROOM_REDIS_URL must begin with redis://")


@pytest.mark.parametrize("url", [None, "memory://"])
def test_replicas_are_not_waited_for_where_the_store_has_none(url: str | None) -> None:
    changes = {"CLOAKROOM_REDIS_URL": url} if url else {}
    own = without("CLOAKROOM_REDIS_URL")
    (line,) = problems(own, CLOAKROOM_ENVIRONMENT="development", CLOAKROOM_STORE_WAIT_REPLICAS="1", **changes)
    assert line.startswith("CLOAKROOM_STORE_WAIT_REPLICAS needs a store with replicas")
    assert load(CLOAKROOM_STORE_WAIT_REPLICAS="1").store_wait_replicas == 1
