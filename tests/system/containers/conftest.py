"""The images of the run, and the ability to run them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.balancer import haproxy
from tests.support.dockerfile import Config
from tests.support.missing import missing
from tests.support.programs import required
from tests.support.releases import CHANGELOG, check_out, releases
from tests.system.containers.build import Builder, Image
from tests.system.containers.roots import program_root
from tests.system.netns.ability import why_not


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One folder for all processes of the run. Without namespaces the test is skipped; on CI it fails.

    The last process removes it: images are large, and pytest keeps the folders of three runs.
    """
    reason = why_not()
    if reason is not None:
        missing(f"no container runs without namespaces: {reason}")
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = shared / "containers"
    with (shared / "containers.lock").open("w") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        folder.mkdir(exist_ok=True)
        yield folder
        fcntl.flock(users, fcntl.LOCK_UN)
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)


@pytest.fixture
def changed_folder(tmp_path: Path) -> Iterator[Path]:
    """For images of one test, and gone with it."""
    folder = tmp_path / "changed"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def builder(run_folder: Path) -> Builder:
    """Builds this checkout's Dockerfile."""
    return Builder(run_folder / "today")


@pytest.fixture(scope="session")
def release_before(tmp_path_factory: pytest.TempPathFactory, run_folder: Path) -> tuple[Builder, Path]:
    """A builder of the release before, and the folder with its files."""
    release = releases(CHANGELOG.read_text(encoding="utf-8"))[0]
    folder = check_out(release, tmp_path_factory.mktemp(f"release-{release.version}"), ".")
    return Builder(run_folder / release.version, folder), folder


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], dict[str, Image]]:
    """Stand-ins for the images of HAProxy and of the store."""

    def make() -> dict[str, Image]:
        folder = tmp_path_factory.mktemp("programs")
        shell = [(required(name, package="coreutils"), f"/usr/bin/{name}") for name in ("cut", "sha256sum")]
        shell += [(required(name, package=name), f"/usr/bin/{name}") for name in ("sed", "grep")]
        server = shutil.which("redis-server")
        assert server is not None
        store = [(server, "/usr/local/bin/valkey-server")]
        store += [(required("redis-cli", package="redis-tools"), "/usr/local/bin/valkey-cli")]
        balancer = [(haproxy(), "/usr/local/sbin/haproxy")]
        balancer += [(required("wget", package="wget"), "/usr/bin/wget")]
        configuration = "/usr/local/etc/haproxy/haproxy.cfg"
        return {
            "redis": Image(program_root(folder / "redis", [*shell, *store]), Config()),
            # The user and the command of haproxy's own image.
            "load-balancer": Image(
                program_root(folder / "load-balancer", balancer),
                Config(user="99:99", command=("haproxy", "-W", "-db", "-f", configuration)),
            ),
        }

    return make
