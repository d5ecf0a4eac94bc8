"""deploy/Dockerfile, replayed into an empty root and run there: a file or a library that is missing shows.

The root of a stage has what ``FROM`` and ``COPY`` put there and what its ``RUN`` made, and
nothing else of this machine. ``python:slim`` is a stand-in; ``roots.py`` says what it has. With the shipped
store the same image runs in ``test_topology.py``.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from app import __version__
from tests.support.planted import Planted
from tests.support.processes import ROOT, Process
from tests.system.containers.build import Builder, Image, StepFailed
from tests.system.containers.container import Container
from tests.system.containers.spec import Confinement
from tests.system.netns.host import Host, remove_abandoned
from tests.system.netns.store import PASSWORD_ENV

# The first test builds the image, which on a busy machine takes minutes.
pytestmark = pytest.mark.timeout(1200)

DOCKERFILE: Final = ROOT / "deploy" / "Dockerfile"
HEALTHY: Final = ["python", "-I", "/opt/healthcheck.py"]


@pytest.fixture(scope="module")
def image(builder: Builder) -> Image:
    return builder.image("service")


@pytest.fixture(scope="module")
def host(run_folder: Path) -> Iterator[Host]:
    """A network of its own, so that the image's port is free."""
    assert run_folder.is_dir()
    remove_abandoned()
    made = Host("image", secrets.token_hex(3))
    try:
        made.create()
        yield made
    finally:
        made.delete()


def container(image: Image, host: Host, *command: str, **environment: str) -> Container:
    """What ``docker run --read-only --tmpfs /tmp`` starts, with the image's command by default."""
    config = image.config
    uid, gid = config.ids
    inside = Confinement(
        root=str(image.root),
        command=[*config.entrypoint, *(command or config.command)],
        folder=config.folder,
        uid=uid,
        gid=gid,
        tmpfs=["/tmp"],
        read_only=True,
        drop_capabilities=True,
        no_new_privileges=True,
    )
    return Container(host, inside, {**config.env, **environment})


@pytest.fixture(scope="module")
def store_url(host: Host, planted: Planted) -> Iterator[str]:
    """A real store in the image's network."""
    password = planted.store_password
    program = ["tests.system.netns.store", "127.0.0.2"]
    with Process(program, {PASSWORD_ENV: password}, prefix=host.prefix) as store:
        port = store.wait_for_event("store_ready")["port"]
        yield f"redis://:{password}@127.0.0.2:{port}/0"


@pytest.fixture
def environment(store_url: str, planted: Planted) -> dict[str, str]:
    """A replica's, whose provider is not asked."""
    return planted.environment(
        CLOAKROOM_REDIS_URL=store_url,
        OPENAI_API_KEY=planted.openai_key,
        OPENAI_BASE_URL="http://127.0.0.1:9/v1",
    )


def asked(replica: Container, path: str) -> int:
    """The status of the shipped health check, asked about this path."""
    return replica.run([*HEALTHY, f"http://127.0.0.1:8080{path}"]).returncode


def test_it_serves_and_its_health_check_answers(
    image: Image, host: Host, environment: dict[str, str]
) -> None:
    with container(image, host, **environment) as replica:
        replica.wait_for_event("listening")
        assert list(image.config.healthcheck) == HEALTHY
        done = replica.run(image.config.healthcheck)
        assert done.returncode == 0, done.stderr
        assert asked(replica, "/readyz") == 0
        assert asked(replica, "/nothing-there") == 1
        user = replica.run(["python", "-c", "import os; print(os.getuid(), os.getgid(), os.getgroups())"])
        assert user.stdout.split() == ["10001", "10001", "[]"]
        written = replica.run(["python", "-c", "open('/opt/cloakroom/x', 'w')"])
        assert "Read-only file system" in written.stderr
    assert replica.wait() == 0, replica.output


def test_its_command_can_be_replaced(image: Image, host: Host) -> None:
    told = container(image, host, "--version")
    assert told.wait() == 0, told.output
    assert __version__ in told.output
    made = container(image, host, "keys", "new")
    assert made.wait() == 0, made.output
    assert "CLOAKROOM_SIGNING_KEYS=" in made.output


def test_it_has_no_installer_and_nothing_of_the_checkout(image: Image) -> None:
    environment = image.root / "opt" / "cloakroom"
    assert list(environment.glob("bin/pip*")) == []
    assert not (image.root / "src").exists()
    assert not (image.root / "wheels").exists()
    packages = next(environment.glob("lib/python3*/site-packages"))
    assert not list(packages.glob("av"))
    # The byte code is there, since nothing can be written at run time.
    assert list((packages / "cloakroom" / "__pycache__").glob("*.pyc"))


def without(line: str) -> str:
    text = DOCKERFILE.read_text(encoding="utf-8")
    before, found, after = text.rpartition(f"{line}\n")
    assert found, f"the Dockerfile has no {line!r} any more"
    return before + after


def test_without_its_health_check_it_is_not_healthy(
    builder: Builder, host: Host, environment: dict[str, str], changed_folder: Path
) -> None:
    text = without("COPY deploy/healthcheck.py /opt/healthcheck.py")
    image = builder.with_dockerfile(changed_folder, text).image("service")
    with container(image, host, **environment) as replica:
        replica.wait_for_event("listening")
        done = replica.run(image.config.healthcheck)
        assert done.returncode != 0
        assert "/opt/healthcheck.py" in done.stderr


def test_without_its_packages_it_does_not_start(
    builder: Builder, host: Host, environment: dict[str, str], changed_folder: Path
) -> None:
    text = without("COPY --from=packages /opt/cloakroom /opt/cloakroom")
    image = builder.with_dockerfile(changed_folder, text).image("service")
    with container(image, host, **environment) as replica:
        assert replica.wait() != 0
        assert "cloakroom: no such program in the image" in replica.output


def test_a_source_that_the_builder_does_not_get_fails_the_build(
    builder: Builder, changed_folder: Path
) -> None:
    for source in ("deploy/no-such-file.py", "tests"):
        text = DOCKERFILE.read_text(encoding="utf-8").replace("COPY deploy/healthcheck.py", f"COPY {source}")
        with pytest.raises(StepFailed, match="is not there"):
            builder.with_dockerfile(changed_folder / source.replace("/", "-"), text).image("service")


def test_a_library_that_the_base_lacks_shows(
    builder: Builder, host: Host, environment: dict[str, str], changed_folder: Path
) -> None:
    # A setting more makes the stage another one, with a root that can be broken.
    text = DOCKERFILE.read_text(encoding="utf-8").replace("WORKDIR /\n", "WORKDIR /\nENV BROKEN=yes\n")
    image = builder.with_dockerfile(changed_folder, text).image("service")
    assert image.root.is_relative_to(changed_folder)
    for library in image.root.rglob("libgcc_s.so.1"):
        library.unlink()
    with container(image, host, **environment) as replica:
        assert replica.wait() != 0
        assert "libgcc_s.so.1" in replica.output
