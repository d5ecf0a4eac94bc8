"""``cloakroom doctor`` as a command: usage, exit status, and an end that a hung lookup cannot hold up."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from app.cli.doctor import AbandonableThreads
from app.cli.root import run
from app.telemetry.logs import without_logs
from tests.support.clocks import kept_deadline
from tests.unit.settings.environments import GOOD, PLANTED


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The process's environment with settings of ours and a provider and a store that are not there."""
    for name in os.environ:
        if name.startswith(("CLOAKROOM_", "OPENAI_", "AZURE_", "LITELLM_")) or name.lower().endswith(
            "_proxy"
        ):
            monkeypatch.delenv(name)
    for name, value in {
        **GOOD,
        "CLOAKROOM_REDIS_URL": "redis://:pw-J8h2Kd93lQwe@127.0.0.1:1/0",
        "OPENAI_BASE_URL": "http://127.0.0.1:1/v1",
    }.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.mark.parametrize(
    "arguments",
    [
        ["--nonsense"],
        ["--timeout", "0"],
        ["--timeout", "soon"],
        ["--timeout", "121"],
        ["--no-mint"],
        ["extra"],
    ],
)
def test_a_wrong_usage_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(["doctor", *arguments])
    assert ended.value.code == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("option", ["--config", "--mint", "--model", "--timeout", "--json", "--quiet"])
def test_every_option_is_explained(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if f" {option} " in line]
    assert len(line.replace("│", "").split()) > 3


def test_what_fails_is_status_1_one_line_each_and_no_secret(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["doctor", "--timeout", "3"]) == 1
    shown = capsys.readouterr()
    assert shown.err == ""
    failed = [line.split("  ")[1:3] for line in shown.out.splitlines() if line.startswith("FAIL")]
    assert failed == [["store", "reach"], ["deployment openai", "reach"]]
    assert not [secret for secret in PLANTED if secret in shown.out]


def test_settings_that_cannot_be_used_are_status_1_and_nothing_is_asked(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.setenv("CLOAKROOM_API_KEYS", "shop:hunter2")
    assert run(["doctor", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert [(row["area"], row["status"]) for row in document["findings"]] == [
        ("settings", "fail"),
        ("store", "skipped"),
    ]


def test_an_unknown_model_is_a_failure_that_names_the_known_ones(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.setenv("CLOAKROOM_MODELS", '{"gpt-realtime-2.1": "openai"}')
    deployments = {"openai": {"provider": "openai", "api_key": GOOD["OPENAI_API_KEY"]}}
    environment.setenv("CLOAKROOM_DEPLOYMENTS", json.dumps(deployments))
    assert run(["doctor", "--model", "nobody", "--quiet"]) == 1
    shown = capsys.readouterr().out
    assert (
        "FAIL  settings  --model  there is no model 'nobody'  fix: ask for one of gpt-realtime-2.1" in shown
    )
    assert "deployment openai" not in shown


@pytest.fixture
def hung_lookup(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A host whose name is looked up for as long as the test lasts."""
    host, end, lookup = "hangs.example", threading.Event(), socket.getaddrinfo

    def slow(name: Any, *rest: Any, **more: Any) -> Any:
        if name in (host, host.encode()):
            end.wait(60)
            raise socket.gaierror(socket.EAI_AGAIN, "the name server is away")
        return lookup(name, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    yield host
    end.set()


def test_a_name_server_that_hangs_cannot_hold_up_the_end(
    environment: pytest.MonkeyPatch, hung_lookup: str, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.setenv("OPENAI_BASE_URL", f"https://{hung_lookup}/v1")
    environment.setenv("CLOAKROOM_REDIS_URL", f"redis://{hung_lookup}:6379/0")
    # The look-up itself hangs for a minute.
    with kept_deadline(3):
        assert run(["doctor", "--mint", "--timeout", "0.6"]) == 1
    failed = {
        tuple(line.split("  ")[1:3])
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("FAIL")
    }
    assert {("store", "reach"), ("deployment openai", "reach"), ("deployment openai", "mint")} <= failed


def test_threads_give_results_and_errors_as_any_executor_does() -> None:
    async def use() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(AbandonableThreads())
        assert await loop.run_in_executor(None, sum, [1, 2]) == 3
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(None, divmod, 1, 0)

    asyncio.run(use())


def test_no_log_line_is_written_meanwhile_and_logging_comes_back(capsys: pytest.CaptureFixture[str]) -> None:
    def speak() -> None:
        structlog.get_logger("cloakroom.test").critical("spoken_by_us")
        logging.getLogger("somebody").critical("spoken_by_others")

    with without_logs():
        speak()
    assert capsys.readouterr() == ("", "")
    speak()
    assert "spoken_by_us" in capsys.readouterr().out
