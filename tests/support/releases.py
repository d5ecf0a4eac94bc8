"""The code of an earlier release, by the commit that the changelog names for it, from this clone's history.

Tags are not relied on: a clone may lack them.
"""

from __future__ import annotations

import re
import subprocess
import zipfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

from tests.support.missing import missing
from tests.support.processes import ROOT
from tests.support.programs import required

CHANGELOG: Final = ROOT / "CHANGELOG.md"
_RELEASE: Final = re.compile(r"^## \[(?P<version>\d+\.\d+\.\d+)\] - \d{4}-\d{2}-\d{2}$", re.MULTILINE)
_COMMIT: Final = re.compile(r"^Commit: `(?P<commit>[0-9a-f]{40})`\.?$", re.MULTILINE)


@dataclass(frozen=True)
class Release:
    """A release by its version and the whole hash of its commit."""

    version: str
    commit: str


def releases(changelog: str) -> list[Release]:
    """The releases of a changelog, the newest first.

    Raises:
        ValueError: one does not name its commit.
    """
    found = []
    heads = list(_RELEASE.finditer(changelog))
    ends = [head.start() for head in heads[1:]] + [len(changelog)]
    for head, end in zip(heads, ends, strict=True):
        commit = _COMMIT.search(changelog, head.end(), end)
        if commit is None:
            raise ValueError(f"CHANGELOG.md names no commit for {head['version']}")
        found.append(Release(head["version"], commit["commit"]))
    return found


def check_out(release: Release, folder: Path, *paths: str, repository: Path = ROOT) -> Path:
    """Write the release's code, or these paths of it, into ``folder`` and return that.

    The repository itself is not changed.

    Without the commit (a shallow clone, a folder that is no clone) the test is skipped, or fails on CI.
    """
    git = required("git", package="git")
    archive = subprocess.run(
        [git, "-C", str(repository), "archive", "--format=zip", release.commit, *(paths or ("app",))],
        capture_output=True,
        check=False,
    )
    if archive.returncode:
        said = archive.stderr.decode("utf-8", "replace").strip()
        missing(
            f"the code of {release.version} is not here: commit {release.commit[:12]} is not in this clone. "
            f"It takes a full one: 'git fetch --unshallow', or 'fetch-depth: 0' on CI. git says: {said}"
        )
    with zipfile.ZipFile(BytesIO(archive.stdout)) as found:
        found.extractall(folder)
    return folder
