"""``python -m tests.release.audit``: known vulnerabilities of every locked package, Python's and npm's.

The exit status is 1 where one is known, and 3 where a service cannot be asked: not to know is not to be well.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from tests.release.tools import FOLDER, install_tools
from tests.support.page import ROOT

EXIT_WELL, EXIT_VULNERABLE, EXIT_UNKNOWN = 0, 1, 3
# PyPI's own service, then OSV's, which has the same advisories.
_SERVICES: Final = ("pypi", "osv")
_PATIENCE: Final = 600.0  # seconds, for one lock file


@dataclass(frozen=True)
class Audited:
    """What is known of a lock file's packages. ``unknown``: why nothing is, None where it was asked."""

    lock: str
    vulnerable: tuple[str, ...] = ()
    unknown: str | None = None

    def __str__(self) -> str:
        if self.vulnerable:
            return "\n".join([f"  VULNERABLE  {self.lock}:", *(f"      {one}" for one in self.vulnerable)])
        if self.unknown is not None:
            return f"  NOT AUDITED {self.lock}: {self.unknown}"
        return f"  well        {self.lock}"


def lock_files() -> list[Path]:
    """Every lock file of the repository."""
    tracked = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "*.lock", "*package-lock.json"],
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / name for name in tracked.stdout.split()]


def audit(lock: Path) -> Audited:
    """Ask about one lock file."""
    name = str(lock.relative_to(ROOT))
    if lock.name == "package-lock.json":
        return _npm(name, lock)
    reasons = []
    for service in _SERVICES:
        found = _python(name, lock, service)
        if found.unknown is None or found.vulnerable:
            return found
        reasons.append(f"{service}: {found.unknown}")
    return Audited(name, unknown="; ".join(reasons))


def _python(name: str, lock: Path, service: str) -> Audited:
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        # Nothing is resolved and nothing installed: the lock file pins everything.
        options = ("--require-hashes", "--disable-pip", "--progress-spinner", "off", "--timeout", "15")
        form = ("--format", "json", "--output", str(report), "--vulnerability-service", service)
        try:
            done = subprocess.run(
                [str(FOLDER / "bin" / "pip-audit"), "--requirement", str(lock), *options, *form],
                capture_output=True,
                text=True,
                check=False,
                timeout=_PATIENCE,
            )
        except subprocess.TimeoutExpired:
            return Audited(name, unknown=f"no answer within {_PATIENCE:.0f} s")
        if not report.exists() or not (text := report.read_text(encoding="utf-8")):
            return Audited(name, unknown=_last_line(done.stderr))
    return python_audited(name, json.loads(text))


def python_audited(name: str, report: dict[str, Any]) -> Audited:
    """What pip-audit's report says. It exits well where it skipped packages, of which nothing is known."""
    vulnerable = tuple(_advisories(report))
    skipped = [package["skip_reason"] for package in report["dependencies"] if "skip_reason" in package]
    if not skipped:
        return Audited(name, vulnerable)
    why = f"{len(skipped)} of {len(report['dependencies'])} packages were skipped: {skipped[0]}"
    return Audited(name, vulnerable, unknown=why)


def _advisories(report: dict[str, Any]) -> Iterator[str]:
    """A line for each advisory in pip-audit's report."""
    for package in report["dependencies"]:
        for advisory in package.get("vulns", []):
            fixed = ", ".join(advisory["fix_versions"]) or "no version yet"
            yield f"{package['name']} {package['version']}: {advisory['id']}, fixed in {fixed}"


def _npm(name: str, lock: Path) -> Audited:
    npm = shutil.which("npm")
    if npm is None:
        return Audited(name, unknown="npm is not installed: run 'make system'")
    try:
        done = subprocess.run(
            [npm, "audit", "--package-lock-only", "--json"],
            cwd=lock.parent,
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE,
        )
        report = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return Audited(name, unknown=f"no answer within {_PATIENCE:.0f} s")
    except ValueError:
        return Audited(name, unknown=_last_line(done.stderr))
    return npm_audited(name, report)


def npm_audited(name: str, report: dict[str, Any]) -> Audited:
    """What npm's report says; one without ``vulnerabilities`` says that it could not ask."""
    if "vulnerabilities" not in report:
        error = report.get("error")
        said = error.get("summary") if isinstance(error, dict) else None
        return Audited(name, unknown=_last_line(str(said or report.get("message") or "no report")))
    return Audited(
        name,
        tuple(
            f"{package['name']} {package['range']}: {package['severity']}"
            for package in report["vulnerabilities"].values()
        ),
    )


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1][:200]


def status(results: list[Audited]) -> int:
    """The exit status of all of them."""
    if any(one.vulnerable for one in results):
        return EXIT_VULNERABLE
    return EXIT_UNKNOWN if any(one.unknown is not None for one in results) else EXIT_WELL


def main() -> int:
    """Ask about every lock file, and print what is known."""
    install_tools()
    results = []
    for lock in lock_files():
        results.append(audit(lock))
        print(results[-1], flush=True)
    outcome = status(results)
    if outcome == EXIT_UNKNOWN:
        print(
            "\nnot audited: a service that knows advisories could not be asked, so nothing is known of these"
        )
    return outcome


if __name__ == "__main__":
    sys.exit(main())
