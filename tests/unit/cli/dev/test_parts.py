"""The parts of ``cloakroom dev``, each with what it really works on: ports, bash, processes, pipes."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from app.cli.dev.child import TAIL_LINES, Child, first_sign, module_command
from app.cli.dev.ports import base_url, choose_ports, is_ready
from app.cli.dev.recipe import recipe
from app.cli.dev.screen import Screen
from app.cli.dev.stack import ready_url, sandbox_command
from app.cli.failure import CliFailure
from tests.support.clocks import PATIENCE, until


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_taken_port_is_passed_over(taken_port: int) -> None:
    def both_are_free() -> bool:
        first, second = choose_ports("127.0.0.1", taken_port, 2)
        assert taken_port < first < second
        with socket.socket() as one, socket.socket() as other, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", first))
            other.bind(("127.0.0.1", second))
            return True
        # Another program has taken one since.
        return False

    until(both_are_free)


def test_too_few_ports_and_foreign_addresses_are_told() -> None:
    with pytest.raises(CliFailure, match="no 3 free ports"):
        choose_ports("127.0.0.1", 65_534, 3)
    with pytest.raises(CliFailure, match="no address of this machine"):
        choose_ports("192.0.2.1", 8080, 1)


def test_urls_are_ones_that_a_client_on_this_machine_can_use() -> None:
    assert base_url("0.0.0.0", 80) == "http://127.0.0.1:80"
    assert base_url("::", 80) == "http://[::1]:80"
    assert base_url("localhost", 80) == "http://localhost:80"


def test_the_recipe_survives_bash_with_awkward_values(tmp_path: Path) -> None:
    """A stand-in on PATH shows what curl would be called with; the real curl runs in the system test."""
    shim = tmp_path / "curl"
    shim.write_text(
        f"#!{sys.executable}\nimport json, sys\nfrom pathlib import Path\n"
        f"with open({str(tmp_path / 'calls')!r}, 'a') as calls:\n"
        "    calls.write(json.dumps(sys.argv[1:]) + '\\n')\n"
        "print(json.dumps({'value': 'ek_handle'}))\n"
    )
    shim.chmod(0o755)
    text = recipe(
        [("replica-a", "http://a"), ("replica-b", "http://b")],
        "${KEY:?}",
        'it\'s "my" model',
        "/a dir/offer.sdp",
    )
    path = f"{tmp_path}:{os.environ['PATH']}"
    subprocess.run(["bash", "-euc", text], env={"PATH": path, "KEY": "ck_1"}, check=True, capture_output=True)
    mint, relay = (json.loads(line) for line in (tmp_path / "calls").read_text().splitlines())
    assert "http://a/v1/realtime/client_secrets" in mint
    assert "Authorization: Bearer ck_1" in mint
    assert json.loads(mint[mint.index("-d") + 1]) == {"model": 'it\'s "my" model'}
    assert "http://b/v1/realtime/calls" in relay
    assert "Authorization: Bearer ek_handle" in relay
    assert relay[-1] == "@/a dir/offer.sdp"


class Lines:
    """A sink that keeps what it is given."""

    def __init__(self, pause: float = 0) -> None:
        self.lines: list[str] = []
        self.arrived = asyncio.Event()
        self._pause = pause

    async def __call__(self, name: str, lines: list[str]) -> None:
        await asyncio.sleep(self._pause)
        self.lines += lines
        self.arrived.set()


def python(script: str) -> list[str]:
    return [sys.executable, "-c", script]


async def test_no_line_of_a_child_is_lost_however_slow_the_reader() -> None:
    sink = Lines(pause=0.002)
    script = "for n in range(50_000): print(n, 'x' * 40)\nprint('y' * 200_000)\nprint('no newline', end='')"
    child = await Child.start("child", python(script), os.environ, sink)
    assert await child.wait() == 0
    joined = "".join(sink.lines[50_000:-1])
    assert [line.split()[0] for line in sink.lines[:50_000]] == [str(n) for n in range(50_000)]
    assert joined == "y" * 200_000
    assert sink.lines[-1] == "no newline"
    assert len(child.tail) == TAIL_LINES


async def test_a_child_that_ignores_sigterm_is_killed_after_the_grace() -> None:
    sink = Lines()
    script = (
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('up', flush=True)\ntime.sleep(60)"
    )
    child = await Child.start("child", python(script), os.environ, sink)
    await sink.arrived.wait()
    assert await child.stop(0.2, asyncio.Event()) is False
    assert not child.running


async def test_a_second_wish_to_stop_cuts_the_grace_short() -> None:
    sink = Lines()
    script = (
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('up', flush=True)\ntime.sleep(60)"
    )
    child = await Child.start("child", python(script), os.environ, sink)
    await sink.arrived.wait()
    kill = asyncio.Event()
    stopping = asyncio.create_task(child.stop(PATIENCE, kill))
    await asyncio.sleep(0.1)
    assert child.running
    kill.set()
    assert await stopping is False
    assert not child.running


async def test_a_child_that_ends_early_is_told_with_its_last_lines() -> None:
    child = await Child.start(
        "replica-x", python("print('bad news'); raise SystemExit(3)"), os.environ, Lines()
    )
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    with pytest.raises(CliFailure, match=r"(?s)replica-x ended with status 3.*  bad news"):
        await first_sign(child, never, PATIENCE)


async def test_a_child_that_never_gets_ready_is_told_too() -> None:
    child = await Child.start("replica-x", python("import time; time.sleep(60)"), os.environ, Lines())
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    with pytest.raises(CliFailure, match=r"not ready after 0.1 s"):
        await first_sign(child, never, 0.1)
    await child.stop(PATIENCE, asyncio.Event())


async def test_our_package_is_found_and_not_one_of_that_name_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "app.py").write_text("raise SystemExit('the wrong app')\n")
    monkeypatch.chdir(tmp_path)
    sink = Lines()
    child = await Child.start("child", module_command("app", "--version"), os.environ, sink)
    assert await child.wait() == 0
    assert sink.lines[0].startswith("cloakroom ")


@pytest.mark.parametrize("webrtc", [True, False])
async def test_the_provider_in_a_box_says_where_it_listens_and_answers_there(webrtc: bool) -> None:
    sink = Lines()
    child = await Child.start("provider", sandbox_command(webrtc=webrtc), os.environ, sink)
    await sink.arrived.wait()
    url = ready_url(sink.lines[0])
    assert url is not None
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /v1/realtime/client_secrets HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 401")  # no key: it is the strict provider
    writer.close()
    assert await child.stop(PATIENCE, asyncio.Event())
    assert ready_url('{"event": "other"}') is ready_url("[]") is ready_url("Traceback") is None


@pytest.mark.parametrize(("answer", "ready"), [(b"200 OK", True), (b"503 Service Unavailable", False)])
async def test_ready_is_what_readyz_says(answer: bytes, ready: bool) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert (await reader.readline()) == b"GET /readyz HTTP/1.1\r\n"
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 " + answer + b"\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert await is_ready("127.0.0.1", port) is ready
    server.close()
    await server.wait_closed()
    assert await is_ready("127.0.0.1", port) is False


def plain_console() -> Console:
    return Console(file=io.StringIO(), highlight=False)


async def test_a_held_terminal_blocks_the_writers_and_not_the_loop() -> None:
    reading, writing = os.pipe()
    screen = Screen(plain_console(), writing, on_gone=lambda: None)
    text = "".join(f"{n}\n" for n in range(100_000))  # far more than a pipe holds
    write = asyncio.create_task(screen.write(text))
    after = asyncio.create_task(screen.say("after it"))
    await asyncio.sleep(0.1)
    assert not write.done()

    def drain() -> str:
        with os.fdopen(reading, "rb") as pipe:
            return pipe.read(len(text) + len("after it\n")).decode()

    read = asyncio.create_task(asyncio.to_thread(drain))
    await asyncio.gather(write, after)
    assert await read == text + "after it\n"
    os.close(writing)


async def test_a_reader_that_goes_away_is_noticed() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    gone = asyncio.Event()
    screen = Screen(plain_console(), writing, on_gone=gone.set)
    await screen.say("anyone?")
    assert gone.is_set()
    await screen.say("no one")  # and no second complaint
    os.close(writing)


async def test_colour_is_riches_decision() -> None:
    coloured = Console(file=io.StringIO(), force_terminal=True, color_system="standard", no_color=False)
    assert Screen(coloured, 1, on_gone=lambda: None).styled("a", "cyan") == "\x1b[36ma\x1b[0m"
    assert Screen(plain_console(), 1, on_gone=lambda: None).styled("a", "cyan") == "a"
    assert (
        shlex.split(Screen(plain_console(), 1, on_gone=lambda: None).styled("x " * 200, "red")) == ["x"] * 200
    )
