"""The pages of the first day and README: every shell block is run as it stands, or says why it is not.

A real store, real replicas and the real commands; the provider in a box has the place of OpenAI, Azure and
Inworld.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from app.settings import known_environment_names
from app.store.embedded.engine import LocalEngine
from tests.support.page import ROOT, Block, blocks
from tests.support.planted import Planted
from tests.support.processes import Sandbox
from tests.support.programs import required
from tests.support.walk import Walk, walk

OPENAI: Final = "docs/quickstart-openai.md"
AZURE: Final = "docs/quickstart-azure.md"
OTHERS: Final = "docs/quickstart-others.md"
LITELLM: Final = "docs/moving-from-litellm.md"
ENDPOINT: Final = "docs/moving-from-your-endpoint.md"
SECRETS: Final = "3. Make its secrets"
# Where the service refuses providers on private networks, the one of the test must be let in.
ON_THIS_MACHINE: Final = {
    name: value
    for name, value in {
        "CLOAKROOM_PRIVATE_NETWORKS": "127.0.0.0/8",
        "CLOAKROOM_PLAIN_HTTP_HOSTS": "127.0.0.1",
    }.items()
    if name in known_environment_names()
}
# How many blocks are run, and how many say why not.
COUNTS: Final[Mapping[str, tuple[int, int]]] = {
    "README.md": (0, 1),
    OPENAI: (6, 3),
    AZURE: (5, 5),
    OTHERS: (3, 0),
    LITELLM: (5, 0),
    ENDPOINT: (2, 0),
    "docs/clients.md": (0, 0),
}


@dataclass(frozen=True)
class World:
    """What has the place of accounts and of a Redis."""

    planted: Planted
    store: str
    provider: str

    @property
    def replaced(self) -> dict[str, str]:
        """The texts of the pages that stand for a secret or an address."""
        return {
            "OPENAI_API_KEY=sk-...": f"OPENAI_API_KEY={self.planted.openai_key}",
            "AZURE_OPENAI_API_KEY=...": f"AZURE_OPENAI_API_KEY={self.planted.azure_key}",
            "https://acme-voice.openai.azure.com": self.provider,
            "INWORLD_API_KEY=...": f"INWORLD_API_KEY={self.planted.openai_key}",
            "https://api.inworld.ai/v1": f"{self.provider}/inworld/v1",
            "LITELLM_MASTER_KEY=sk-...": f"LITELLM_MASTER_KEY={self.planted.client_key}",
            "redis://localhost:6379/1": self.store,
            "redis://localhost:6379": self.store,
        }

    def walk(self, page: str, folder: Path, *before: Block) -> Walk:
        """Walk the page, after what it asks its reader to have done."""
        found = walk(
            [*before, *blocks(page)],
            folder,
            replaced=self.replaced,
            environment={"OPENAI_BASE_URL": f"{self.provider}/v1", **ON_THIS_MACHINE},
        )
        assert found.status == 0, found.told
        return found


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    required("curl", package="curl")
    planted = Planted()
    with (
        LocalEngine(password=planted.store_password) as engine,
        Sandbox("--peer", "static", openai_key=planted.openai_key, azure_key=planted.azure_key) as sandbox,
    ):
        yield World(planted, engine.url, sandbox.url)


def secrets(*, less: str) -> Block:
    """The step that other quickstarts refer to, without the line that they tell to leave out."""
    (block,) = (one for one in blocks(OPENAI) if one.heading == SECRETS and one.why_not is None)
    kept = [line for line in block.text.splitlines() if less not in line]
    assert len(kept) == len(block.text.splitlines()) - 1
    return Block(block.page, -block.line, block.heading, block.language, None, "\n".join(kept) + "\n")


def block_with(page: str, text: str) -> Block:
    (found,) = (block for block in blocks(page) if text in block.text and block.why_not is None)
    return found


def assert_a_relay(output: str) -> None:
    """What ``curl -i`` shows of a relay that worked, at the end of a block's output."""
    head, _, body = output[output.index("HTTP/1.1 ") :].replace("\r\n", "\n").partition("\n\n")
    assert head.startswith("HTTP/1.1 201 "), output
    assert re.search(r"^location: /v1/realtime/calls/\S+$", head, re.IGNORECASE | re.MULTILINE), output
    assert body.startswith("v=0\n")


def test_openai(world: World, tmp_path: Path) -> None:
    done = world.walk(OPENAI, tmp_path)
    doctor = done.of(block_with(OPENAI, "doctor --mint"))
    assert "FAIL" not in doctor
    assert re.search(r"^ok\s.*mint", doctor, re.MULTILINE), doctor
    assert_a_relay(done.of(block_with(OPENAI, "--data-binary")))
    operator = done.of(block_with(OPENAI, "handles show"))
    assert " is live: " in operator
    assert "answered" in operator
    assert "hung up" in operator
    assert "revoked 1 handle" in operator
    assert oct((tmp_path / ".env").stat().st_mode)[-3:] == "600"


def test_azure(world: World, tmp_path: Path) -> None:
    done = world.walk(AZURE, tmp_path, secrets(less="OPENAI_API_KEY"))
    assert "FAIL" not in done.of(block_with(AZURE, "doctor --mint"))
    assert_a_relay(done.of(block_with(AZURE, "--data-binary")))
    assert "hung up" in done.of(block_with(AZURE, "calls hangup"))


def test_inworld(world: World, tmp_path: Path) -> None:
    done = world.walk(OTHERS, tmp_path, secrets(less="OPENAI_API_KEY"))
    called = done.of(block_with(OTHERS, "--data-binary"))
    assert '"iceServers"' in called or '"ice_servers"' in called
    assert_a_relay(called)


def test_moving_from_litellm(world: World, tmp_path: Path) -> None:
    shutil.copy(ROOT / "tests" / "samples" / "litellm" / "company.yaml", tmp_path / "config.yaml")
    for name, value in (("AZURE_SWEDEN_BASE", world.provider), ("AZURE_SWEDEN_KEY", world.planted.azure_key)):
        with (tmp_path / ".env").open("a") as file:
            file.write(f"{name}={value}\n")
    done = world.walk(LITELLM, tmp_path)
    checked = done.of(block_with(LITELLM, "config check"))
    assert checked.endswith("exit status 4\n")
    assert "CLIENTS" in checked
    assert "FAIL" not in done.of(block_with(LITELLM, "doctor --config"))
    assert_a_relay(done.of(block_with(LITELLM, "--data-binary")))
    assert "CLOAKROOM_API_KEYS=shop:ck_" in done.of(block_with(LITELLM, "--client shop"))


def test_moving_from_an_endpoint(world: World, tmp_path: Path) -> None:
    quickstart = [block for block in blocks(OPENAI) if block.heading[0] in "345" and block.why_not is None]
    before = [
        Block(one.page, -one.line, one.heading, one.language, one.marker, one.text) for one in quickstart
    ]
    done = world.walk(ENDPOINT, tmp_path, *before)
    assert re.match(r"\d{10} http://127\.0\.0\.1:\d+/v1/realtime/calls\n", done.of(blocks(ENDPOINT)[0]))
    assert_a_relay(done.of(block_with(ENDPOINT, "--data-binary")))


def test_every_shell_block_of_these_pages_is_run_or_says_why_not() -> None:
    pages = {"README.md", "docs/clients.md", *_pages("quickstart-*.md"), *_pages("moving-*.md")}
    assert set(COUNTS) == pages
    for page in pages:
        found = blocks(page)
        silent = [
            block for block in found if block.marker is not None and not block.why_not and not block.stays
        ]
        assert [f"{block.page}:{block.line}: {block.marker}" for block in silent] == []
        run = [block for block in found if block.why_not is None]
        assert (len(run), len(found) - len(run)) == COUNTS[page], page
        assert all(len(block.why_not or "x" * 20) >= 20 for block in found), "a reason, not a word"


def test_what_runs_is_walked_by_a_test() -> None:
    walked: Mapping[str, Callable[..., None]] = {
        OPENAI: test_openai,
        AZURE: test_azure,
        OTHERS: test_inworld,
        LITELLM: test_moving_from_litellm,
        ENDPOINT: test_moving_from_an_endpoint,
    }
    assert {page for page, (run, _) in COUNTS.items() if run} == set(walked)


def _pages(pattern: str) -> set[str]:
    return {str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob(pattern)}


def test_what_readme_starts_with_make_is_what_other_tests_run() -> None:
    """``make run`` is ``cloakroom dev``, which tests/system/test_dev.py runs; ``make test`` is this suite."""
    for target, command in (("run", "bin/cloakroom dev"), ("test", "bin/python -m pytest ")):
        done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True)
        assert command in done.stdout
