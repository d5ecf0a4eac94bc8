"""``cloakroom config check``: each part of a LiteLLM file has its row; the exit status says what is left."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
import yaml

from app.cli.config.check import check_config
from app.cli.failure import EXIT_DONE, EXIT_FAILED, EXIT_OPEN, EXIT_REFUSED
from app.cli.root import run
from app.settings.litellm.differences import VERDICTS, client_differences
from app.web.routes import routes
from tests.support.planted import Planted
from tests.unit.settings.environments import load

SAMPLES: Final = Path(__file__).resolve().parents[2] / "samples" / "litellm"
COMPANY: Final = SAMPLES / "company.yaml"
BALANCED: Final = SAMPLES / "balanced.yaml"
ENTRA: Final = {
    "AZURE_TENANT_ID": "11111111-0000-0000-0000-000000000000",
    "AZURE_CLIENT_ID": "22222222-0000-0000-0000-000000000000",
    "AZURE_CLIENT_SECRET": "en~7Q.tSecretOfTheApplication",
    "LITELLM_MASTER_KEY": "sk-Vb6Yt2Mk9QpLx4Rz8Nw1Hc7Jd5Gf3",
}


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A laptop: none of the variables is set."""
    for name in ("OPENAI_API_KEY", "AZURE_API_KEY", "LITELLM_MASTER_KEY", *ENTRA):
        monkeypatch.delenv(name, raising=False)


def rows_of(file: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[dict[str, str]]]:
    """The exit status and the rows of the JSON document."""
    status = check_config(file, source="litellm", as_document=True)
    found: dict[str, Any] = orjson.loads(capsys.readouterr().out)
    assert found["counts"] == {
        verdict: count
        for verdict in VERDICTS
        if (count := sum(row["verdict"] == verdict for row in found["differences"]))
    }
    assert found["starts"] is (status != EXIT_FAILED)
    return status, found["differences"]


def verdicts(rows: list[dict[str, str]], place: str) -> dict[str, str]:
    """Text to verdict, of the rows about a place."""
    return {row["text"]: row["verdict"] for row in rows if row["place"] == place}


def write(folder: Path, document: Mapping[str, Any]) -> Path:
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(dict(document)))
    return file


def test_every_part_of_a_companys_file_has_its_row(capsys: pytest.CaptureFixture[str]) -> None:
    status, rows = rows_of(COMPANY, capsys)
    assert status == EXIT_OPEN
    loaded = yaml.safe_load(COMPANY.read_text())
    places = {row["place"] for row in rows}
    for number, one in enumerate(loaded["model_list"], start=1):
        assert f"model_list entry {number} ({one['model_name']})" in places
    for section in ("general_settings", "litellm_settings", "router_settings"):
        assert {f"{section}.{name}" for name in loaded[section]} <= places
    assert "guardrails" in places


def test_what_becomes_of_a_companys_models(capsys: pytest.CaptureFixture[str]) -> None:
    _, rows = rows_of(COMPANY, capsys)
    openai = verdicts(rows, "model_list entry 1 (gpt-realtime-2.1)")
    assert openai.pop("served as deployment 'openai-gpt-realtime-2.1', a realtime model") == "same"
    assert openai.pop("no effect on a realtime call: litellm_params.timeout") == "differs"
    assert openai.pop("the variable OPENAI_API_KEY is not set here: set it where Cloakroom runs") == "do"
    assert [(text.partition(":")[0], verdict) for text, verdict in openai.items()] == [
        ("litellm_params.budget_duration", "lost"),
        ("litellm_params.max_budget", "lost"),
        ("model_info.access_groups", "do"),
    ]
    azure = verdicts(rows, "model_list entry 2 (voice-eu)")
    assert "same" in azure.values()
    assert {text.partition(" ")[0]: verdict for text, verdict in azure.items()}["api_version"] == "differs"
    for chat in ("3 (gpt-5)", "4 (claude-sonnet)", "5 (embeddings)"):
        # Their variables need not be set.
        assert set(verdicts(rows, f"model_list entry {chat}").values()) == {"stays"}


@pytest.mark.parametrize(
    ("place", "verdict", "word"),
    [
        ("litellm_settings.callbacks", "differs", "/metrics"),
        ("litellm_settings.success_callback", "do", "logs"),
        ("litellm_settings.num_retries", "differs", "retried"),
        ("litellm_settings.drop_params", "stays", "text"),
        ("litellm_settings.fallbacks", "do", "order"),
        ("litellm_settings.default_internal_user_params", "do", "client"),
        ("router_settings.routing_strategy", "lost", "weight"),
        ("router_settings.redis_host", "do", "CLOAKROOM_REDIS_URL"),
        ("router_settings.model_group_alias", "do", "'writer'"),
        ("general_settings.database_url", "do", "client"),
        ("general_settings.database_connection_pool_limit", "differs", "database"),
        ("general_settings.store_model_in_db", "do", "model_list"),
        ("general_settings.alerting", "do", "alerts.yml"),
        ("general_settings.enable_jwt_auth", "differs", "off"),
        ("general_settings.allow_non_billable_realtime_protocols", "same", "served"),
        ("general_settings.a_setting_of_next_year", "do", "does not know"),
        ("guardrails", "lost", "audio"),
    ],
)
def test_what_becomes_of_a_companys_settings(
    place: str, verdict: str, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _, rows = rows_of(COMPANY, capsys)
    ((text, found),) = verdicts(rows, place).items()
    assert (found, word in text) == (verdict, True), text


def test_the_master_key_becomes_a_client(capsys: pytest.CaptureFixture[str]) -> None:
    _, rows = rows_of(COMPANY, capsys)
    found = verdicts(rows, "general_settings.master_key")
    assert sorted(found.values()) == ["differs", "do"]
    assert any("client 'master'" in text for text in found)


def test_nothing_is_left_to_do_for_a_file_that_is_taken_over_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = Planted()
    for name, value in planted.environment(CLOAKROOM_REDIS_URL="redis://127.0.0.1:6379", **ENTRA).items():
        monkeypatch.setenv(name, value)
    status, rows = rows_of(BALANCED, capsys)
    assert [
        row for row in rows if row["part"] != "client" and row["verdict"] in ("do", "lost", "stops")
    ] == []
    assert status == EXIT_DONE


def test_other_names_that_all_lead_to_a_model_are_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = yaml.safe_load(BALANCED.read_text())
    file["router_settings"]["model_group_alias"] = {"assistant": "gpt-realtime"}
    _, rows = rows_of(write(tmp_path, file), capsys)
    assert list(verdicts(rows, "router_settings.model_group_alias").values()) == ["same"]


def test_a_variable_that_is_not_set_is_a_step_and_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    status, rows = rows_of(BALANCED, capsys)
    assert status == EXIT_OPEN
    for name in ("CLOAKROOM_SIGNING_KEYS", "CLOAKROOM_SEALING_KEYS", "CLOAKROOM_REDIS_URL"):
        assert list(verdicts(rows, name).values()) == ["do"]
    first = verdicts(rows, "model_list entry 1 (gpt-realtime)")
    assert {name for text in first for name in re.findall(r"the variable (\w+) is", text)} == {
        name for name in ENTRA if name.startswith("AZURE")
    }


@pytest.mark.parametrize(
    ("params", "word"),
    [
        ({"model": "azure/voice", "api_key": "some-key-0123456789abcdef"}, "api_base is missing"),
        ({"model": "openai/gpt-realtime", "api_key": "sk-x", "api_base": "ftp://x"}, "http"),
    ],
)
def test_a_mistake_is_a_row_and_the_exit_status(
    params: dict[str, str], word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = {"model_name": "voice", "litellm_params": params, "model_info": {"mode": "realtime"}}
    file = write(tmp_path, {"model_list": [entry], "general_settings": {"master_key": "os.environ/KEY"}})
    status, rows = rows_of(file, capsys)
    assert status == EXIT_FAILED
    assert [row for row in rows if row["verdict"] == "stops" and word in row["text"]]


def test_a_file_without_a_realtime_model_stops(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entry = {"model_name": "gpt-5", "litellm_params": {"model": "openai/gpt-5"}}
    status, rows = rows_of(write(tmp_path, {"model_list": [entry]}), capsys)
    assert status == EXIT_FAILED
    assert "no entry is a realtime model" in next(row["text"] for row in rows if row["verdict"] == "stops")


def test_no_client_key_at_all_stops(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    params = {"model": "openai/gpt-realtime", "api_key": "os.environ/OPENAI_API_KEY"}
    entry = {"model_name": "voice", "litellm_params": params, "model_info": {"mode": "realtime"}}
    status, rows = rows_of(write(tmp_path, {"model_list": [entry]}), capsys)
    assert status == EXIT_FAILED
    assert [row["place"] for row in rows if row["verdict"] == "stops"] == ["CLOAKROOM_API_KEYS"]


def test_a_secret_behind_the_prefix_is_not_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = "sk-proj-Vb6Yt2Mk9QpLx4Rz8Nw1Hc7Jd5Gf3"
    params = {"model": "openai/gpt-realtime", "api_key": f"os.environ/{secret}", "rogue": secret}
    entry = {"model_name": "voice", "litellm_params": params, "model_info": {"mode": "realtime"}}
    file = write(tmp_path, {"model_list": [entry], "general_settings": {"master_key": secret}})
    for as_document in (True, False):
        check_config(file, source="litellm", as_document=as_document)
        shown = capsys.readouterr()
        assert secret not in shown.out + shown.err


def test_the_table_has_a_heading_for_each_part_and_no_text_is_cut(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert check_config(COMPANY, source="litellm") == EXIT_OPEN
    shown = capsys.readouterr()
    headings = [line.split("  ")[0] for line in shown.out.splitlines() if "VERDICT" in line]
    assert headings == ["MODELS", "SETTINGS", "KEYS AND BUDGETS", "CLIENTS"]
    for row in client_differences():
        assert f"{row.text}\n" in shown.out
    assert re.search(r"^\d+ lost: has no equal here$", shown.err, re.MULTILINE)


@pytest.mark.parametrize("text", ["deployments: {}\n", "- a list\n", "model_list: [", ""])
def test_another_file_is_a_failure_that_says_why(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    assert run(["config", "check", str(file), "--from", "litellm"]) == EXIT_FAILED
    assert "the settings are not usable" in capsys.readouterr().err


@pytest.mark.parametrize("more", [[], ["--from", "nginx"]])
def test_the_source_must_be_named(more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(["config", "check", str(COMPANY), *more])
    assert ended.value.code == EXIT_REFUSED
    assert "--from" in capsys.readouterr().err


def test_each_client_path_that_is_the_same_is_served() -> None:
    served = {route.path for route in routes(load()) if route.method == "POST"}
    for row in client_differences():
        method, _, path = row.place.partition(" ")
        if method == "POST" and row.verdict == "same" and not path.endswith("..."):
            assert path in served


def test_the_page_about_moving_over_explains_every_verdict() -> None:
    page = (SAMPLES.parents[2] / "docs" / "moving-from-litellm.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `([a-z]+)` \| (.+) \|$", page, re.MULTILINE) == list(VERDICTS.items())
