"""The tests run on the wheel's server or on the one that is named, never on what the PATH happens to have."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.store.embedded.engine import LocalEngine, find_engine
from tests.support.store_server import (
    VARIABLE,
    NoServer,
    chosen_server,
    put_first,
    server_at,
    wheels_server,
)


def stand_in(folder: Path, *, version: str = "7.4.2", name: str = "redis-server") -> Path:
    """A program that only says its version."""
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f'#!/bin/sh\necho "Redis server v={version} sha=00000000:0 malloc=libc bits=64"\n')
    program.chmod(0o755)
    return program


def test_a_server_on_the_path_is_not_taken(tmp_path: Path) -> None:
    stand_in(tmp_path / "bin")
    environ = {"PATH": str(tmp_path / "bin")}
    assert chosen_server(environ) == wheels_server()
    assert str(wheels_server()).startswith("Valkey ")


def test_the_server_that_the_variable_names_is_taken(tmp_path: Path) -> None:
    program = stand_in(tmp_path / "elsewhere", name="my-server")
    server = chosen_server({VARIABLE: str(program)})
    assert (server.program, str(server)) == (program, "Redis 7.4.2")


@pytest.mark.parametrize("version", ["6.2.14", "nonsense"])
def test_a_named_server_that_will_not_do_is_an_error_and_no_reason_for_another(
    version: str, tmp_path: Path
) -> None:
    program = stand_in(tmp_path, version=version)
    with pytest.raises(NoServer, match=rf"^{VARIABLE}: {program} is no redis-server"):
        chosen_server({VARIABLE: str(program)})
    with pytest.raises(NoServer, match="missing is no redis-server"):
        server_at(tmp_path / "missing")


def test_the_chosen_server_is_found_before_every_other_until_it_is_cleaned_up(tmp_path: Path) -> None:
    stand_in(tmp_path / "bin", version="7.9.9")
    environ = {"PATH": str(tmp_path / "bin")}
    folder = put_first(wheels_server(), environ)
    found = find_engine(environ)
    assert found is not None
    assert found.version == wheels_server().version
    folder.cleanup()
    found = find_engine(environ)
    assert found is not None
    assert found.version == "7.9.9"


def test_this_very_run_and_its_child_processes_use_the_chosen_server() -> None:
    chosen = chosen_server(os.environ)
    with LocalEngine() as engine:
        assert engine.binary.path.samefile(chosen.program)
    script = (
        "import os; from app.store.embedded.engine import find_engine; print(find_engine(os.environ).path)"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert Path(said.stdout.strip()).samefile(chosen.program)
