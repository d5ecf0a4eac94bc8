"""Settings as the doctor reads them: a row a problem with its mend, and a row a note on a LiteLLM file."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.doctor.source import read_source
from tests.unit.settings.environments import AZURE, CLIENT_KEY, GOOD, OWN, PLANTED, without
from tests.unit.values import OPENAI_KEY

ONE = f'{{"a": {{"provider": "openai", "api_key": "{OPENAI_KEY}"}}}}'
LITELLM = """\
model_list:
  - model_name: voice
    litellm_params: {model: openai/gpt-realtime-2.1, api_key: os.environ/OPENAI_API_KEY, seed: 1}
    model_info: {mode: realtime}
  - model_name: gpt-4o
    litellm_params: {model: openai/gpt-4o, api_key: os.environ/NOT_SET}
  - model_name: realtime-elsewhere
    litellm_params: {model: vertex_ai/some-realtime}
    model_info: {mode: realtime}
"""


def test_settings_that_load_say_where_they_come_from() -> None:
    source = read_source(GOOD)
    assert source.settings is not None
    assert [(row.name, row.status, row.detail) for row in source.findings] == [
        ("source", "ok", "the environment")
    ]


@pytest.mark.parametrize(
    ("environ", "name", "fix"),
    [
        (without("CLOAKROOM_SIGNING_KEYS"), "CLOAKROOM_SIGNING_KEYS", "run 'cloakroom keys new' to make one"),
        ({**GOOD, "CLOAKROOM_SEALING_KEYS": f"s:{'A' * 43}"}, "CLOAKROOM_SEALING_KEYS", "keys new"),
        ({**GOOD, "CLOAKROOM_API_KEYS": "shop:hunter2"}, "CLOAKROOM_API_KEYS", "keys new"),
        (without("CLOAKROOM_REDIS_URL"), "CLOAKROOM_REDIS_URL", "CLOAKROOM_ENVIRONMENT=development"),
        ({**GOOD, "CLOAKROOM_PORT": "many"}, "CLOAKROOM_PORT", "correct CLOAKROOM_PORT"),
        ({**GOOD, "CLOAKROOM_PROT": "80"}, "CLOAKROOM_PROT", "did you mean CLOAKROOM_PORT?"),
        (without("OPENAI_API_KEY"), "settings", "set OPENAI_API_KEY"),
        ({**OWN, **AZURE, "AZURE_OPENAI_API_KEY": ""}, "AZURE_OPENAI_API_KEY", "set AZURE_OPENAI_API_KEY"),
        ({**GOOD, "CLOAKROOM_DEFAULT_MODEL": "x", "CLOAKROOM_DEPLOYMENTS": ONE}, "models", "map at least"),
        (
            {**GOOD, "CLOAKROOM_CONFIG": "/nowhere/at-all.yaml"},
            "CLOAKROOM_CONFIG",
            "correct CLOAKROOM_CONFIG",
        ),
    ],
)
def test_each_problem_is_a_failed_row_that_names_the_setting(
    environ: dict[str, str], name: str, fix: str
) -> None:
    source = read_source(environ)
    assert source.settings is None
    row = source.findings[0]
    assert (row.area, row.status, row.name) == ("settings", "fail", name)
    assert fix in row.fix
    assert not row.detail.startswith(f"{name}: ")


def test_several_problems_are_several_rows() -> None:
    environ = without("CLOAKROOM_SIGNING_KEYS", "CLOAKROOM_SEALING_KEYS", "OPENAI_API_KEY")
    assert len(read_source(environ).findings) == 3


def test_a_file_of_ours_is_named(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(f"deployments:\n  a: {{provider: openai, api_key: {OPENAI_KEY}}}\nmodels: {{'*': a}}\n")
    source = read_source({**OWN, "CLOAKROOM_CONFIG": str(file)})
    assert source.origin == "ours"
    assert source.findings[0].detail == f"the environment, and {file} (our own YAML)"


def test_a_mistake_in_a_file_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("deployments:\n  a: {provider: openai, base_url: 7, api_key: x}\nmodels: {'*': a}\n")
    (row,) = read_source({**OWN, "CLOAKROOM_CONFIG": str(file)}).findings
    assert row.fix == f"correct deployments.a.base_url in {file}"


def test_what_was_understood_of_a_litellm_file_is_a_row_each(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(LITELLM)
    source = read_source({**GOOD, "CLOAKROOM_CONFIG": str(file)})
    assert source.origin == "litellm"
    assert source.findings[0].detail.endswith("(LiteLLM's configuration)")
    noted = [(row.name, row.status, row.detail) for row in source.findings if row.area == "litellm"]
    assert any(status == "ok" and "served as deployment" in text for _, status, text in noted)
    assert any("litellm_params.seed" in text for _, _, text in noted)
    left_out = {name: status for name, status, text in noted if text.startswith("left out")}
    assert left_out == {
        "model_list entry 2 (gpt-4o)": "ok",
        "model_list entry 3 (realtime-elsewhere)": "warn",
    }


def test_a_litellm_file_s_notes_are_shown_beside_the_problems_and_once(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(LITELLM)
    environ = {name: value for name, value in GOOD.items() if name != "CLOAKROOM_API_KEYS"}
    source = read_source({**environ, "CLOAKROOM_CONFIG": str(file)})
    assert source.settings is None
    assert [row.name for row in source.findings if row.status == "fail"] == ["CLOAKROOM_API_KEYS"]
    assert len([row for row in source.findings if "realtime-elsewhere" in row.name]) == 1


def test_no_problem_shows_a_secret(tmp_path: Path) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text(f"clients: {{shop: {{api_key: {CLIENT_KEY}, models: 7}}, x: ]}}")
    wrong = [
        {**GOOD, "CLOAKROOM_CONFIG": str(file)},
        {**GOOD, "CLOAKROOM_SIGNING_KEYS": CLIENT_KEY},
        {**GOOD, "CLOAKROOM_API_KEYS": f"{CLIENT_KEY}:shop"},
        {**GOOD, "CLOAKROOM_CLIENTS": f"{{{CLIENT_KEY}"},
        {**GOOD, "CLOAKROOM_DEPLOYMENTS": f'{{"a": "{OPENAI_KEY}"}}'},
    ]
    for environ in wrong:
        source = read_source(environ)
        assert source.settings is None
        text = repr(source.findings)
        assert not [secret for secret in PLANTED if secret in text]
