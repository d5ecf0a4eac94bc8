"""``cloakroom dev`` as a person uses it: a process, its output, Ctrl-C, and what is left after it."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.store.embedded.engine import LocalEngine, find_engine
from tests.support.clocks import PATIENCE, until
from tests.support.dev import Dev, assert_a_relay, bash
from tests.support.onlooker import onlooker

OPERATOR_START, OPERATOR_END = "# see it as an operator", 'handles revoke "$HANDLE"'


def alive(pid: int) -> bool:
    """Whether the process runs; one that ended and waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def told(pid: int) -> str:
    """The process for a failure's text: its state and its command."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return f"{pid} {state} {Path(f'/proc/{pid}/cmdline').read_text().replace(chr(0), ' ')}"
    except FileNotFoundError:
        return f"{pid} ended"


def descendants(pid: int) -> set[int]:
    """Every process below ``pid``, by the kernel's own list."""
    found = set[int]()
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, tasks.read_text().split()):
            found |= {child} | descendants(child)
    return found


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def runs() -> Iterator[list[Dev]]:
    started: list[Dev] = []
    yield started
    for run in started:
        run.clean_up()


@pytest.fixture
def port() -> int:
    """A port that was free a moment ago; the command passes over what is taken."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found: int = probe.getsockname()[1]
    return found


def assert_nothing_is_left(run: Dev, pids: set[int], ports: set[int]) -> None:
    assert [pid for pid in pids if alive(pid)] == []
    assert [port for port in ports if is_open(port)] == []
    assert list(run.files.iterdir()) == []


def assert_the_operator_stops_it(run: Dev, recipe: str) -> None:
    """What is printed below the recipe, in the same shell."""
    run.wait_for(OPERATOR_END)
    text = run.output
    start = text.index(OPERATOR_START)
    commands = text[start : text.index(OPERATOR_END, start) + len(OPERATOR_END)]
    told = bash(f"{recipe}\n{commands}\n")
    assert " is live: " in told
    assert "answered" in told
    assert "revoked 1 handle" in told


def assert_only_this_machine_is_served(run: Dev) -> None:
    """A page whose name was made to lead here gets nothing of the replicas, nor of the provider."""
    (found,) = set(re.findall(r"^replica-a  http://127\.0\.0\.1:(\d+)", run.output, re.MULTILINE))
    (box,) = set(re.findall(r"^provider   http://127\.0\.0\.1:(\d+)", run.output, re.MULTILINE))
    for port, path in ((found, "/demo"), (found, "/metrics"), (found, "/docs"), (box, "/_sandbox/state")):
        for name, status in (("evil.example", 421), ("localhost", 200), ("127.0.0.1", 200)):
            connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=PATIENCE)
            connection.request("GET", path, headers={"Host": f"{name}:{port}"})
            assert connection.getresponse().status == status, (path, name)
            connection.close()
    # Nothing listens but on loopback.
    for listening in sorted(run.ports):
        with socket.socket() as elsewhere:
            assert elsewhere.connect_ex((_own_address(), listening)) != 0, listening


def _own_address() -> str:
    """An address of this machine that is not loopback; one that nobody has, where there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Nothing is sent: this only asks which address would be used.
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.255.255.255"
        return str(probe.getsockname()[0])


def test_the_printed_commands_work_as_printed_and_ctrl_c_leaves_nothing(
    runs: list[Dev], port: int, tmp_path: Path
) -> None:
    run = Dev(tmp_path, "--port", str(port))
    runs.append(run)
    recipe = run.recipe()
    pids, ports = descendants(run.process.pid), run.ports
    assert {run.child(name) for name in ("store", "provider", "replica-a", "replica-b")} == {
        pid for pid in pids if alive(pid)
    }
    assert len(ports) >= 4
    assert all(map(is_open, ports))

    assert_a_relay(bash(recipe))
    assert_a_relay(bash(recipe))  # and the same again
    assert_the_operator_stops_it(run, recipe)

    assert_only_this_machine_is_served(run)

    for pid in pids:
        command_line = Path(f"/proc/{pid}/cmdline").read_text()
        assert not re.search(r"ck_|sk-|k\d{8}a:", command_line)
        # Outside the terminal's group: Ctrl-C reaches the supervisor alone, which keeps the order.
        assert os.getpgid(pid) != run.process.pid
    assert re.search(r"^replica-a \| \{", run.output, re.MULTILINE)
    assert re.search(r"^replica-b \| \{", run.output, re.MULTILINE)
    assert "\x1b[" not in run.output  # no colours into a pipe

    run.ctrl_c()
    assert run.wait() == 0
    assert_nothing_is_left(run, pids, ports)


def test_children_die_with_a_supervisor_that_was_killed(runs: list[Dev], port: int, tmp_path: Path) -> None:
    run = Dev(tmp_path, "--port", str(port), "--quiet-logs")
    runs.append(run)
    run.recipe()
    pids, ports = descendants(run.process.pid), run.ports
    assert len(pids) == 4
    run.process.kill()
    run.wait()
    # The kernel kills them at once and takes its time to bury them: where the first thread of a process has
    # ended, another may still hold its sockets.
    until(lambda: not any(map(alive, pids)) and not any(map(is_open, ports)))
    assert [told(pid) for pid in pids if alive(pid)] == []
    assert [port for port in ports if is_open(port)] == []


def test_a_taken_port_is_passed_over_and_said_so(runs: list[Dev], tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        run = Dev(tmp_path, "--port", str(port), "--replicas", "1", "--quiet-logs")
        runs.append(run)
        recipe = run.recipe()
        assert f"port {port} is taken, so " in run.output
        assert f"127.0.0.1:{port}/" not in recipe
        assert_a_relay(bash(recipe))
        assert "replica-a |" not in run.output
        run.process.terminate()
        assert run.wait() == 0


def test_a_replica_that_dies_ends_everything_with_status_1(
    runs: list[Dev], port: int, tmp_path: Path
) -> None:
    run = Dev(tmp_path, "--port", str(port))
    runs.append(run)
    run.recipe()
    pids, ports = descendants(run.process.pid), run.ports
    os.kill(run.child("replica-b"), signal.SIGKILL)
    assert run.wait() == 1
    assert "stopping all: replica-b was killed by signal 9" in run.output
    assert_nothing_is_left(run, pids, ports)


@pytest.mark.parametrize("moment", ["store ", "provider ", "replica-a "])
def test_ctrl_c_while_things_come_up_leaves_nothing_either(
    moment: str, runs: list[Dev], port: int, tmp_path: Path
) -> None:
    run = Dev(tmp_path, "--port", str(port), "--quiet-logs")
    runs.append(run)
    run.wait_for(moment)
    pids = descendants(run.process.pid)
    run.ctrl_c()
    assert run.wait() == 0
    assert_nothing_is_left(run, pids, run.ports)


def test_ctrl_c_while_the_store_still_starts_leaves_nothing_either(
    runs: list[Dev], port: int, tmp_path: Path
) -> None:
    real = find_engine(os.environ)
    assert real is not None
    begun, programs, files = tmp_path / "begun", tmp_path / "bin", tmp_path / "files"
    programs.mkdir()
    files.mkdir()
    slow = programs / "redis-server"
    slow.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] || {{ touch "{begun}"; sleep 0.5; }}\nexec "{real.path}" "$@"\n'
    )
    slow.chmod(0o755)
    run = Dev(files, "--port", str(port), PATH=f"{programs}:{os.environ['PATH']}")
    runs.append(run)
    until(begun.exists)
    pids = descendants(run.process.pid)
    assert pids
    run.ctrl_c()
    assert run.wait() == 0
    assert_nothing_is_left(run, pids, run.ports)


def test_a_store_of_the_users_own_is_used_and_left_alone(runs: list[Dev], port: int, tmp_path: Path) -> None:
    with LocalEngine(password="very-own-password") as engine:
        run = Dev(tmp_path, "--port", str(port), "--quiet-logs", CLOAKROOM_REDIS_URL=engine.url)
        runs.append(run)
        assert_a_relay(bash(run.recipe()))
        run.ctrl_c()
        assert run.wait() == 0
        assert "very-own-password" not in run.output
        with onlooker(engine.url, decode=False) as client:
            assert len(client.keys("cloakroom:handle:*")) == 1


def test_a_second_ctrl_c_does_not_wait_for_a_hung_replica(runs: list[Dev], port: int, tmp_path: Path) -> None:
    run = Dev(tmp_path, "--port", str(port), "--replicas", "1")
    runs.append(run)
    run.recipe()
    pids, ports = descendants(run.process.pid), run.ports
    os.kill(run.child("replica-a"), signal.SIGSTOP)
    run.ctrl_c()
    time.sleep(0.5)
    assert run.process.poll() is None
    run.ctrl_c()
    assert run.wait() == 0
    # So it says of a child whose grace has run out.
    assert "was killed" not in run.output
    assert_nothing_is_left(run, pids, ports)


def test_a_replica_that_refuses_its_settings_is_quoted_and_ends_everything(
    runs: list[Dev], port: int, tmp_path: Path
) -> None:
    run = Dev(tmp_path, "--port", str(port), "--quiet-logs", CLOAKROOM_SIGNING_KEYS="k:c2hvcnQ")
    runs.append(run)
    assert run.wait() == 1
    assert "replica-a ended with status 1" in run.output
    assert "CLOAKROOM_SIGNING_KEYS" in run.output
    assert "weak" in run.output
    assert_nothing_is_left(run, set(), run.ports)


def test_without_a_shared_store_one_replica_serves_and_says_so(
    runs: list[Dev], port: int, tmp_path: Path
) -> None:
    run = Dev(tmp_path, "--port", str(port), "--redis-url", "memory://", "--quiet-logs")
    runs.append(run)
    recipe = run.recipe()
    assert "NO REDIS: one replica only" in run.output
    assert "replica-b" not in run.output
    assert_a_relay(bash(recipe))
    run.ctrl_c()
    assert run.wait() == 0
