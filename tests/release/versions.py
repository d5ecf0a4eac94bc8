"""The version stands in pyproject.toml. Its copies, the tag and the changelog agree with it."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterator
from typing import Final

import yaml

from tests.support.page import ROOT
from tests.support.releases import CHANGELOG, Release, releases

_DEVELOPMENT: Final = re.compile(r"(\d+\.\d+\.\d+)\.dev\d+\Z")


def version() -> str:
    """The version of this tree."""
    return _version_of((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _version_of(pyproject: str) -> str:
    return str(tomllib.loads(pyproject)["project"]["version"])


def released_version(text: str) -> str:
    """The version that a development version leads to; any other version is itself."""
    found = _DEVELOPMENT.match(text)
    return found[1] if found else text


def copies() -> dict[str, str]:
    """Where the version stands again, for tools that read nothing else."""
    chart = yaml.safe_load((ROOT / "deploy/helm/cloakroom/Chart.yaml").read_text(encoding="utf-8"))
    base = yaml.safe_load((ROOT / "deploy/kubernetes/base/kustomization.yaml").read_text(encoding="utf-8"))
    image = re.search(r"^ARG VERSION=(\S+)$", (ROOT / "deploy/Dockerfile").read_text(encoding="utf-8"), re.M)
    return {
        "deploy/helm/cloakroom/Chart.yaml: version": str(chart["version"]),
        "deploy/helm/cloakroom/Chart.yaml: appVersion": str(chart["appVersion"]),
        "deploy/kubernetes/base/kustomization.yaml: newTag": str(base["images"][0]["newTag"]),
        "deploy/Dockerfile: VERSION": released_version(image[1]) if image else "none",
    }


def copy_problems() -> Iterator[str]:
    """A line for each copy that disagrees with pyproject.toml."""
    wanted = released_version(version())
    for place, found in copies().items():
        if found != wanted:
            yield f"{place} is {found}, and pyproject.toml leads to {wanted}"


def tag_problems(tag: str, changelog: str | None = None) -> Iterator[str]:
    """A line for each thing that stands between this tree and a release under the tag ``v<version>``.

    The changelog names the release's commit, which cannot be the one that names it: the code is committed
    under its version first, then the line ``Commit: `<hash>` ``, and that second commit is tagged.
    """
    here, wanted = version(), tag.removeprefix("v")
    if tag != f"v{here}":
        yield f"the tag is {tag}, and pyproject.toml says {here}: a release is tagged v{here}"
    text = CHANGELOG.read_text(encoding="utf-8") if changelog is None else changelog
    try:
        found = {release.version: release for release in releases(text)}
    except ValueError as error:
        yield f"{error}: write 'Commit: `<hash>`.' under its heading"
        return
    if wanted not in found:
        yield f"CHANGELOG.md has no heading '## [{wanted}] - YYYY-MM-DD'"
    else:
        yield from _commit_problems(found[wanted])


def _commit_problems(release: Release) -> Iterator[str]:
    said = f"CHANGELOG.md: commit {release.commit[:12]} of {release.version}"
    if _git("cat-file", "-e", f"{release.commit}^{{commit}}") is None:
        yield f"{said} is not in this clone ('git fetch --unshallow')"
        return
    if _git("merge-base", "--is-ancestor", release.commit, "HEAD") is None:
        yield f"{said} is no ancestor of what is tagged"
    then = _version_of(_git("show", f"{release.commit}:pyproject.toml") or "[project]\nversion = ''")
    if then != release.version:
        yield f"{said} has the version {then!r}"
    if _git("diff", "--quiet", release.commit, "HEAD", "--", "app") is None:
        yield f"{said} has other code: app/ has changed since"


def _git(*arguments: str) -> str | None:
    """What git says; None where it fails."""
    done = subprocess.run(
        ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, encoding="utf-8", check=False
    )
    return done.stdout if done.returncode == 0 else None
