"""The settings as they are shown: no secret, wherever it stands, and where each value comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.cli.config.show import show_config, sources
from app.settings import SettingsError, load_settings
from app.settings.secrets import MASK, masked_settings
from tests.support.planted import Planted
from tests.unit.settings.environments import GOOD

HIDDEN = "hidden-0123456789"
FILE = f"""\
deployments:
  sweden:
    provider: azure
    base_url: https://x.openai.azure.com
    model: prod
    entra: {{tenant_id: t, client_id: c, client_secret: {HIDDEN}-entra}}
models:
  voice:
    deployments: sweden
    defaults: {{instructions: "{HIDDEN}"}}
    locked: {{tools: [{{headers: {{X: {HIDDEN}}}}}]}}
clients:
  kiosk: {{api_key: {HIDDEN}-of-the-kiosk}}
subject_key: {HIDDEN}-0123456789abcdef
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    file = tmp_path / "cloakroom.yaml"
    file.write_text(FILE)
    planted = Planted()
    return planted.environment(
        CLOAKROOM_CONFIG=str(file), CLOAKROOM_REDIS_URL=f"redis://u:{planted.store_password}@redis:6379/0"
    )


def test_no_secret_is_shown_wherever_it_stands(environ: dict[str, str]) -> None:
    shown = masked_settings(load_settings(environ))
    assert HIDDEN not in str(shown)
    for name, value in environ.items():
        if name.endswith("_KEYS"):
            assert value.partition(":")[2] not in str(shown), name
    assert shown["redis_url"] == "redis://redis:6379"
    assert shown["signing_keys"] == f"sign1:{MASK}"
    assert shown["clients"]["kiosk"]["api_key"] == MASK
    assert shown["deployments"]["sweden"]["entra"]["client_secret"] == MASK
    assert shown["models"]["voice"]["locked"] == {"tools": MASK}
    assert shown["subject_key"] == MASK


def test_what_is_no_secret_is_shown_as_it_is(environ: dict[str, str]) -> None:
    shown = masked_settings(load_settings(environ))
    assert shown["deployments"]["sweden"]["base_url"] == "https://x.openai.azure.com"
    assert shown["port"] == 8080
    assert set(shown) == set(type(load_settings(environ)).model_fields)


def test_the_environment_the_file_and_the_defaults_are_told_apart(environ: dict[str, str]) -> None:
    environ |= {
        "CLOAKROOM_MODELS__EXTRA": "sweden",
        "CLOAKROOM_LOG_LEVEL": "",
        "CLOAKROOM_PORT": "tcp://10.0.0.1:80",
    }
    found = sources(load_settings(environ), environ)
    file = f"the file {environ['CLOAKROOM_CONFIG']}"
    assert found["signing_keys"] == "CLOAKROOM_SIGNING_KEYS"
    assert found["deployments"] == file
    assert found["models"] == f"CLOAKROOM_MODELS__... over {file}"
    assert found["log_level"] == found["port"] == "default"


def test_the_providers_own_names_are_a_source() -> None:
    found = sources(load_settings(GOOD), GOOD)
    assert found["deployments"] == found["models"] == "OPENAI_API_KEY"


def test_a_secret_s_file_is_its_source(tmp_path: Path) -> None:
    environ, moved = dict(GOOD), {}
    for name in ("CLOAKROOM_API_KEYS", "OPENAI_API_KEY"):
        path = tmp_path / name
        path.write_text(environ.pop(name))
        moved[f"{name}_FILE"] = str(path)
    found = sources(load_settings({**environ, **moved}), {**environ, **moved})
    assert found["api_keys"] == "CLOAKROOM_API_KEYS_FILE"
    assert found["deployments"] == "OPENAI_API_KEY_FILE"


def test_what_an_operators_shell_exports_is_no_mistake_of_the_settings() -> None:
    exported = {"CLOAKROOM_ADMIN_URL": "http://127.0.0.1:8080", "CLOAKROOM_ADMIN_KEY": "k"}
    assert load_settings({**GOOD, **exported}) == load_settings(GOOD)
    for typo in ("CLOAKROOM_ADMIN_KEYZ", "CLOAKROOM_ADMIN_URLS"):
        with pytest.raises(SettingsError, match=typo):
            load_settings({**GOOD, typo: "x"})


def test_the_limits_that_count_for_each_worker_are_named(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    show_config()
    assert "workers" not in capsys.readouterr().err
    monkeypatch.setenv("CLOAKROOM_WORKERS", "3")
    show_config()
    told = capsys.readouterr()
    assert "3 workers; for each of them count max_in_flight, sideband_max, " in told.err
    assert "CLOAKROOM_WORKERS" in told.out
