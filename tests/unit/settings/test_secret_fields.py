"""Every secret of the settings may lie in a file, of the environment and of our YAML, however deep it is."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from pydantic import BaseModel, SecretStr

from app.settings import Settings, SettingsError, SettingsSource, load_settings
from app.settings.environment import is_secret
from app.settings.reference import config_schema
from app.settings.secret_fields import has_secret, is_secret_field, secret_paths
from tests.support.secret_files import SecretVolume
from tests.unit.settings.environments import GOOD
from tests.unit.values import ring

# A whole section around each secret, in which "SECRET" stands for it.
SECTIONS: Final[dict[str, dict[str, Any]]] = {
    "deployments.*.api_key": {
        "deployments": {"openai": {"provider": "openai", "api_key": "SECRET"}},
        "models": {"gpt-realtime-2.1": "openai"},
    },
    "deployments.*.entra.client_secret": {
        "deployments": {
            "azure": {
                "provider": "azure",
                "base_url": "https://acme-voice.openai.azure.com",
                "model": "voice",
                "entra": {"tenant_id": "t", "client_id": "c", "client_secret": "SECRET"},
            }
        },
        "models": {"gpt-realtime-2.1": "azure"},
    },
    "clients.*.api_key": {"clients": {"till": {"api_key": "SECRET"}}},
    "ice.servers.*.credential": {
        "ice": {"servers": [{"urls": ["turn:turn.example:3478"], "username": "u", "credential": "SECRET"}]}
    },
    "ice.turn_secret": {"ice": {"servers": ["turn:turn.example:3478"], "turn_secret": "SECRET"}},
    "security_webhook_secret": {
        "security_webhook_url": "https://soc.example/hooks",
        "security_webhook_secret": "SECRET",
    },
    "security_webhook_url": {
        "security_webhook_url": "SECRET",
        "security_webhook_secret": "whsec_QWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXowMTIzNDU=",
    },
}
VALUES: Final = {
    "redis_url": "redis://user:pw-J8h2Kd93lQwe@cache:6379/0",
    "signing_keys": ring("sign7"),
    "sealing_keys": ring("seal7"),
    "api_keys": "till:ck_Vb6nMk2jHg5fDs8aPo1iUy4t",
    "admin_keys": "ops:ak_Vb6nMk2jHg5fDs8aPo1iUy4t",
    "subject_key": "sk_Vb6nMk2jHg5fDs8aPo1iUy4tRe",
    "provider_proxy": "http://user:pw-J8h2Kd93lQwe@proxy.example:3128",
    "security_webhook_url": "https://soc.example/hooks/Vb6nMk2jHg5f",
    "security_webhook_secret": "whsec_QWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXowMTIzNDU=",
}
PATHS: Final = sorted(".".join(path) for path in secret_paths())


def secret_of(path: str) -> str:
    return VALUES.get(path, "ck_Vb6nMk2jHg5fDs8aPo1iUy4tRe")


def with_secret(section: Any, secret: str) -> Any:
    if isinstance(section, dict):
        return {name: with_secret(value, secret) for name, value in section.items()}
    if isinstance(section, list):
        return [with_secret(value, secret) for value in section]
    return secret if section == "SECRET" else section


def with_file(section: Any, file: Path) -> Any:
    """The section with ``..._file`` in place of its secret."""
    if isinstance(section, dict):
        return {
            f"{name}_file" if value == "SECRET" else name: str(file)
            if value == "SECRET"
            else with_file(value, file)
            for name, value in section.items()
        }
    return [with_file(value, file) for value in section] if isinstance(section, list) else section


def environment_without(path: str) -> dict[str, str]:
    name = f"CLOAKROOM_{path.upper()}"
    return {key: value for key, value in GOOD.items() if key != name}


def all_secrets(value: Any) -> Iterator[str]:
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from all_secrets(getattr(value, name))
    elif isinstance(value, dict):
        for item in value.values():
            yield from all_secrets(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from all_secrets(item)


def test_the_walk_finds_what_is_there_and_each_has_a_case_here() -> None:
    assert {"signing_keys", "deployments.*.api_key", "ice.servers.*.credential"} <= set(PATHS)
    assert {path for path in PATHS if "." in path} <= set(SECTIONS)
    assert {path for path in PATHS if "." not in path} <= set(VALUES)


@pytest.mark.parametrize("path", PATHS)
def test_our_yaml_names_the_file_of_each_secret(path: str, tmp_path: Path) -> None:
    file, config = tmp_path / "secret", tmp_path / "cloakroom.yaml"
    file.write_text(secret_of(path) + "\n", encoding="utf-8")
    section = SECTIONS.get(path, {path: "SECRET"})
    config.write_text(yaml.safe_dump(with_file(section, file)), encoding="utf-8")
    environ = environment_without(path) | {"CLOAKROOM_CONFIG": str(config)}
    settings = load_settings(environ)
    assert secret_of(path) in all_secrets(settings)
    config.write_text(yaml.safe_dump(with_secret(section, secret_of(path))), encoding="utf-8")
    assert load_settings(environ) == settings
    source = SettingsSource(environ)
    source.read()
    assert set(source.digests()) == {str(config)}


@pytest.mark.parametrize("path", PATHS)
def test_the_environment_names_the_file_of_each_secret_or_of_its_section(path: str, tmp_path: Path) -> None:
    section = SECTIONS.get(path, {path: "SECRET"})
    top, text = path.partition(".")[0], secret_of(path)
    given = with_secret(section, secret_of(path))
    file = tmp_path / "secret"
    file.write_text(text if top == path else json.dumps(given[top]), encoding="utf-8")
    environ = environment_without(path) | {f"CLOAKROOM_{top.upper()}_FILE": str(file)}
    for name, value in given.items():
        if name != top:
            environ[f"CLOAKROOM_{name.upper()}"] = value if isinstance(value, str) else json.dumps(value)
    settings = load_settings(environ)
    assert secret_of(path) in all_secrets(settings)
    source = SettingsSource(environ)
    source.read()
    assert set(source.digests()) == {str(file)}


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("CLOAKROOM_DEPLOYMENTS__AZURE__ENTRA__CLIENT_SECRET", True),
        ("CLOAKROOM_CLIENTS__SHOP__API_KEY", True),
        ("CLOAKROOM_ICE__TURN_SECRET", True),
        ("CLOAKROOM_CLIENTS", True),
        ("CLOAKROOM_CLIENTS__SHOP__MODELS", False),
        ("CLOAKROOM_PORT", False),
        ("CLOAKROOM_NO_SUCH_SETTING", False),
        ("OPENAI_API_KEY", True),
        ("OTHER_SIGNING_KEYS", False),
    ],
)
def test_which_variables_may_lie_in_a_file(name: str, secret: bool) -> None:
    assert is_secret(name) is secret


def test_a_path_that_leads_nowhere_is_no_secret() -> None:
    assert not has_secret(("signing_keys", "more"))
    assert not has_secret(("clients", ""))
    assert not is_secret_field(("clients", "shop"))
    assert is_secret_field(("clients", "shop", "api_key"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "clients: {shop: {api_key: ck_Vb6nMk2jHg5fDs8aPo1iUy4tRe, api_key_file: /nowhere}}",
            "clients.shop.api_key and clients.shop.api_key_file are both set; keep one",
        ),
        ("clients: {shop: {api_key_file: 7}}", "clients.shop.api_key_file must be the path of a file"),
        (
            "clients: {shop: {api_key_file: /nowhere}}",
            "clients.shop.api_key_file: /nowhere cannot be read: No such file or directory",
        ),
    ],
)
def test_a_file_that_cannot_be_meant_is_named_by_its_setting(text: str, problem: str, tmp_path: Path) -> None:
    config = tmp_path / "cloakroom.yaml"
    config.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as refused:
        load_settings(GOOD | {"CLOAKROOM_CONFIG": str(config)})
    assert str(refused.value) == problem


def test_the_schema_knows_the_files() -> None:
    schema = config_schema()
    assert "signing_keys_file" in schema["properties"]
    assert "api_key_file" in schema["$defs"]["ClientSettings"]["properties"]
    assert "token_file_file" not in json.dumps(schema)
    assert not {name for name in Settings.model_fields if f"{name}_file" in Settings.model_fields}


def test_the_digests_follow_the_contents_and_a_file_that_is_gone_has_one_too(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(GOOD["CLOAKROOM_API_KEYS"], encoding="utf-8")
    source = SettingsSource(environment_without("api_keys") | {"CLOAKROOM_API_KEYS_FILE": str(file)})
    source.read()
    first = source.digests()
    # The same size in the same tick of the file system's clock.
    file.write_text(GOOD["CLOAKROOM_API_KEYS"].replace("shop", "till"), encoding="utf-8")
    second = source.digests()
    file.unlink()
    assert len({first[str(file)], second[str(file)], source.digests()[str(file)]}) == 3
    with pytest.raises(SettingsError):
        source.read()
    assert set(source.digests()) == {str(file)}, "a file that is away is looked for again"


def test_a_swap_of_the_kubelet_s_link_is_a_change_of_the_file_behind_it(tmp_path: Path) -> None:
    text = "api_keys: shop:{key}\n"
    volume = SecretVolume(tmp_path, {"cloakroom.yaml": text.format(key="ck_Vb6nMk2jHg5fDs8aPo1iUy4tRe")})
    environ = environment_without("api_keys") | {"CLOAKROOM_CONFIG": str(volume.path("cloakroom.yaml"))}
    source = SettingsSource(environ)
    before, first = source.read()[0], source.digests()
    volume.put("cloakroom.yaml", text.format(key="ck_Qz4YtWmP1nXcVbKjHgFdSaRe77"))
    assert source.digests() != first
    assert source.read()[0].api_keys != before.api_keys


def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    source = SettingsSource(environment_without("api_keys") | {"CLOAKROOM_API_KEYS_FILE": str(pipe)})
    writer = threading.Thread(target=pipe.write_text, args=(GOOD["CLOAKROOM_API_KEYS"],))
    writer.start()
    settings, _ = source.read()
    writer.join()
    assert settings.api_keys is not None
    assert source.digests() == {str(pipe): b""}
    with pytest.raises(SettingsError, match="can be read once only"):
        source.read()
