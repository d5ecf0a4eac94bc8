"""The installed wheel at work: its commands, a replica beside one of this tree, and ``cloakroom dev``."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp

from tests.release.installation import Installation
from tests.release.versions import version
from tests.support.api import called, hang_up, minted
from tests.support.dev import Dev, assert_a_relay, bash
from tests.support.processes import Replica
from tests.support.stack import Stack


def assert_alone(installed: Installation) -> None:
    """The package is there under its own name, whole, and ``app`` is not."""
    assert installed.evaluated("import cloakroom; print(cloakroom.__version__)") == version()
    found = installed.evaluated("from importlib.util import find_spec; print(find_spec('app'))")
    assert found == "None", f"the environment has a package 'app': {found}"
    done = installed.run("--version")
    assert (done.returncode, done.stdout) == (0, f"cloakroom {version()}\n"), done.stderr


def assert_says_what_a_start_needs(installed: Installation) -> None:
    """``serve`` without a setting fails with the names of those that it needs, and no traceback."""
    done = installed.run("serve", environ={"CLOAKROOM_ENVIRONMENT": "production"})
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for name in ("CLOAKROOM_SIGNING_KEYS", "CLOAKROOM_SEALING_KEYS", "OPENAI_API_KEY"):
        assert name in done.stderr, done.stderr
    made = installed.run("keys", "new")
    assert made.returncode == 0, made.stderr
    assert "CLOAKROOM_SIGNING_KEYS" in made.stdout


def assert_serves(installed: Installation) -> None:
    """A replica of the wheel and one of this tree share a store, and relay each other's handles."""
    with Stack(peer="static") as stack:
        replica = stack.installed_replica(installed.python, "wheel")
        asyncio.run(_exchange(stack, replica))
        _assert_commands(installed, stack, replica)
        replica.signal(signal.SIGTERM)
        assert replica.wait() == 0, replica.output
        assert "Traceback" not in replica.output


async def _exchange(stack: Stack, replica: Replica) -> None:
    key = stack.planted.client_key
    async with aiohttp.ClientSession() as http:
        for one, other in ((replica.url, stack.a.url), (stack.a.url, replica.url)):
            handle = await minted(http, one, key)
            call_id = await called(http, other, handle)
            assert (await hang_up(http, one, handle, call_id)).status == 200
        for path in ("/docs", "/openapi.json", "/livez", "/metrics", "/demo", "/demo/cloakroom.js"):
            async with http.get(replica.url + path) as page:
                assert page.status == 200, path
                assert await page.read()


def _assert_commands(installed: Installation, stack: Stack, replica: Replica) -> None:
    environ = stack.environment()
    operator = {"CLOAKROOM_ADMIN_URL": replica.url, "CLOAKROOM_ADMIN_KEY": stack.planted.admin_key}
    for command, variables in (
        (("config", "show", "--json"), environ),
        (("config", "schema"), {}),
        (("doctor", "--json"), environ),
        (("handles", "list", "--json"), operator),
        (("calls", "list", "--json"), operator),
    ):
        done = installed.run(*command, environ=variables)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        assert json.loads(done.stdout)
        assert not [secret for secret in stack.planted.all_values() if secret in done.stdout]


def assert_dev_names_the_missing_extra(installed: Installation) -> None:
    """Without a store's server and without extras ``dev`` ends at once and says what to install."""
    with TemporaryDirectory() as nothing:
        done = installed.run("dev", "--quiet-logs", environ={"PATH": nothing, "TMPDIR": nothing})
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert "pip install 'cloakroom[embedded]'" in said, said
    assert "Traceback" not in said, said


def assert_dev_runs(installed: Installation, *, with_webrtc: bool) -> None:
    """``dev`` with a store's server on the PATH: its printed commands relay, and Ctrl-C leaves nothing."""
    with TemporaryDirectory() as files:
        run = Dev(Path(files), "--quiet-logs", program=[str(installed.program)], **_program_path())
        try:
            recipe = run.recipe()
            assert ("pip install 'cloakroom[sandbox]'" in run.output) is not with_webrtc, run.output
            assert_a_relay(bash(recipe))
            run.ctrl_c()
            assert run.wait() == 0, run.output
            assert list(Path(files).iterdir()) == []
        finally:
            run.clean_up()


def _program_path() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "LANG": os.environ.get("LANG", "C.UTF-8")}
