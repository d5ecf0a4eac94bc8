"""Which settings that were read anew count at once, and that every other one keeps its value and is named."""

from __future__ import annotations

from typing import Any, Final

import orjson
import pytest

from app.settings import Settings, load_settings
from app.wiring.renewal import renewed
from tests.support.planted import Planted

PLANTED: Final = Planted()
OTHER: Final = Planted()
SIGN_IN: Final = {"tenant_id": "t", "client_id": "c", "client_secret": "s-1-of-the-test"}
PLACES: Final[dict[str, dict[str, Any]]] = {
    "openai": {"provider": "openai", "api_key": PLANTED.openai_key},
    "azure": {
        "provider": "azure",
        "base_url": "https://x.openai.azure.com",
        "model": "voice",
        "entra": SIGN_IN,
    },
}


def settings(places: dict[str, Any] = PLACES, **more: str) -> Settings:
    environment = PLANTED.environment(
        CLOAKROOM_REDIS_URL="redis://user:old-password@store:6379/0",
        CLOAKROOM_REPLICA="a",
        CLOAKROOM_DEPLOYMENTS=orjson.dumps(places).decode(),
        CLOAKROOM_MODELS='{"gpt-realtime-2.1": "openai", "voice": "azure"}',
    )
    return load_settings(environment | more)


def place(name: str, **changes: Any) -> dict[str, Any]:
    return {**PLACES, name: {**PLACES[name], **changes}}


SUBJECT: Final = {"CLOAKROOM_SUBJECT_KEY": "sk_Vb6nMk2jHg5fDs8aPo1iUy4tRe"}
ICE: Final = '{"servers": ["turn:turn.example:3478"], "turn_secret": "%s"}'


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"CLOAKROOM_SIGNING_KEYS": OTHER.signing}, "signing_keys"),
        ({"CLOAKROOM_SEALING_KEYS": OTHER.sealing}, "sealing_keys"),
        ({"CLOAKROOM_API_KEYS": f"till:{OTHER.client_key}"}, "api_keys"),
        ({"CLOAKROOM_ADMIN_KEYS": f"ann:{OTHER.admin_key}"}, "admin_keys"),
        ({"CLOAKROOM_SUBJECT_KEY": "sk_Qz4YtWmP1nXcVbKjHgFdSaRe77"}, "subject_key"),
        ({"CLOAKROOM_CLIENTS": '{"till": {"api_key": "ck_Qz4YtWmP1nXcVbKjHgFdSaRe"}}'}, "clients.till"),
        ({"CLOAKROOM_REDIS_URL": "redis://user:new-password@store:6379/0"}, "redis_url"),
        ({"CLOAKROOM_ICE": ICE % "the-second-secret"}, "ice"),
        ({"places": place("openai", api_key=OTHER.openai_key)}, "deployments.openai"),
        ({"places": place("azure", entra=SIGN_IN | {"client_secret": "s-2"})}, "deployments.azure"),
    ],
)
def test_a_secret_counts_at_once(changes: dict[str, Any], name: str) -> None:
    usual: dict[str, Any] = SUBJECT | {"CLOAKROOM_ICE": ICE % "the-first-secret"}
    before, fresh = settings(**usual), settings(**{**usual, **changes})
    found = renewed(before, fresh)
    assert (found.changed, found.restart) == ((name,), ())
    assert found.settings == fresh


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"CLOAKROOM_PORT": "8081"}, "port"),
        ({"CLOAKROOM_LOG_LEVEL": "debug"}, "log_level"),
        ({"CLOAKROOM_REDIS_URL": "redis://user:new-password@elsewhere:6379/0"}, "redis_url"),
        ({"CLOAKROOM_PROVIDER_PROXY": "http://user:secret@proxy:3128"}, "provider_proxy"),
        ({"CLOAKROOM_SUBJECT_KEY": "sk_Qz4YtWmP1nXcVbKjHgFdSaRe77"}, "subject_key"),
        ({"CLOAKROOM_ICE": '{"servers": ["stun:stun.example:3478"]}'}, "ice"),
        ({"places": {**PLACES, "more": PLACES["openai"]}}, "deployments.more"),
    ],
)
def test_anything_else_stays_and_is_named(changes: dict[str, Any], name: str) -> None:
    before = settings()
    found = renewed(before, settings(**changes))
    assert (found.changed, found.restart) == ((), (name,))
    assert found.settings == before


def test_a_key_for_another_address_is_not_sent_to_the_present_one() -> None:
    before = settings()
    found = renewed(
        before,
        settings(place("openai", api_key=OTHER.openai_key, base_url="https://elsewhere.example/v1")),
    )
    assert (found.changed, found.restart) == ((), ("deployments.openai",))
    assert found.settings == before


def test_what_is_taken_and_what_is_not_come_together() -> None:
    found = renewed(
        settings(), settings(CLOAKROOM_PORT="8081", CLOAKROOM_API_KEYS=f"till:{OTHER.client_key}")
    )
    assert (found.changed, found.restart) == (("api_keys",), ("port",))


def test_nothing_that_is_named_is_a_secret() -> None:
    found = renewed(settings(), settings(CLOAKROOM_REDIS_URL="redis://u:new-password@elsewhere:6379/0"))
    assert "password" not in f"{found.changed} {found.restart}"
