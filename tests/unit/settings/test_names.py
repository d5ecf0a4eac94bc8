"""The names of variables: misspelt ones are refused, other programs' ones are left alone."""

from __future__ import annotations

import re

import pytest

from app.settings import Settings, known_environment_names
from tests.unit.settings.environments import GOOD, load, problems


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("CLOAKROOM_PROT", "CLOAKROOM_PORT"),
        ("CLOAKROOM_SIGNING_KEY", "CLOAKROOM_SIGNING_KEYS"),
        ("CLOAKROOM_REDISURL", "CLOAKROOM_REDIS_URL"),
        ("CLOAKROOM_CORS_ORIGIN", "CLOAKROOM_CORS_ORIGINS"),
    ],
)
def test_a_misspelt_name_is_refused_with_the_one_that_was_meant(name: str, meant: str) -> None:
    assert problems(**{name: "x"}) == [f"{name} is not a setting; did you mean {meant}?"]


def test_a_name_like_no_other_is_refused_too() -> None:
    (line,) = problems(CLOAKROOM_QQQQQQQQQQQQQQQQQQQ="x")
    assert line.startswith("CLOAKROOM_QQQQQQQQQQQQQQQQQQQ is not a setting; see ")


@pytest.mark.parametrize("service", ["CLOAKROOM", "CLOAKROOM_REDIS", "CLOAKROOM_METRICS_2"])
def test_the_variables_that_kubernetes_sets_for_services_are_no_settings(service: str) -> None:
    links = {
        f"{service}_SERVICE_HOST": "10.0.0.7",
        f"{service}_SERVICE_PORT": "8080",
        f"{service}_SERVICE_PORT_HTTP": "8080",
        f"{service}_PORT": "tcp://10.0.0.7:8080",
        f"{service}_PORT_8080_TCP": "tcp://10.0.0.7:8080",
        f"{service}_PORT_8080_TCP_PROTO": "tcp",
        f"{service}_PORT_8080_TCP_PORT": "8080",
        f"{service}_PORT_8080_TCP_ADDR": "10.0.0.7",
        f"{service}_PORT_53_UDP": "udp://10.0.0.7:53",
    }
    assert load(**links).port == 8080


@pytest.mark.parametrize("name", ["CLOAKROOM_REDIS_PORT", "CLOAKROOM_SERVICE_HOSTS", "CLOAKROOM_SERVICES"])
def test_a_name_that_only_looks_like_a_service_link_is_still_refused(name: str) -> None:
    (line,) = problems(**{name: "6379"})
    assert line.startswith(f"{name} is not a setting")


def test_variables_of_the_provider_in_a_box_and_of_other_programs_are_left_alone() -> None:
    assert load(CLOAKROOM_SANDBOX_PEER="static", CLOAK="x", PATH="/bin", REDIS_URL="redis://x").port == 8080


def test_the_known_names_are_the_fields_and_the_file() -> None:
    names = known_environment_names()
    assert len(names) == len(Settings.model_fields) + 1
    assert {"CLOAKROOM_CONFIG", "CLOAKROOM_PORT", "CLOAKROOM_SIGNING_KEYS"} <= names
    assert all(re.fullmatch(r"CLOAKROOM_[A-Z_]+", name) for name in names)


def test_every_setting_can_be_left_empty() -> None:
    """Compose files and CI pass variables through that nobody has set."""
    optional = known_environment_names() - {"CLOAKROOM_CONFIG"} - GOOD.keys()
    assert load(**dict.fromkeys(optional, ""), CLOAKROOM_CONFIG="") == load()
