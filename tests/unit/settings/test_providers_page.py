"""docs/providers.md: each provider has its row and its section, each file loads, no doubt is left out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from app.providers.registry import PROVIDERS, UNVERIFIED
from app.wiring import build_catalog
from tests.unit.settings.environments import OWN, load

PAGE: Final = (Path(__file__).parents[3] / "docs" / "providers.md").read_text(encoding="utf-8")
_ROW: Final = re.compile(r"^\| \[`([a-z-]+)`\]\(#([a-z-]+)\) \|(.*)\|$", re.M)
_SECTION: Final = re.compile(r"^## ([a-z-]+)\n(.*?)(?=^## |\Z)", re.M | re.S)
_YAML: Final = re.compile(r"^```yaml\n(.*?)^```$", re.M | re.S)
_DOUBTS: Final = re.compile(r"^Not verified: (.*)\.$", re.M)
SECTIONS: Final = dict(_SECTION.findall(PAGE))
# A section that is about another use of a provider, which has its row already.
FURTHER: Final = {"openai-shaped": "openai"}
FILES: Final = [(name, text) for name, section in SECTIONS.items() for text in _YAML.findall(section)]


def test_the_table_has_each_provider_once_with_its_section() -> None:
    names = [name for name, _, _ in _ROW.findall(PAGE)]
    assert sorted(names) == sorted([*PROVIDERS, *FURTHER])
    assert all(name == anchor for name, anchor, _ in _ROW.findall(PAGE))
    assert set(SECTIONS) == set(names)


def test_each_row_is_whole() -> None:
    for name, _, cells in _ROW.findall(PAGE):
        assert len(cells.split(" | ")) == 6, name
        assert all(cell.strip() for cell in cells.split(" | ")), name


@pytest.mark.parametrize("name", SECTIONS)
def test_each_section_has_a_file(name: str) -> None:
    assert _YAML.findall(SECTIONS[name])


@pytest.mark.parametrize(("name", "text"), FILES, ids=lambda value: value if len(value) < 30 else "file")
def test_each_file_loads_and_is_wired(name: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / "cloakroom.yaml"
    file.write_text(text, encoding="utf-8")
    secrets = dict.fromkeys(re.findall(r"\$\{([A-Z0-9_]+)\}", text), "a-secret-of-this-test-0123456789")
    settings = load(OWN, CLOAKROOM_CONFIG=str(file), **secrets)
    catalog = build_catalog(settings)
    provider = FURTHER.get(name, name)
    assert provider in {deployment.provider for deployment in catalog.deployments.values()}
    assert settings.models


@pytest.mark.parametrize("name", PROVIDERS)
def test_what_is_not_verified_stands_there_as_in_the_code(name: str) -> None:
    told = _DOUBTS.findall(SECTIONS[name])
    assert told == (["; ".join(UNVERIFIED[name])] if name in UNVERIFIED else [])


def test_the_code_has_doubts_about_no_other_provider() -> None:
    assert set(UNVERIFIED) <= set(PROVIDERS)
