"""checkov over the manifests: what it finds is what was decided, and no more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.unit.deploy.kubernetes.rendering import OVERLAYS, Object, base_with, example, overlay
from tests.unit.deploy.kubernetes.tools import checkov

# Why each stays.
DECIDED: Final = {
    "CKV_K8S_11": "no CPU limit: a replica uses one CPU at most, and throttling only adds latency",
    "CKV_K8S_15": "no pull at each start: a tag with a full version does not change",
    "CKV_K8S_35": "secrets as variables are the simpler start; the component secrets-file makes them a file",
    "CKV_K8S_43": "a digest is known once an image is in the registry of the one who runs it",
}

Findings = dict[str, set[str]]
# The first of these tests may have a hundred packages to install.
pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Findings]:
    """What it finds, by file: a check with the objects that fail it. All files are looked at in one run."""
    folder = tmp_path_factory.mktemp("rendered")
    for name in OVERLAYS:
        _write(folder / f"overlay-{name}.yaml", overlay(name))
        _write(folder / f"chart-{name}.yaml", example(name))
    parts = tmp_path_factory.mktemp("secrets-file")
    _write(folder / "secrets-file.yaml", base_with(["secrets-file", "ingress", "private-ca"], parts))
    broken = [dict(one) for one in overlay("small") if one["kind"] == "Service"]
    broken.append(_pod_of_an_attacker())
    _write(folder / "broken.yaml", broken)
    found: dict[str, Findings] = defaultdict(lambda: defaultdict(set))
    for failed in _run(folder)["results"]["failed_checks"]:
        found[Path(failed["file_path"]).stem][failed["check_id"]].add(failed["resource"])
    return found


def _write(file: Path, objects: Any) -> None:
    file.write_text(yaml.safe_dump_all(objects), encoding="utf-8")


def _run(folder: Path) -> dict[str, Any]:
    # Without --skip-download it would ask its maker's server for more rules.
    options = ("--framework", "kubernetes", "--skip-download", "--output", "json", "--directory", str(folder))
    done = subprocess.run(
        [sys.executable, "-m", "checkov.main", *options],
        env={**os.environ, "PYTHONPATH": str(checkov()), "LOG_LEVEL": "ERROR"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    # 1 is its word for findings.
    assert done.returncode == 1, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["passed"] > 400
    return report


def _pod_of_an_attacker() -> Object:
    container = {"name": "x", "image": "x", "securityContext": {"privileged": True}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "x", "namespace": "cloakroom"},
        "spec": {"hostNetwork": True, "containers": [container]},
    }


@pytest.mark.parametrize("name", OVERLAYS)
def test_it_finds_in_overlay_and_chart_what_was_decided(name: str, findings: dict[str, Findings]) -> None:
    for file in (f"overlay-{name}", f"chart-{name}"):
        assert findings[file].keys() == DECIDED.keys(), dict(findings[file])


def test_with_secrets_as_a_file_it_finds_no_secret_in_a_variable(findings: dict[str, Findings]) -> None:
    assert findings["secrets-file"].keys() == DECIDED.keys() - {"CKV_K8S_35"}


def test_it_would_find_more(findings: dict[str, Findings]) -> None:
    assert {"CKV_K8S_16", "CKV_K8S_19", "CKV_K8S_40"} <= findings["broken"].keys()
