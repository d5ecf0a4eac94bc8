"""The programs of docs/clients.md and the lines of README as they stand: backends, and pages in Chromium."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
import pytest_asyncio
from openai import OpenAI
from playwright.async_api import Page, Route

from tests.browser.conftest import HERE, OpenTab
from tests.browser.elsewhere import Elsewhere
from tests.browser.service import Service, free_ports
from tests.browser.tab import FAILED_ANSWER
from tests.support.clocks import PATIENCE
from tests.support.npm import modules_of
from tests.support.page import ROOT, blocks

PAGE: Final = "docs/clients.md"
LIBRARY: Final = ROOT / "app" / "web" / "demo" / "static" / "cloakroom.js"
BACKENDS: Final = {"A backend in Python": "backend.py", "A backend in JavaScript": "backend.mjs"}
PAGES: Final = (
    "A page, with cloakroom.js",
    "A page, without a library",
    "OpenAI's Agents SDK in the browser",
)
in_session: Final = pytest.mark.asyncio(loop_scope="session")
# What a page of an app does with the block.
_ENTRY: Final = 'import { call } from "./block.js";\nwindow.call = call;\n'
_REACT_ENTRY: Final = """\
import { createRoot } from "react-dom/client";
import { CallButton } from "./block.jsx";
createRoot(document.querySelector("#root")).render(<CallButton />);
"""


def block(heading: str) -> str:
    """The one program under a heading."""
    (found,) = (one for one in blocks(PAGE, ("python", "js", "jsx")) if one.heading == heading)
    return found.text


def test_no_program_of_the_page_is_left_out() -> None:
    headings = {one.heading for one in blocks(PAGE, ("python", "js", "jsx"))}
    assert headings == {*BACKENDS, *PAGES, "React"}
    for one in blocks(PAGE, ("swift", "kotlin")):
        section = (ROOT / PAGE).read_text(encoding="utf-8").partition(f"## {one.heading}\n")[2]
        assert section.lstrip().startswith("> **Not run by our tests.**")


@dataclass(frozen=True)
class Backend:
    """A running program of the page."""

    url: str
    process: asyncio.subprocess.Process

    async def session(self) -> dict[str, Any]:
        """What it gives to a page."""
        async with aiohttp.ClientSession() as http, http.post(f"{self.url}/session") as answer:
            assert answer.status == 200, await answer.text()
            found: dict[str, Any] = await answer.json()
            return found


@pytest_asyncio.fixture(loop_scope="session", scope="module", params=BACKENDS)
async def backend(
    request: pytest.FixtureRequest, service: Service, sdk: None, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Backend]:
    """Each of the backends."""
    folder = tmp_path_factory.mktemp("backend")
    program = folder / BACKENDS[request.param]
    program.write_text(block(request.param))
    (folder / "node_modules").symlink_to(modules_of(HERE))
    (port,) = free_ports(1)
    process = await asyncio.create_subprocess_exec(
        "node" if program.suffix == ".mjs" else sys.executable,
        str(program),
        env={
            "PATH": os.environ["PATH"],
            "PORT": str(port),
            "CLOAKROOM_URL": service.url("replica-a"),
            "CLOAKROOM_CLIENT_KEY": service.planted.client_key,
        },
        stdout=asyncio.subprocess.DEVNULL,
    )
    url = f"http://localhost:{port}"
    async with aiohttp.ClientSession() as http, asyncio.timeout(PATIENCE):
        while process.returncode is None:
            try:
                async with http.get(url):
                    break
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)
    assert process.returncode is None
    yield Backend(url, process)
    process.terminate()
    await process.wait()


@in_session
async def test_a_backend_gives_its_page_a_handle_and_the_address(backend: Backend, service: Service) -> None:
    given = await backend.session()
    assert set(given) == {"handle", "callsUrl"}
    assert given["handle"].startswith("ek_")
    assert given["callsUrl"] == f"{service.url('replica-a')}/v1/realtime/calls"
    async with aiohttp.ClientSession() as http:
        operator = {"Authorization": f"Bearer {service.planted.admin_key}"}
        about = f"{service.url('replica-a')}/admin/v1/handles?subject=guest"
        async with http.get(about, headers=operator) as answer:
            assert (await answer.json())["data"]
        for method, path in (("GET", "/session"), ("POST", "/elsewhere")):
            async with http.request(method, backend.url + path) as answer:
                assert answer.status in (404, 405)


def _with_imports(module: Path) -> set[Path]:
    """The module, and what it imports from beside it."""
    beside = re.findall(r"""from "\./([\w.-]+)";""", module.read_text(encoding="utf-8"))
    return {module}.union(*(_with_imports(module.with_name(name)) for name in beside))


async def bundled(folder: Path, heading: str) -> str:
    """The block as a bundler makes it ready for a browser, with what it imports."""
    return await bundled_text(folder, block(heading), react=heading == "React")


async def bundled_text(folder: Path, program: str, *, react: bool = False) -> str:
    """The same for a program."""
    for module in _with_imports(LIBRARY):
        shutil.copy(module, folder / module.name)
    (folder / "node_modules").symlink_to(modules_of(HERE))
    (folder / f"block.{'jsx' if react else 'js'}").write_text(program)
    entry = folder / "entry.jsx"
    entry.write_text(_REACT_ENTRY if react else _ENTRY)
    process = await asyncio.create_subprocess_exec(
        "node",
        str(modules_of(HERE) / "esbuild" / "bin" / "esbuild"),
        str(entry),
        "--bundle",
        "--format=esm",
        "--jsx=automatic",
        '--define:process.env.NODE_ENV="production"',
        "--log-level=error",
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode == 0, errors.decode()
    return out.decode()


async def opened(page: Page, elsewhere: Elsewhere, backend: Backend, script: str) -> None:
    """Open the app's page on its own origin; its ``/session`` is the backend's."""

    async def session(route: Route) -> None:
        answer = await route.fetch(url=f"{backend.url}/session")
        await route.fulfill(response=answer)

    await page.route("**/session", session)
    await page.goto(f"{elsewhere.known}/pages/blank.html")
    await page.add_script_tag(content=script, type="module")


@in_session
@pytest.mark.parametrize("heading", PAGES)
async def test_a_page_calls_and_hears_an_answer(
    heading: str,
    open_tab: OpenTab,
    elsewhere: Elsewhere,
    service: Service,
    backend: Backend,
    tmp_path: Path,
) -> None:
    before = service.sandbox.control("GET", "state")["calls"]["opened"]
    tab = await open_tab()
    await opened(tab.page, elsewhere, backend, await bundled(tmp_path, heading))
    await tab.page.wait_for_function("window.call !== undefined")
    await tab.page.evaluate("call().then((made) => { window.made = made; })")
    assert service.sandbox.control("GET", "state")["calls"]["opened"] == before + 1
    await tab.page.wait_for_function("document.querySelector('audio').srcObject?.getAudioTracks().length")
    assert (await tab.hears())["bytes"] > 0
    await tab.page.evaluate("made.close ? made.close() : made.pc.close()")


@in_session
async def test_the_react_component_calls_and_hangs_up(
    open_tab: OpenTab, elsewhere: Elsewhere, service: Service, backend: Backend, tmp_path: Path
) -> None:
    tab = await open_tab()
    await opened(tab.page, elsewhere, backend, await bundled(tmp_path, "React"))
    await tab.page.get_by_role("button", name="Call").click()
    await tab.page.get_by_text("talking").wait_for()
    assert (await tab.hears())["bytes"] > 0
    await tab.page.get_by_role("button", name="Hang up").click()
    await tab.page.get_by_text("idle").wait_for()
    await tab.page.get_by_role("button", name="Call").wait_for()


@in_session
async def test_the_react_component_says_what_to_do_when_the_call_is_refused(
    open_tab: OpenTab, elsewhere: Elsewhere, backend: Backend, tmp_path: Path
) -> None:
    tab = await open_tab(expected=(FAILED_ANSWER,))
    await opened(tab.page, elsewhere, backend, await bundled(tmp_path, "React"))

    async def forged(route: Route) -> None:
        given = await backend.session()
        await route.fulfill(json={**given, "handle": "ek_forged"})

    await tab.page.route("**/session", forged)
    await tab.page.get_by_role("button", name="Call").click()
    await tab.page.get_by_text("Ask your backend for a new handle").wait_for()


@in_session
async def test_the_lines_of_readme_mint_and_call(
    open_tab: OpenTab, elsewhere: Elsewhere, service: Service, sdk: None, tmp_path: Path
) -> None:
    (python,), (js,) = blocks("README.md", ("python",)), blocks("README.md", ("js",))
    names: dict[str, Any] = {"OpenAI": OpenAI, "CLOAKROOM_CLIENT_KEY": service.planted.client_key}
    here = python.text.replace("https://voice.example.com", service.url("replica-a"))
    await asyncio.to_thread(exec, here, names)
    handle = names["secret"].value
    # A page of documentation need not close its client, but its connection would be left to the collector.
    names["cloakroom"].close()
    imports, _, rest = js.text.partition("\n")
    lines, end, _ = rest.rpartition("call.close();")
    assert end
    program = f"{imports}\nexport const call = async (handle) => {{\n{lines}return call;\n}};\n"
    program = program.replace("https://voice.example.com", service.url("replica-b"))
    tab = await open_tab()
    await tab.page.goto(f"{elsewhere.known}/pages/blank.html")
    await tab.page.add_script_tag(content=await bundled_text(tmp_path, program), type="module")
    await tab.page.wait_for_function("window.call !== undefined")
    await tab.page.evaluate("(handle) => call(handle).then((made) => { window.made = made; })", handle)
    assert (await tab.hears())["bytes"] > 0
    await tab.page.evaluate("made.close()")
