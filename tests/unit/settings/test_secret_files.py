"""Secrets in files: ``NAME_FILE`` in place of ``NAME``, as Docker and Kubernetes mount them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from app.settings import Settings, SettingsError, Variables, load_settings
from tests.unit.settings.environments import AZURE, CLIENT_KEY, GOOD, OTHER_KEY, OWN, PLANTED
from tests.unit.values import OPENAI_KEY


def in_files(folder: Path, values: dict[str, str], *, end: str = "\n") -> dict[str, str]:
    """The same environment with each of these variables in a file."""
    found = {}
    for name, value in values.items():
        path = folder / name.lower()
        path.write_text(value + end, encoding="utf-8")
        found[f"{name}_FILE"] = str(path)
    return found


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_every_secret_may_lie_in_a_file(tmp_path: Path, end: str) -> None:
    assert load_settings(in_files(tmp_path, GOOD, end=end)) == load_settings(GOOD)


def test_azure_s_usual_key_may_lie_in_a_file(tmp_path: Path) -> None:
    name = "AZURE_OPENAI_API_KEY"
    plain = {**OWN, **AZURE}
    inside = {each: value for each, value in plain.items() if each != name}
    assert load_settings({**inside, **in_files(tmp_path, {name: AZURE[name]})}) == load_settings(plain)


def test_a_nested_secret_may_lie_in_a_file(tmp_path: Path) -> None:
    files = in_files(tmp_path, {"CLOAKROOM_CLIENTS__SHOP2__API_KEY": OTHER_KEY})
    settings = load_settings({**GOOD, **files})
    assert settings.clients["shop2"].api_key == SecretStr(OTHER_KEY)


@pytest.mark.parametrize(
    "text",
    [
        'deployments: {o: {provider: openai, api_key: "${MY_KEY}"}}\nmodels: {gpt-realtime: o}\n',
        "model_list:\n- model_name: gpt-realtime\n  litellm_params:\n    model: openai/gpt-realtime\n"
        "    api_key: os.environ/MY_KEY\n  model_info: {mode: realtime}\n",
    ],
)
def test_what_a_config_file_refers_to_may_lie_in_a_file(tmp_path: Path, text: str) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(text, encoding="utf-8")
    environ = {**OWN, "CLOAKROOM_CONFIG": str(config), **in_files(tmp_path, {"MY_KEY": OPENAI_KEY})}
    (deployment,) = load_settings(environ).deployments.values()
    assert deployment.api_key is not None
    assert deployment.api_key.get_secret_value() == OPENAI_KEY


def test_an_empty_variable_does_not_hide_the_file(tmp_path: Path) -> None:
    environ = {**GOOD, **in_files(tmp_path, {"OPENAI_API_KEY": OPENAI_KEY}), "OPENAI_API_KEY": ""}
    assert load_settings(environ) == load_settings(GOOD)


def refused(environ: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(environ)
    text = str(caught.value)
    assert not [secret for secret in PLANTED if secret in text]
    return text


def test_a_secret_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    text = refused({**GOOD, **in_files(tmp_path, {"CLOAKROOM_API_KEYS": f"shop:{CLIENT_KEY}"})})
    assert text == "CLOAKROOM_API_KEYS and CLOAKROOM_API_KEYS_FILE are both set; keep one"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot be read: No such file or directory"),
        (b" \n", "is empty"),
        (b"\xff\xfe\xfd", "is not a text file"),
        (b"k" * 70_000, "is longer than 65536 bytes"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_its_variable(
    tmp_path: Path, content: bytes | None, why: str
) -> None:
    path = tmp_path / "keys"
    if content is not None:
        path.write_bytes(content)
    environ = {name: value for name, value in GOOD.items() if name != "CLOAKROOM_API_KEYS"}
    text = refused({**environ, "CLOAKROOM_API_KEYS_FILE": str(path)})
    assert text.startswith(f"CLOAKROOM_API_KEYS_FILE: {path} {why}")


def test_a_setting_that_is_no_secret_comes_from_no_file(tmp_path: Path) -> None:
    text = refused({**GOOD, **in_files(tmp_path, {"CLOAKROOM_PORT": "8081"})})
    assert text.startswith("CLOAKROOM_PORT_FILE is not a setting")


def test_other_programs_files_are_left_alone() -> None:
    environ = {"SSL_CERT_FILE": "/nowhere", "AZURE_FEDERATED_TOKEN_FILE": "/nowhere", "SSL_CERT": ""}
    assert dict(Variables(environ)) == environ


def test_no_setting_is_hidden_by_the_suffix() -> None:
    """``provider_ca_file`` is a setting, and the file of no ``provider_ca``."""
    named = {name for name in Settings.model_fields if name.endswith("_file")}
    assert named
    assert not {name.removesuffix("_file") for name in named} & set(Settings.model_fields)
