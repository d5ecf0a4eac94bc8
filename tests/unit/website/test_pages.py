"""The documents as a whole: README and the site lead to each page, no link leads nowhere, files load."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest
import yaml

from tests.support.page import ROOT, blocks
from tests.unit.settings.environments import OWN, load

WEBSITE: Final = ROOT / "website"
PAGES: Final = sorted(path.name for path in (ROOT / "docs").glob("*.md"))
FIRST_DAY: Final = [f"docs/{name}" for name in PAGES if name.startswith(("quickstart-", "moving-"))]
_LINK: Final = re.compile(r"\]\(([^)\s]+)\)")
_HEADING: Final = re.compile(r"^#{1,6} (.+)$")
DIGEST: Final = "sha256:" + "0123456789abcdef" * 4


def _stage() -> ModuleType:
    spec = importlib.util.spec_from_file_location("website_stage", WEBSITE / "stage.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["website_stage"] = module
    spec.loader.exec_module(module)
    return module


stage: Final = _stage()


def prose(path: Path) -> Iterator[str]:
    """The lines of a page outside of its blocks."""
    fenced = False
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif not fenced:
            yield line


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found: set[str] = set()
    for line in prose(path):
        if match := _HEADING.match(line):
            plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", match[1]).lower()
            slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
            found.add(slug if slug not in found else f"{slug}-1")
    return found


def test_readmes_list_has_each_page_once_and_is_the_menu() -> None:
    menu = stage.menu()
    listed = [page for section in menu.values() for page in section]
    assert sorted(listed) == sorted(str(page.target) for page in stage.pages())
    assert list(menu)[:4] == ["First day", "Clients", "Operations", "Reference"]
    assert listed[0] == "index.md"
    assert len(PAGES) > 25


def test_readme_is_short() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 110
    assert text.count("```sh") == 1


@pytest.mark.parametrize("source", [str(page.source) for page in stage.pages()])
def test_each_link_leads_to_a_file_and_a_heading(source: str) -> None:
    path = ROOT / source
    for line in prose(path):
        for link in _LINK.findall(re.sub(r"`[^`]*`", "", line)):
            if re.match(r"[a-z]+:", link):
                continue
            file, _, anchor = link.partition("#")
            target = (path.parent / file).resolve() if file else path
            assert target.is_file(), f"{source}: {link}"
            assert not anchor or target.suffix != ".md" or anchor in anchors(target), f"{source}: {link}"


def test_a_staged_page_links_to_pages_and_copies(tmp_path: Path) -> None:
    stage.stage(tmp_path)
    config = (tmp_path / "mkdocs.yml").read_text(encoding="utf-8")
    assert "\n  - First day:\n      - index.md\n" in config
    tmp_path /= "site-source"
    index = (tmp_path / "index.md").read_text(encoding="utf-8")
    assert "](docs/" not in index
    assert "](quickstart-openai.md)" in index
    assert "<!-- not run" not in index
    assert (tmp_path / "images" / "demo-call.png").is_file()
    performance = (tmp_path / "performance.md").read_text(encoding="utf-8")
    assert "](source/tests/bench/floor.py)" in performance
    assert (tmp_path / "source" / "tests" / "bench" / "floor.py").is_file()
    for page in tmp_path.glob("*.md"):
        for line in prose(page):
            for link in _LINK.findall(re.sub(r"`[^`]*`", "", line)):
                file = link.partition("#")[0]
                assert re.match(r"[a-z]+:", link) or not file or (tmp_path / file).is_file(), (
                    f"{page.name}: {link}"
                )


def test_a_link_to_nothing_stops_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs").mkdir()
    text = "[a](docs/gone.md) and `[b](docs/code.md)`\n\n## Documents\n\n- **All**: none\n"
    (tmp_path / "README.md").write_text(text)
    monkeypatch.setattr(stage, "ROOT", tmp_path)
    with pytest.raises(stage.StageError, match=r"\AREADME.md:1: docs/gone.md is not in the repository\Z"):
        stage.stage(tmp_path / "site")


def test_a_page_that_readme_does_not_list_stops_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "lonely.md").write_text("# Lonely\n")
    (tmp_path / "README.md").write_text("## Documents\n\n- **All**: none\n")
    monkeypatch.setattr(stage, "ROOT", tmp_path)
    with pytest.raises(stage.StageError, match=r"not on README's list of documents: lonely.md"):
        stage.stage(tmp_path / "site")


@pytest.mark.parametrize("page", FIRST_DAY)
def test_each_file_of_the_first_day_loads(page: str, tmp_path: Path) -> None:
    for block in blocks(page, ("yaml",)):
        text = block.text.replace("sha256:...", DIGEST)
        loaded = yaml.safe_load(text)
        if "deployments" not in loaded:
            loaded |= {
                "deployments": {"o": {"provider": "openai", "api_key": "sk-x"}},
                "models": {"gpt-realtime-2.1": "o"},
            }
        file = tmp_path / "cloakroom.yaml"
        file.write_text(yaml.safe_dump(loaded))
        variables = dict.fromkeys(re.findall(r"\$\{([A-Z0-9_]+)\}", text), "a-secret-of-this-test-0123456789")
        base = {
            name: value
            for name, value in OWN.items()
            if name != "CLOAKROOM_API_KEYS" or "clients" not in loaded
        }
        assert load(base, CLOAKROOM_CONFIG=str(file), **variables).models


def test_locks_have_hashes_and_no_address() -> None:
    lock = (WEBSITE / "requirements.lock").read_text(encoding="utf-8")
    pins = re.findall(r"^[a-z0-9-]+==\S+", lock, re.MULTILINE)
    assert len(pins) >= 3
    assert lock.count("--hash=sha256:") >= len(pins)
    npm = (WEBSITE / "package-lock.json").read_text(encoding="utf-8")
    assert '"integrity": "sha512-' in npm
    for text in (lock, npm):
        assert "://" not in text.replace("# https", "")


def test_the_staging_is_a_program() -> None:
    done = subprocess.run(
        [sys.executable, str(WEBSITE / "stage.py")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "usage" in done.stderr
