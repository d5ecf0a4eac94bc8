"""``python -m tests.release``: build what a release publishes, look into it, install it and run it.

    --tag v0.2.0      hold the tree to this tag, too
    --output FOLDER   where wheel, sdist and SBOM are left; default: dist

The exit status is 1 where something does not hold. What it installs comes from lock files with hashes.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from subprocess import SubprocessError
from tempfile import TemporaryDirectory
from typing import Final

from tests.release import sbom
from tests.release.building import Built, build, wheel_of
from tests.release.contents import sdist_problems, wheel_problems
from tests.release.installation import Installation, clean
from tests.release.tools import ToolFailed, install_tools, run_tool
from tests.release.trying import (
    assert_alone,
    assert_dev_names_the_missing_extra,
    assert_dev_runs,
    assert_says_what_a_start_needs,
    assert_serves,
)
from tests.release.versions import copy_problems, tag_problems, version
from tests.support.page import ROOT
from tests.support.store_server import put_first, wheels_server

Check = Callable[[], object]
SBOM: Final = "cloakroom.cdx.json"


def main(arguments: Sequence[str]) -> int:
    """Run every check and say what became of each."""
    parser = argparse.ArgumentParser(prog="python -m tests.release", description="What a release must hold.")
    parser.add_argument("--tag", help="the release's tag, v<version>")
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="for wheel, sdist and SBOM")
    options = parser.parse_args(arguments)
    print(f"--> cloakroom {version()}", flush=True)
    install_tools()
    options.output.mkdir(parents=True, exist_ok=True)
    for old in (*options.output.glob("*.whl"), *options.output.glob("*.tar.gz")):
        old.unlink()
    report = _Report()
    report.hold("one version everywhere", lambda: _none(copy_problems()))
    if options.tag:
        report.hold(f"the tree is {options.tag}", lambda: _none(tag_problems(options.tag)))
    built = build(options.output)
    _look(report, built, options.output)
    # ``cloakroom dev`` takes the server that is first on the PATH.
    with TemporaryDirectory() as folder, put_first(wheels_server(), os.environ):
        report.hold("wheel: installs alone, by hash", lambda: clean(Path(folder) / "env", built.wheel))
        _try(report, Installation(Path(folder) / "env"))
    return report.end()


def _look(report: _Report, built: Built, output: Path) -> None:
    files = (str(built.wheel), str(built.sdist))
    report.hold("wheel: contents and metadata", lambda: _none(wheel_problems(built.wheel)))
    report.hold("sdist: contents", lambda: _none(sdist_problems(built.sdist)))
    report.hold("sdist: makes the same wheel", lambda: _same_wheel(built))
    report.hold("twine check", lambda: run_tool("twine", "check", "--strict", *files))
    report.hold("check-wheel-contents", lambda: run_tool("check-wheel-contents", str(built.wheel)))
    report.hold("SBOM: written, valid", lambda: sbom.write(output / SBOM))
    report.hold("SBOM: all locked packages", lambda: _none(sbom.problems(output / SBOM)))


def _try(report: _Report, installed: Installation) -> None:
    report.hold("wheel: no package 'app'", lambda: assert_alone(installed))
    report.hold("serve: says what it needs", lambda: assert_says_what_a_start_needs(installed))
    report.hold("serve: beside a replica of the tree", lambda: assert_serves(installed))
    report.hold("dev: names the missing extra", lambda: assert_dev_names_the_missing_extra(installed))
    report.hold("dev: relays, without WebRTC", lambda: assert_dev_runs(installed, with_webrtc=False))


def _same_wheel(built: Built) -> None:
    with TemporaryDirectory() as folder:
        again = wheel_of(built.sdist, Path(folder))
        assert again.read_bytes() == built.wheel.read_bytes(), "it is another one"


def _none(problems: Iterable[str]) -> None:
    found = list(problems)
    assert not found, "\n".join(found)


class _Report:
    """What held and what did not."""

    def __init__(self) -> None:
        self._broken: list[str] = []

    def hold(self, what: str, check: Check) -> None:
        begun = time.monotonic()
        try:
            check()
        except (AssertionError, ToolFailed, OSError, SubprocessError) as error:
            self._broken.append(what)
            print(f"  BROKEN {what}\n{error}", flush=True)
        else:
            print(f"  held   {what} ({time.monotonic() - begun:.0f} s)", flush=True)

    def end(self) -> int:
        print(f"\n{len(self._broken)} of the checks are broken" if self._broken else "\nall of it holds")
        return 1 if self._broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
