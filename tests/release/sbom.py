"""The SBOM (CycloneDX) of what a deployment runs: the locked packages of the image, with their hashes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.release.tools import run_tool
from tests.release.versions import version
from tests.support.page import ROOT

LOCK: Final = ROOT / "requirements-runtime.lock"
SPECIFICATION: Final = "1.6"
_PIN: Final = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;]+)", re.MULTILINE)


def write(file: Path) -> None:
    """Write the document. The tool validates it against the schema of its specification before it does."""
    run_tool(
        "cyclonedx-py",
        "requirements",
        "--pyproject",
        str(ROOT / "pyproject.toml"),
        "--mc-type",
        "application",
        "--spec-version",
        SPECIFICATION,
        "--output-reproducible",
        "--validate",
        "--output-file",
        str(file),
        str(LOCK),
    )


def locked() -> dict[str, str]:
    """The versions that the image's lock file pins, by name."""
    return dict(_PIN.findall(LOCK.read_text(encoding="utf-8")))


def problems(file: Path) -> Iterator[str]:
    """A line for each thing that is missing from the document."""
    document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    subject = document["metadata"]["component"]
    if (subject["name"], subject.get("version")) != ("cloakroom", version()):
        yield f"the document is about {subject['name']} {subject.get('version')}"
    found = {one["name"]: one for one in document["components"]}
    for name, pinned in locked().items():
        component = found.get(name)
        if component is None or component.get("version") != pinned:
            yield f"{name} {pinned} is not in it"
        elif not _hashes(component):
            yield f"{name} has no hash"
        elif component.get("purl") != f"pkg:pypi/{name}@{pinned}":
            yield f"{name} is called {component.get('purl')}"
    yield from (f"{name} is not locked" for name in sorted(found.keys() - locked().keys()))


def _hashes(component: dict[str, Any]) -> list[Any]:
    references = component.get("externalReferences", [])
    return [
        *component.get("hashes", []),
        *(one for reference in references for one in reference.get("hashes", [])),
    ]
