"""The local engine, with the real server: it starts, answers, stops, and never outlives its parent."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.store.embedded.engine import EngineBinary, EngineError, LocalEngine, find_engine
from tests.support.clocks import PATIENCE, until
from tests.support.onlooker import onlooker


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie that nobody has reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def program(directory: Path, name: str, script: str) -> Path:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def ask(engine: LocalEngine) -> redis.Redis:
    return onlooker(engine.url, decode=False)


def test_it_serves_a_real_client_and_leaves_nothing_behind() -> None:
    with LocalEngine() as engine, ask(engine) as client:
        assert client.set("hat", "7", ex=60) is True
        assert client.get("hat") == b"7"
        assert client.info("server")["process_id"] == engine.pid
        assert client.config_get("save", "appendonly", "bind") == {
            "save": "",
            "appendonly": "no",
            "bind": "127.0.0.1",
        }
        pid, port, directory = engine.pid, engine.port, engine.directory
    assert not alive(pid)
    assert not directory.exists()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
    engine.stop()
    assert not engine.running


def test_it_comes_back_on_the_same_port_after_it_was_killed() -> None:
    with LocalEngine() as engine:
        port, first = engine.port, engine.pid
        os.kill(first, signal.SIGKILL)
        until(lambda: not engine.running)
        engine.start()
        assert engine.port == port
        assert engine.pid != first
        with ask(engine) as client:
            assert client.ping() is True


def test_a_password_of_any_characters_is_asked_for_and_is_on_no_command_line() -> None:
    password = 'quote" back\\slash %/:@ ä'
    with LocalEngine(password=password) as engine:
        with ask(engine) as client:
            assert client.ping() is True
        with (
            redis.Redis(host="127.0.0.1", port=engine.port, retry=Retry(NoBackoff(), 0)) as stranger,
            pytest.raises(redis.AuthenticationError),
        ):
            stranger.ping()
        command_line = Path(f"/proc/{engine.pid}/cmdline").read_bytes()
        assert b"quote" not in command_line


def test_it_gets_none_of_the_parents_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted")
    real = find_engine(os.environ)
    assert real is not None
    # The server writes its title over its own environment, so what it was given must be kept here.
    told = tmp_path / "told"
    wrapper = program(tmp_path, "redis-server", f'env > "{told}"; exec "{real.path}" "$@"')
    with LocalEngine(EngineBinary(wrapper, "path", real.version)) as engine, ask(engine) as client:
        assert client.ping() is True
    assert "PATH=" in told.read_text()
    assert "sk-planted" not in told.read_text()


def test_extra_arguments_win(tmp_path: Path) -> None:
    users = tmp_path / "users.acl"
    users.write_text("user default off\nuser desk on >pass123 ~* +@all\n")
    with LocalEngine(extra_args=["--aclfile", str(users), "--maxmemory", "8mb"]) as engine:
        desk = redis.Redis(host="127.0.0.1", port=engine.port, username="desk", password="pass123")
        with desk:
            assert desk.config_get("maxmemory") == {"maxmemory": "8388608"}
            assert desk.acl_whoami() == "desk"


def test_a_cluster_of_one_keeps_its_files_in_the_directory() -> None:
    with LocalEngine(extra_args=["--cluster-enabled", "yes"]) as engine, ask(engine) as client:
        assert client.info("cluster")["cluster_enabled"] == 1
        assert [file.name for file in engine.directory.iterdir()] == ["nodes.conf"]


def test_a_hung_server_is_woken_up_to_end_and_not_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []
    monkeypatch.setattr("app.store.embedded.engine.STOP_GRACE", PATIENCE)
    monkeypatch.setattr(subprocess.Popen, "kill", lambda process: killed.append(process.pid))
    engine = LocalEngine()
    engine.start()
    pid = engine.pid
    os.kill(pid, signal.SIGSTOP)
    engine.stop()
    assert not alive(pid)
    assert killed == []


def test_a_refused_option_is_reported_with_the_servers_own_words() -> None:
    engine = LocalEngine(extra_args=["--no-such-option", "1"])
    with pytest.raises(EngineError, match="no-such-option"):
        engine.start()
    assert not engine.running


def test_a_port_that_was_asked_for_and_is_taken_is_an_error() -> None:
    with LocalEngine() as first:
        second = LocalEngine(port=first.port)
        with pytest.raises(EngineError, match=r"(?i)in use"):
            second.start()
        with ask(first) as client:
            assert client.ping() is True


def test_a_program_that_never_answers_is_given_up_on_and_ended(tmp_path: Path) -> None:
    silent = EngineBinary(program(tmp_path, "redis-server", "exec sleep 60"), "path", "7.0.0")
    engine = LocalEngine(silent, start_timeout=0.3)
    with pytest.raises(EngineError, match=r"did not answer on port \d+ within 0.3 s"):
        engine.start()
    assert not engine.running


def test_a_program_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="gone-server"):
        LocalEngine(EngineBinary(tmp_path / "gone-server", "path", "7.0.0")).start()


def test_an_engine_outlives_the_thread_that_started_it() -> None:
    engine = LocalEngine()
    starter = threading.Thread(target=engine.start)
    starter.start()
    starter.join()
    try:
        time.sleep(0.2)  # the kernel's signal, if it were sent, is there within a millisecond
        assert engine.running
    finally:
        engine.stop()


def test_the_server_dies_with_a_parent_that_was_killed() -> None:
    script = (
        "from app.store.embedded.engine import LocalEngine\nimport time\n"
        "engine = LocalEngine(); engine.start(); print(engine.pid, engine.directory, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid, directory = parent.stdout.readline().split()
        assert alive(int(pid))
        parent.kill()
    until(lambda: not alive(int(pid)))
    Path(directory).rmdir()  # empty, or this fails: nothing was written


def test_the_server_and_its_directory_go_when_the_parent_forgets_to_stop() -> None:
    script = (
        "from app.store.embedded.engine import LocalEngine\n"
        "engine = LocalEngine(); engine.start(); print(engine.pid, engine.directory)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    pid, directory = done.stdout.split()
    assert not alive(int(pid))
    assert not Path(directory).exists()


def test_a_server_on_path_goes_first_unless_it_is_too_old(tmp_path: Path) -> None:
    packaged = find_engine({"PATH": ""})
    assert packaged is not None
    assert packaged.source == "wheel"

    (tmp_path / "new").mkdir()
    (tmp_path / "old").mkdir()
    (tmp_path / "broken").mkdir()
    program(tmp_path / "old", "redis-server", 'echo "Redis server v=6.2.14 sha=0:0 bits=64"')
    program(tmp_path / "broken", "redis-server", "exit 126")
    ours = program(tmp_path / "new", "valkey-server", f'exec {packaged.path} "$@"')

    found = find_engine({"PATH": str(tmp_path / "new")})
    assert found == EngineBinary(ours, "path", packaged.version)
    assert find_engine({"PATH": str(tmp_path / "old")}) == packaged
    assert find_engine({"PATH": str(tmp_path / "broken")}) == packaged
