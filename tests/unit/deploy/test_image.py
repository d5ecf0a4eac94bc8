"""The Dockerfile, what reaches the builder, and the health check that the image runs."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest

from tests.support.compose import ROOT, read_env_file
from tests.support.dockerfile import Config, instructions, read_stages

HEALTHCHECK = ROOT / "deploy" / "healthcheck.py"


DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")


def stage(name: str) -> Config:
    return read_stages(DOCKERFILE)[name].config


def copied_from_the_context() -> set[str]:
    sources = (
        shlex.split(rest)[:-1]
        for word, rest in instructions(DOCKERFILE)
        if word == "COPY" and "--from" not in rest
    )
    return {source for group in sources for source in group}


def test_the_builder_gets_what_is_copied_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule.removeprefix("!") for rule in rules if rule.startswith("!")} == copied_from_the_context()


def test_what_is_copied_exists() -> None:
    assert [name for name in copied_from_the_context() if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("target", ["service", "sandbox"])
def test_an_image_runs_as_a_numbered_user_and_stops_on_sigterm(target: str) -> None:
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", stage(target).user)
    assert stage(target).stop_signal == "SIGTERM"
    # In JSON's form, or the reader fails: a shell in between would keep the signal.
    assert stage(target).entrypoint
    assert stage(target).command


def test_a_plain_build_makes_the_service() -> None:
    assert [rest for word, rest in instructions(DOCKERFILE) if word == "FROM"][-1].endswith(" AS service")


def test_the_demo_asks_the_sandbox_where_it_listens() -> None:
    command = stage("sandbox").command
    port = command[command.index("--port") + 1]
    demo = read_env_file((ROOT / "deploy" / "demo.env").read_text(encoding="utf-8"))
    assert demo["OPENAI_BASE_URL"] == f"http://sandbox:{port}/v1"
    assert ("EXPOSE", port) in instructions(DOCKERFILE)


def test_every_installation_from_an_index_is_by_hash_and_of_wheels() -> None:
    runs = [rest for word, rest in instructions(DOCKERFILE) if word == "RUN" and "pip install" in rest]
    steps = [step for run in runs for step in run.split("&&") if "pip install" in step]
    assert steps
    for step in steps:
        by_hash = "--require-hashes" in step and "--only-binary=:all:" in step
        assert by_hash or "--no-index --no-deps" in step, step


def test_the_build_tool_is_locked_and_its_lock_names_no_address() -> None:
    text = (ROOT / "deploy" / "requirements-build.lock").read_text(encoding="utf-8")
    requirements = re.findall(r"(?m)^(\S+==\S+) \\\n((?:    --hash=\S+(?: \\)?\n)+)", text)
    assert len(requirements) == len(re.findall(r"(?m)^[a-z]", text))
    assert "://" not in text


class _Replica(BaseHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(503 if self.path == "/readyz" else 200)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing: pytest's output is no access log."""


@pytest.fixture
def replica() -> Iterator[int]:
    _Replica.asked.clear()
    with HTTPServer(("127.0.0.1", 0), _Replica) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def check(*arguments: str, **environment: str) -> int:
    command = [sys.executable, "-I", str(HEALTHCHECK), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, check=False).returncode


def test_the_health_check_asks_for_liveness_at_the_replicas_port_and_past_any_proxy(replica: int) -> None:
    nowhere = "http://127.0.0.1:9"
    assert check(CLOAKROOM_PORT=str(replica), HTTP_PROXY=nowhere, http_proxy=nowhere) == 0
    assert _Replica.asked == ["/livez"]


def test_the_health_check_fails_on_any_other_status(replica: int) -> None:
    assert check(f"http://127.0.0.1:{replica}/readyz") == 1


def test_the_health_check_fails_when_nobody_listens() -> None:
    assert check("http://127.0.0.1:9/livez") == 1
