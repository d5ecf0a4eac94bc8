"""No way of showing the settings, whole or refused, shows one of the secrets in them."""

from __future__ import annotations

import pprint
from collections.abc import Callable
from pathlib import Path

import pytest

from app.main import create_app
from app.settings import Settings
from tests.unit.settings.environments import (
    ADMIN_KEY,
    AZURE,
    GOOD,
    OPENAI,
    OTHER_KEY,
    OWN,
    PLANTED,
    load,
    problems,
    yaml_file,
)

FULL = {
    **OWN,
    **OPENAI,
    **AZURE,
    "CLOAKROOM_ADMIN_KEYS": f"sre:{ADMIN_KEY}",
    "CLOAKROOM_CLIENTS": f'{{"kiosk": {{"api_key": "{OTHER_KEY}"}}}}',
}
WAYS: dict[str, Callable[[Settings], object]] = {
    "repr": repr,
    "str": str,
    "pprint": pprint.pformat,
    "model_dump": lambda settings: settings.model_dump(),
    "model_dump in JSON mode": lambda settings: settings.model_dump(mode="json"),
    "model_dump_json": lambda settings: settings.model_dump_json(),
    "vars": vars,
    "each part": lambda settings: [repr(part) for part in vars(settings).values()],
    "the application built from them": lambda settings: [repr(part) for part in create_app(settings).items()],
}


@pytest.mark.parametrize("show", WAYS.values(), ids=WAYS.keys())
def test_settings_show_no_secret(show: Callable[[Settings], object]) -> None:
    settings = load(FULL)
    shown = f"{show(settings)} {show(settings)!r}"
    assert "shown" not in shown
    for secret in PLANTED:
        assert secret not in shown


def test_the_planted_secrets_really_are_in_the_settings() -> None:
    settings = load(FULL)
    rings = (settings.signing_keys, settings.sealing_keys, settings.api_keys, settings.admin_keys)
    held = [one.get_secret_value() for one in (*rings, settings.redis_url) if one]
    held += [one.api_key.get_secret_value() for one in settings.deployments.values() if one.api_key]
    held += [one.api_key.get_secret_value() for one in settings.clients.values() if one.api_key is not None]
    for secret in PLANTED:
        assert any(secret in text for text in held)


# Every secret where another value belongs, so that each refusal had the chance to quote it.
ODD_VALUES = [f"{secret} {secret}" for secret in PLANTED]


@pytest.mark.parametrize("value", ODD_VALUES, ids=range(len(ODD_VALUES)))
@pytest.mark.parametrize(
    "name",
    [
        "CLOAKROOM_PORT",
        "CLOAKROOM_ENVIRONMENT",
        "CLOAKROOM_REPLICA",
        "CLOAKROOM_PUBLIC_URL",
        "CLOAKROOM_REDIS_URL",
        "CLOAKROOM_SIGNING_KEYS",
        "CLOAKROOM_SEALING_KEYS",
        "CLOAKROOM_API_KEYS",
        "CLOAKROOM_ADMIN_KEYS",
        "CLOAKROOM_HANDLE_PREFIX",
        "CLOAKROOM_DEPLOYMENTS",
        "CLOAKROOM_MODELS",
        "CLOAKROOM_CLIENTS",
        "CLOAKROOM_DEPLOYMENTS__OPENAI",
        "CLOAKROOM_CLIENTS__KIOSK__MINTS_PER_MINUTE",
        "CLOAKROOM_DRAIN_SECONDS",
        "CLOAKROOM_NO_SUCH_NAME",
    ],
)
def test_a_secret_in_the_wrong_place_is_refused_without_being_quoted(name: str, value: str) -> None:
    # ``problems`` itself looks for every planted secret.
    assert problems(GOOD, **{name: value})


@pytest.mark.parametrize("name", ["SIGNING_KEYS", "SEALING_KEYS", "API_KEYS", "ADMIN_KEYS"])
@pytest.mark.parametrize("secret", [secret for secret in PLANTED if len(secret) > 20])
def test_a_pair_written_the_wrong_way_round_is_refused_without_being_quoted(name: str, secret: str) -> None:
    changes = {f"CLOAKROOM_{name}": f"{secret}:shop"}
    assert problems(GOOD, **changes)
    # Cut short it fits where a key id does; it is still no label.
    assert secret[:24] not in str(problems(GOOD, **{f"CLOAKROOM_{name}": f"{secret[:32]}:shop"}))


@pytest.mark.parametrize("secret", PLANTED, ids=range(len(PLANTED)))
@pytest.mark.parametrize(
    "template",
    ["port: {}", "[{}", "deployments: {}", "clients: {{kiosk: {}}}", "models: [{}]", "- {}", "a: {}: b"],
)
def test_a_secret_in_a_wrong_yaml_file_is_not_quoted_either(
    tmp_path: Path, secret: str, template: str
) -> None:
    assert problems(GOOD, CLOAKROOM_CONFIG=yaml_file(tmp_path, template.format(secret)))
