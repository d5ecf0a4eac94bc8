"""``cloakroom doctor`` as a person runs it: real processes all around, each of them well and unwell."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.store.embedded.engine import LocalEngine
from tests.support import warm
from tests.support.clocks import PATIENCE, kept_deadline
from tests.support.planted import Planted
from tests.support.processes import ROOT, Sandbox

OURS = """\
deployments:
  openai: {{provider: openai, base_url: "{url}/v1", api_key: "${{OPENAI_API_KEY}}"}}
  sweden: {{provider: azure, base_url: "{url}", model: {model}, api_key: "${{AZURE_API_KEY}}"}}
models: {{gpt-realtime-2.1: openai, voice-eu: sweden}}
"""
LITELLM = ROOT / "tests/samples/litellm/sandbox.yaml"


@dataclass(frozen=True)
class Run:
    """One run of the command."""

    status: int
    out: str
    err: str

    @property
    def findings(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.out)["findings"]
        return found

    def failed(self) -> set[tuple[str, str | None, str]]:
        return {
            (one["area"], one["subject"], one["name"]) for one in self.findings if one["status"] == "fail"
        }

    def row(self, name: str, subject: str | None = None) -> dict[str, Any]:
        (found,) = [one for one in self.findings if (one["name"], one["subject"]) == (name, subject)]
        return found


class Surroundings:
    """A store and a provider in a box, and the settings that lead to them."""

    def __init__(self, planted: Planted, engine: LocalEngine, sandbox: Sandbox, folder: Path) -> None:
        self.planted, self.engine, self.sandbox = planted, engine, sandbox
        self.folder = folder
        self.started = False

    def config(self, *, url: str | None = None, model: str = "voice-prod") -> str:
        file = self.folder / f"cloakroom-{model}.yaml"
        file.write_text(OURS.format(url=url or self.sandbox.url, model=model))
        return str(file)

    def environment(self, **changes: str) -> dict[str, str]:
        """The service's own variables; nothing else of the test's process but what every program needs."""
        return {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            **self.planted.environment(
                CLOAKROOM_REDIS_URL=self.engine.url,
                OPENAI_API_KEY=self.planted.openai_key,
                AZURE_API_KEY=self.planted.azure_key,
                SANDBOX_URL=self.sandbox.url,
                LITELLM_MASTER_KEY="sk-" + self.planted.client_key,
            ),
            **changes,
        }

    def doctor(self, *arguments: str, **changes: str) -> Run:
        """Run the command; no secret may stand in what it says, whatever it says.

        The first run is started in the plain way, the others are forks.
        """
        words, environment = ["doctor", *arguments], self.environment(**changes)
        if self.started and warm.fits(changes):
            run = Run(*warm.run(words, environment))
        else:
            done = subprocess.run(
                [sys.executable, "-m", "app", *words],
                env=environment,
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
                timeout=PATIENCE,
            )
            run, self.started = Run(done.returncode, done.stdout, done.stderr), True
        self.assert_no_secret(run.out + run.err)
        return run

    def assert_no_secret(self, text: str) -> None:
        for secret in self.planted.all_values():
            assert secret not in text, f"a secret stands in the output: {secret[:6]}..."
        assert "ek_" not in text


@pytest.fixture(scope="module")
def well(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Surroundings]:
    """Surroundings that tests leave as they found them."""
    planted = Planted()
    with (
        LocalEngine(password=planted.store_password) as engine,
        Sandbox("--peer", "static", openai_key=planted.openai_key, azure_key=planted.azure_key) as sandbox,
    ):
        yield Surroundings(planted, engine, sandbox, tmp_path_factory.mktemp("doctor"))


def test_all_is_well_with_store_openai_and_azure(well: Surroundings) -> None:
    before = well.sandbox.control("GET", "state")["keys"]["minted"]
    run = well.doctor("--config", well.config(), "--mint", "--json")
    assert run.status == 0, run.out
    assert run.err == ""
    assert run.failed() == set()
    assert json.loads(run.out)["summary"]["healthy"] is True
    for name in ("openai", "sweden"):
        for check in ("target", "credential", "reach", "clock", "mint"):
            assert run.row(check, name)["status"] == "ok"
    assert run.row("access")["status"] == "ok"
    assert well.sandbox.control("GET", "state")["keys"]["minted"] - before == 2


def test_the_page_about_it_has_every_row(well: Surroundings) -> None:
    page = (ROOT / "docs/doctor.md").read_text(encoding="utf-8")
    run = well.doctor("--config", well.config(), "--mint", "--json")
    missing = {one["name"] for one in run.findings if f"`{one['name']}`" not in page}
    assert missing == set()


def test_without_mint_nothing_is_minted_and_the_row_says_how_to_ask(well: Surroundings) -> None:
    before = well.sandbox.control("GET", "state")["keys"]["minted"]
    run = well.doctor("--config", well.config(), "--json")
    assert run.status == 0
    assert well.sandbox.control("GET", "state")["keys"]["minted"] == before
    row = run.row("mint", "sweden")
    assert row["status"] == "skipped"
    assert "--mint" in row["fix"]


def test_every_finding_of_the_document_has_the_same_shape(well: Surroundings) -> None:
    document = json.loads(well.doctor("--config", well.config(model="no-such"), "--mint", "--json").out)
    assert document.keys() == {"summary", "findings"}
    assert document["summary"].keys() == {"healthy", "seconds", "ok", "warn", "fail", "skipped"}
    for finding in document["findings"]:
        assert finding.keys() == {"area", "name", "status", "detail", "fix", "subject"}
        assert finding["status"] in ("ok", "warn", "fail", "skipped")
        assert finding["status"] == "ok" or finding["fix"]
        assert (finding["area"] == "deployment") == (finding["subject"] is not None)
    for status in ("ok", "warn", "fail", "skipped"):
        count = sum(finding["status"] == status for finding in document["findings"])
        assert document["summary"][status] == count


def test_a_wrong_key_is_a_failed_mint_that_names_the_setting(well: Surroundings) -> None:
    run = well.doctor(
        "--config", well.config(), "--mint", "--json", OPENAI_API_KEY="sk-revoked-0123456789abcdef"
    )
    assert run.status == 1
    assert run.failed() == {("deployment", "openai", "mint")}
    row = run.row("mint", "openai")
    assert "401 invalid_api_key" in row["detail"]
    assert "deployments.openai.api_key" in row["fix"]
    assert "sk-revoked" not in run.out


@pytest.mark.parametrize(
    ("model", "code"),
    [("no-such-name", "404 DeploymentNotFound"), ("gpt-realtime-2.1", "400 OpperationNotSupported")],
)
def test_a_wrong_azure_deployment_is_explained(model: str, code: str, well: Surroundings) -> None:
    run = well.doctor("--config", well.config(model=model), "--mint", "--json")
    assert run.status == 1
    assert run.failed() == {("deployment", "sweden", "mint")}
    assert code in run.row("mint", "sweden")["detail"]
    assert "deployments.sweden.model" in run.row("mint", "sweden")["fix"]


def test_one_model_keeps_the_look_to_its_deployments(well: Surroundings) -> None:
    run = well.doctor(
        "--config", well.config(model="no-such"), "--mint", "--model", "gpt-realtime-2.1", "--json"
    )
    assert run.status == 0
    assert {one["subject"] for one in run.findings} == {None, "openai"}


def test_a_provider_s_clock_90_seconds_off_fails(well: Surroundings) -> None:
    well.sandbox.control("PUT", "clock", {"skew": 90})
    try:
        run = well.doctor("--config", well.config(), "--json")
    finally:
        well.sandbox.control("PUT", "clock", {"skew": 0})
    assert run.status == 1
    assert run.failed() == {("deployment", "openai", "clock"), ("deployment", "sweden", "clock")}
    # ``Date`` has whole seconds, and half of a slow answer's time counts as well.
    found = re.search(r"is (\d+) s ahead", run.row("clock", "openai")["detail"])
    assert found is not None
    assert 89 <= int(found[1]) <= 90 + PATIENCE
    assert "NTP" in run.row("clock", "openai")["fix"]


def test_a_host_that_cannot_be_reached_fails_and_the_store_is_still_looked_at(well: Surroundings) -> None:
    run = well.doctor("--config", well.config(url="http://127.0.0.1:1"), "--json")
    assert run.status == 1
    assert run.failed() == {("deployment", "openai", "reach"), ("deployment", "sweden", "reach")}
    assert run.row("access")["status"] == "ok"
    assert "deployments.sweden.base_url" in run.row("reach", "sweden")["fix"]


def test_a_dead_store_fails_and_the_providers_are_still_looked_at(well: Surroundings) -> None:
    run = well.doctor(
        "--config", well.config(), "--mint", "--json", CLOAKROOM_REDIS_URL="redis://127.0.0.1:1/0"
    )
    assert run.status == 1
    assert run.failed() == {("store", None, "reach")}
    assert run.row("mint", "openai")["status"] == "ok"


def test_a_hung_store_is_a_failed_row_and_no_hung_doctor(well: Surroundings) -> None:
    os.kill(well.engine.pid, signal.SIGSTOP)
    try:
        # Three deadlines at the most; the driver by itself would wait for a minute.
        with kept_deadline(5):
            run = well.doctor("--config", well.config(), "--json", "--timeout", "2")
    finally:
        os.kill(well.engine.pid, signal.SIGCONT)
    assert run.status == 1
    assert run.failed() == {("store", None, "reach")}


def test_a_weak_secret_is_a_failed_row_with_the_command_that_makes_a_good_one(well: Surroundings) -> None:
    run = well.doctor("--json", CLOAKROOM_SIGNING_KEYS="k1:c2hvcnQ", CLOAKROOM_API_KEYS="shop:hunter2")
    assert run.status == 1
    assert run.failed() >= {
        ("settings", None, "CLOAKROOM_SIGNING_KEYS"),
        ("settings", None, "CLOAKROOM_API_KEYS"),
    }
    assert "cloakroom keys new" in run.row("CLOAKROOM_SIGNING_KEYS")["fix"]
    assert "hunter2" not in run.out


def test_what_was_understood_of_a_litellm_file_is_shown_and_works(well: Surroundings) -> None:
    run = well.doctor("--config", str(LITELLM), "--mint", "--json")
    assert run.status == 0, run.out
    noted = [one for one in run.findings if one["area"] == "litellm"]
    assert any("served as deployment" in one["detail"] for one in noted)
    assert any("gpt-4o" in one["name"] and one["detail"].startswith("left out") for one in noted)
    assert any("drop_params" in one["detail"] for one in noted)
    minted = [one for one in run.findings if one["name"] == "mint"]
    assert {one["subject"] for one in minted} == {
        one["subject"] for one in run.findings if one["name"] == "target"
    }
    assert {one["status"] for one in minted} == {"ok"}


def test_a_litellm_entry_that_is_for_chat_is_told_how_to_leave_it_out(well: Surroundings) -> None:
    config = yaml.safe_load(LITELLM.read_text(encoding="utf-8"))
    params = {"model": "azure/chat", "api_base": well.sandbox.url, "api_key": "os.environ/AZURE_API_KEY"}
    entry = {"model_name": "assistant", "litellm_params": params}
    config["model_list"].append(entry)
    file = well.folder / "litellm.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    run = well.doctor("--config", str(file), "--mint", "--json")
    (failed,) = [one for one in run.findings if one["status"] == "fail"]
    assert failed["detail"].startswith("assistant: 400 OpperationNotSupported")
    assert "leave the entry out with model_info.mode: chat" in failed["fix"]
    entry["model_info"] = {"mode": "chat"}
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    assert well.doctor("--config", str(file), "--mint", "--json").status == 0


def test_quiet_prints_failures_only_and_the_status_stays(well: Surroundings) -> None:
    assert well.doctor("--config", well.config(), "--quiet").out == ""
    run = well.doctor("--config", well.config(model="no-such"), "--mint", "--quiet")
    assert run.status == 1
    (line,) = run.out.splitlines()
    assert line.startswith("FAIL  deployment sweden  mint  ")
    assert "  fix: " in line


def test_a_wrong_usage_is_status_2(well: Surroundings) -> None:
    assert well.doctor("--timeout", "never").status == 2
    assert well.doctor("--frobnicate").status == 2


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["lines", "json"])
def test_a_reader_that_has_seen_enough_changes_neither_status_nor_peace(
    form: list[str], well: Surroundings
) -> None:
    for model, status in (("voice-prod", 0), ("no-such", 1)):
        process = subprocess.Popen(
            [sys.executable, "-m", "app", "doctor", "--config", well.config(model=model), "--mint", *form],
            env=well.environment(),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        with process.stderr as stream:
            complaints = stream.read()
        assert (process.wait(30), complaints) == (status, b"")


def test_a_terminal_that_knows_no_unicode_gets_every_row(well: Surroundings) -> None:
    file = Path(well.config(model="ascii"))
    file.write_text(file.read_text().replace("voice-eu", "\u00fcber-stimme"), encoding="utf-8")
    run = well.doctor("--config", str(file), PYTHONIOENCODING="ascii")
    assert run.status == 0, run.err
    assert "?ber-stimme -> sweden" in run.out


@pytest.mark.parametrize(("columns", "term"), [(80, "xterm-256color"), (120, "xterm-256color"), (80, "dumb")])
def test_on_a_terminal_it_is_a_table_that_fits(columns: int, term: str, well: Surroundings) -> None:
    status, shown = on_a_terminal(well, columns, term)
    assert status == 1
    well.assert_no_secret(shown)
    if term == "dumb":
        assert "\x1b" not in shown
        assert any(line.startswith("FAIL  deployment sweden") for line in shown.splitlines())
        return
    body = shown.rpartition("looking at")[2]
    lines = [without_escapes(line) for line in body.splitlines()]
    assert max(map(len, lines)) <= columns
    assert {"Settings", "Store", "Deployment openai", "Deployment sweden"} <= {line.strip() for line in lines}
    assert any(line.strip().startswith("✗ FAIL  mint") for line in lines)


def on_a_terminal(surroundings: Surroundings, columns: int, term: str) -> tuple[int, str]:
    """Run it with a terminal of this width as its output, and return the exit status and what was drawn."""
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (50, columns))
    config = surroundings.config(model="no-such")
    process = subprocess.Popen(
        [sys.executable, "-m", "app", "doctor", "--config", config, "--mint"],
        env=surroundings.environment(TERM=term, PYTHONUTF8="1"),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=its,
        stderr=its,
    )
    os.close(its)
    drawn = b""
    try:
        while data := os.read(ours, 65_536):
            drawn += data
    except OSError:  # Linux's way to say that the other end is closed
        pass
    finally:
        os.close(ours)
    return process.wait(30), drawn.decode()


def without_escapes(line: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).replace("\r", "")
