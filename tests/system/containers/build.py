"""Replays the Dockerfile's stages into folders: what no stage copies is not there.

Wheels are downloaded once a run, by the lock files' hashes and outside of the roots; a ``RUN`` in a root has
no network and finds them in a folder. Nothing else differs from what the file says.
"""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.dockerfile import DEFAULT_PATH, Config, Stage, Step, read_stages
from tests.support.processes import ROOT
from tests.support.programs import required
from tests.system.containers.enter import __file__ as ENTER  # noqa: N812 - a script's path
from tests.system.containers.roots import python_root
from tests.system.containers.spec import Confinement

BUILD_SECONDS: Final = 280
_WHEELS: Final = "/wheels-of-the-run"
_LOCK: Final = re.compile(r"-r (\S+\.lock)")


class StepFailed(Exception):
    """A step of the Dockerfile failed; the message has the step and what it wrote."""


@dataclass(frozen=True)
class Image:
    """A root folder and what the image says about its containers."""

    root: Path
    config: Config


class Builder:
    """Builds targets of one Dockerfile; a stage is built once.

    Args:
        folder: where roots and wheels are put, of the run.
        context: what the builder may copy from, within what ``.dockerignore`` lets through.
        dockerfile: its text, by default that of the context.
    """

    def __init__(self, folder: Path, context: Path = ROOT, dockerfile: str | None = None) -> None:
        text = dockerfile or (context / "deploy" / "Dockerfile").read_text(encoding="utf-8")
        self._folder, self._context = folder, context
        self._stages = read_stages(text)
        self._built: dict[str, Image] = {}
        self._before: Builder | None = None
        self._holds = False

    def image(self, target: str) -> Image:
        """Build this stage and those that it needs.

        Raises:
            StepFailed: as ``docker build`` would.
        """
        with self._alone():
            if target not in self._built:
                self._built[target] = self._build(self._stages[target])
            return self._built[target]

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Processes of one test run share the folder, and what one has built no other builds again."""
        if self._holds:
            yield
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._holds = True
            try:
                yield
            finally:
                self._holds = False

    def with_dockerfile(self, folder: Path, text: str) -> Builder:
        """A builder of a changed file. It takes over the stages that are not touched."""
        changed = Builder(folder, self._context, text)
        changed._before = self
        return changed

    def _all_of(self, stage: Stage) -> list[object]:
        needed = [step.copied[2] for step in stage.steps if step.word == "COPY"]
        under = [name for name in (stage.base, *needed) if name in self._stages]
        return [stage, *(self._all_of(self._stages[name]) for name in under)]

    def _build(self, stage: Stage) -> Image:
        before = self._before
        if before and self._all_of(stage) == before._all_of(before._stages[stage.name]):
            return before.image(stage.name)
        root, done = self._folder / stage.name, self._folder / f"{stage.name}.done"
        if done.exists():
            return Image(root, stage.config)
        # What a killed process left half done.
        shutil.rmtree(root, ignore_errors=True)
        if stage.base in self._stages:
            _copy_tree(self.image(stage.base).root, root)
        else:
            _copy_tree(self._python(), root)
        for step in stage.steps:
            (root / step.config.folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
            if step.word == "COPY":
                self._copy(step, root)
            else:
                self._run(step, root)
        done.touch()
        return Image(root, stage.config)

    def _python(self) -> Path:
        if self._before:
            return self._before._python()
        root, done = self._folder / "python", self._folder / "python.done"
        if not done.exists():
            shutil.rmtree(root, ignore_errors=True)
            python_root(root)
            run_in(root, "python -m ensurepip --default-pip", Config())
            done.touch()
        return root

    def _copy(self, step: Step, root: Path) -> None:
        sources, target, stage = step.copied
        origin = self.image(stage).root if stage else self._context
        place = root / (Path(step.config.folder) / target).as_posix().lstrip("/")
        for source in sources:
            found = origin / source.lstrip("/")
            if not found.exists() or not (stage or self._let_through(source)):
                raise StepFailed(f"COPY {step.text}: {source} is not there")
            if found.is_dir():
                _copy_tree(found, place)
            else:
                goal = place / found.name if target.endswith("/") else place
                goal.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(found, goal)

    def _let_through(self, source: str) -> bool:
        rules = (self._context / ".dockerignore").read_text(encoding="utf-8").splitlines()
        return f"!{source}" in rules

    def _run(self, step: Step, root: Path) -> None:
        wheels = self._folder / "wheels"
        wheels.mkdir(exist_ok=True)
        for lock in _LOCK.findall(step.text):
            _download(root / step.config.folder.lstrip("/") / lock, wheels)
        run_in(root, step.text, step.config, wheels)


def _copy_tree(source: Path, target: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__") if source.name == "app" else None
    shutil.copytree(source, target, symlinks=True, ignore=ignored, dirs_exist_ok=True)


def _download(lock: Path, folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    command += ["--only-binary=:all:", "--requirement", str(lock), "--dest", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False)
    if done.returncode:
        raise StepFailed(f"{lock.name} cannot be downloaded:\n{done.stderr}")


def run_in(root: Path, script: str, config: Config, wheels: Path | None = None) -> None:
    """Run a shell's line in this root, as root and without a network.

    Raises:
        StepFailed: its status is not 0.
    """
    uid, gid = config.ids
    inside = Confinement(
        root=str(root),
        command=["/bin/sh", "-c", script],
        folder=config.folder,
        uid=uid,
        gid=gid,
        binds=[(str(wheels), _WHEELS)] if wheels else [],
    )
    unshare = [required("unshare", package="util-linux"), "--mount", "--net", "--propagation", "private"]
    done = subprocess.run(
        [
            *unshare,
            *inside.command_line(sys.executable, ENTER),
        ],
        env={
            "PATH": DEFAULT_PATH,
            "HOME": "/root",
            "LANG": "C.UTF-8",
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": _WHEELS,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_ROOT_USER_ACTION": "ignore",
            **config.env,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    if done.returncode:
        raise StepFailed(f"RUN {script}\n{done.stdout}{done.stderr}")
