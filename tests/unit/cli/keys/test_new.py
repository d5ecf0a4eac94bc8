"""``cloakroom keys new``: what it prints is what the service takes, and nothing twice."""

from __future__ import annotations

import hashlib
import json
import subprocess
from datetime import date
from pathlib import Path

import pytest

from app.cli.failure import CliFailure
from app.cli.keys.new import kids_in, make, next_kid
from app.cli.root import run
from app.handles.keyring import parse_sealing_ring, parse_signing_ring
from app.settings.load import load_settings
from app.settings.secrets import parse_key_pairs

RINGS = ("CLOAKROOM_SIGNING_KEYS", "CLOAKROOM_SEALING_KEYS", "CLOAKROOM_API_KEYS", "CLOAKROOM_ADMIN_KEYS")


@pytest.fixture(autouse=True)
def no_rings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in RINGS:
        monkeypatch.delenv(name, raising=False)


def environment_of(text: str) -> dict[str, str]:
    """Read an environment file as shells and Compose do: comments and name=value."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_the_printed_lines_start_the_service(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["keys", "new", "--client", "web.shop"]) == 0
    env = environment_of(capsys.readouterr().out)
    assert tuple(env) == RINGS

    settings = load_settings(env | {"CLOAKROOM_REDIS_URL": "redis://redis", "OPENAI_API_KEY": "sk-x"})

    assert settings.signing_keys is not None
    assert parse_signing_ring(settings.signing_keys.get_secret_value()).active.algorithm == "HS256"
    assert list(parse_key_pairs(env["CLOAKROOM_API_KEYS"])) == ["web.shop"]
    assert list(parse_key_pairs(env["CLOAKROOM_ADMIN_KEYS"])) == ["ops"]


def test_a_shell_can_append_them_to_a_file_and_read_them_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["keys", "new"])
    file = tmp_path / ".env"
    file.write_text(capsys.readouterr().out)
    shell = f'set -a; . "{file}"; printf %s "$CLOAKROOM_SEALING_KEYS"'
    read = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True)
    assert parse_sealing_ring(read.stdout).active.kid in kids_in(read.stdout)


def test_no_two_runs_and_no_two_kinds_share_a_secret(capsys: pytest.CaptureFixture[str]) -> None:
    secrets = set()
    for _ in range(3):
        run(["keys", "new"])
        secrets |= {value.partition(":")[2] for value in environment_of(capsys.readouterr().out).values()}
    assert len(secrets) == 12


@pytest.mark.parametrize(
    ("kind", "env"), [("signing", RINGS[0]), ("sealing", RINGS[1]), ("api", RINGS[2]), ("admin", RINGS[3])]
)
def test_only_one_kind(kind: str, env: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["keys", "new", "--only", kind]) == 0
    assert list(environment_of(capsys.readouterr().out)) == [env]


def test_an_ed25519_key_is_one_that_the_ring_signs_with(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["keys", "new", "--only", "signing", "--eddsa"]) == 0
    ring = parse_signing_ring(environment_of(capsys.readouterr().out)["CLOAKROOM_SIGNING_KEYS"])
    assert ring.active.algorithm == "EdDSA"


def test_json_has_the_digest_by_which_the_service_knows_a_key(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["keys", "new", "--json"]) == 0
    printed = capsys.readouterr()
    fresh = json.loads(printed.out)
    assert list(fresh) == ["signing", "sealing", "api", "admin"]
    for kind in ("api", "admin"):
        item = fresh[kind]
        assert item["sha256"] == "sha256:" + hashlib.sha256(item["key"].encode()).hexdigest()
        assert item["value"] == f"{item['name']}:{item['key']}"
        assert parse_key_pairs(f"{item['name']}:{item['sha256']}")
    assert fresh["signing"]["kid"] in parse_signing_ring(fresh["signing"]["value"]).by_kid


def test_the_comment_lines_hold_the_digest_too(capsys: pytest.CaptureFixture[str]) -> None:
    run(["keys", "new", "--only", "api"])
    out = capsys.readouterr().out
    key = environment_of(out)["CLOAKROOM_API_KEYS"].partition(":")[2]
    assert f"# CLOAKROOM_API_KEYS=default:sha256:{hashlib.sha256(key.encode()).hexdigest()}\n" in out


def test_a_second_key_of_the_day_gets_the_next_letter(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["keys", "new", "--only", "signing"])
    first = environment_of(capsys.readouterr().out)["CLOAKROOM_SIGNING_KEYS"]
    monkeypatch.setenv("CLOAKROOM_SIGNING_KEYS", first)
    run(["keys", "new", "--only", "signing"])
    second = environment_of(capsys.readouterr().out)["CLOAKROOM_SIGNING_KEYS"]
    ring = parse_signing_ring(f"{second},{first}")
    assert len(ring.by_kid) == 2


def test_key_ids_carry_the_date_and_run_out_with_the_letters() -> None:
    day = date(2026, 11, 21)
    taken: set[str] = set()
    for _ in range(26):
        taken.add(next_kid(day, taken))
    assert {"k20261121a", "k20261121z"} <= taken
    with pytest.raises(ValueError, match="2026-11-21"):
        next_kid(day, taken)
    ring = ",".join(f"{kid}:x" for kid in taken)
    with pytest.raises(CliFailure, match="in use"):
        make({"CLOAKROOM_SIGNING_KEYS": ring}, day, client="c", admin="a", eddsa=False)


def test_nothing_secret_shows_in_a_repr() -> None:
    for item in make({}, date(2026, 11, 21), client="c", admin="a", eddsa=False).values():
        assert item.entry.partition(":")[2] not in repr(item)


def test_a_name_that_the_settings_would_refuse_is_refused_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["keys", "new", "--client", "a:b"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "name" in printed.err
