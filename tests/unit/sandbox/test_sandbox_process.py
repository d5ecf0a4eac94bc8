"""`python -m app.sandbox` as a process: it says where it listens, and dies quietly."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest

import app.sandbox
from app.sandbox.__main__ import config_from, parser
from tests.support.clocks import PATIENCE, eventually, kept_deadline

if TYPE_CHECKING:
    from tests.unit.sandbox.conftest import MakeBrowser

HERE = Path(app.sandbox.__file__).parent
Start = Callable[..., Awaitable[tuple[asyncio.subprocess.Process, str]]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start the process; one that a test left running is killed."""
    started: list[asyncio.subprocess.Process] = []

    async def run(*options: str, env: dict[str, str] | None = None) -> tuple[asyncio.subprocess.Process, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "app.sandbox",
            "--port",
            "0",
            *options,
            cwd=HERE.parents[1],
            env={**os.environ, **(env or {})},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        started.append(process)
        assert process.stdout is not None
        ready = json.loads(await asyncio.wait_for(process.stdout.readline(), PATIENCE))
        assert ready["event"] == "sandbox_ready"
        assert ready["pid"] == process.pid
        return process, str(ready["url"])

    yield run
    for process in started:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_soon_and_quietly_with_a_call_alive_and_a_request_stalled(
    start: Start, browser: MakeBrowser, number: signal.Signals
) -> None:
    process, url = await start(env={"CLOAKROOM_SANDBOX_OPENAI_KEY": "sk-from-the-environment"})
    bearer = {"Authorization": "Bearer sk-from-the-environment"}
    async with aiohttp.ClientSession(url) as client:
        async with client.post("/v1/realtime/client_secrets", headers=bearer) as answer:
            key = (await answer.json())["value"]
        page = browser()
        await page.call(client, key)  # type: ignore[arg-type]
        await page.event("session.created")
        await client.post("/_sandbox/faults", json={"kind": "stall"})
        stalled = asyncio.ensure_future(client.post("/v1/realtime/client_secrets", headers=bearer))

        async def struck() -> bool:
            async with client.get("/_sandbox/faults") as answer:
                return bool((await answer.json())["faults"] == [])

        await eventually(struck)
        # Half a second of it waits for the stalled request.
        with kept_deadline(2):
            process.send_signal(number)
            out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert (process.returncode, out, err) == (0, b"", b"")
        with pytest.raises(aiohttp.ClientError):
            await stalled
    await page.until(lambda: page.connection.connectionState == "closed")


async def test_options_reach_the_provider(start: Start) -> None:
    _, url = await start(
        "--peer",
        "static",
        "--azure-key",
        "k",
        "--azure-deployment",
        "mine=gpt-realtime-2.1",
        "--clock-skew",
        "90",
    )
    async with aiohttp.ClientSession(url) as client:
        before = time.time()
        async with client.get("/_sandbox/state") as answer:
            state = await answer.json()
        assert state["peer"] == "static"
        assert before + 89 <= state["clock"]["time"] <= time.time() + 91
        body = {"session": {"type": "realtime", "model": "mine"}}
        path = "/openai/v1/realtime/client_secrets"
        async with client.post(path, json=body, headers={"api-key": "k"}) as answer:
            assert answer.status == 200


def test_an_option_beats_the_environment_and_a_bad_deployment_is_named() -> None:
    environ = {"CLOAKROOM_SANDBOX_AZURE_KEY": "from-env"}
    assert config_from(parser().parse_args([]), environ).azure_keys == ("from-env",)
    given = parser().parse_args(["--azure-key", "a", "--azure-key", "b"])
    assert config_from(given, environ).azure_keys == ("a", "b")
    with pytest.raises(ValueError, match="NAME=BASEMODEL"):
        config_from(parser().parse_args(["--azure-deployment", "lonely"]), {})


def test_the_sandbox_imports_nothing_of_the_service() -> None:
    for path in HERE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                depth = len(path.relative_to(HERE).parts)
                assert node.level <= depth, f"{path.name} reaches out of the sandbox"
                assert not (node.module or "").startswith("app") or node.level, path.name
            elif isinstance(node, ast.Import):
                assert not any(alias.name.split(".")[0] == "app" for alias in node.names), path.name


def test_without_the_extra_it_can_be_static() -> None:
    """`cloakroom dev` starts it so where aiortc is not installed."""
    code = (
        "import sys\n"
        "for name in ('aiortc', 'av', 'numpy', 'pylibsrtp'):\n    sys.modules[name] = None\n"
        "from app.sandbox import SandboxConfig, create_sandbox\n"
        "create_sandbox(SandboxConfig(peer='static'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=HERE.parents[1], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
