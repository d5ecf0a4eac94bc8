"""Walks a page as its reader does: every shell block in order, in one shell, with the accounts replaced."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.clocks import PATIENCE
from tests.support.page import ROOT, Block

_MARK: Final = "\x1eblock "
_READY: Final = """\
while ! curl -fsS -o /dev/null "$WALK_URL/readyz" 2> /dev/null; do kill -0 $! || exit 1; sleep 0.1; done
"""


def free_port() -> int:
    """A port that was free a moment ago; the page's commands must name it before the server listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found: int = probe.getsockname()[1]
    return found


@dataclass(frozen=True)
class Walk:
    """What the blocks printed, by the line on which each begins."""

    page: str
    status: int
    outputs: Mapping[int, str]
    errors: str
    server: str

    def of(self, block: Block) -> str:
        """The standard output of a block; the walk must have come that far."""
        assert block.line in self.outputs, f"{block.page}:{block.line} was not reached\n{self.told}"
        return self.outputs[block.line]

    @property
    def told(self) -> str:
        """All that is known of a walk that failed."""
        printed = "".join(f"--- line {line}\n{text}" for line, text in self.outputs.items())
        return (
            f"{self.page}: status {self.status}\n{printed}--- errors\n{self.errors}--- server\n{self.server}"
        )


def walk(
    blocks: Sequence[Block],
    folder: Path,
    *,
    replaced: Mapping[str, str],
    environment: Mapping[str, str],
) -> Walk:
    """Run the blocks that are not marked, one after the other; stop at the first command that fails.

    Args:
        folder: the reader's directory.
        replaced: texts of the page, such as a key or an address, and what the test has in their place.
        environment: variables that lead the commands to the test's provider, besides PATH.
    """
    port = free_port()
    told = {**replaced, "localhost:8080": f"127.0.0.1:{port}"}
    script = ["set -euo pipefail", "trap 'kill $(jobs -p) 2> /dev/null || true' EXIT"]
    for block in blocks:
        if block.why_not is not None:
            continue
        text = block.text
        for old in sorted(told, key=len, reverse=True):
            text = text.replace(old, told[old])
        script.append(f"printf '{_MARK}%s\\n' {block.line}")
        script.append(f"{text.strip()} > server.log 2>&1 &\n{_READY}" if block.stays else text)
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=folder,
        env={
            **environment,
            "PATH": f"{_programs(folder)}:{os.environ['PATH']}",
            "HOME": str(folder),
            "CLOAKROOM_HOST": "127.0.0.1",
            "CLOAKROOM_PORT": str(port),
            "CLOAKROOM_DRAIN_SECONDS": "0",
            "WALK_URL": f"http://127.0.0.1:{port}",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    outputs = {}
    for part in done.stdout.split(_MARK)[1:]:
        line, _, text = part.partition("\n")
        outputs[int(line)] = text
    log = folder / "server.log"
    server = log.read_text() if log.is_file() else ""
    return Walk(blocks[0].page, done.returncode, outputs, done.stderr, server)


def _programs(folder: Path) -> Path:
    """``cloakroom`` and ``python3`` as an installation has them, and the files of a clone that pages name."""
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    for name, arguments in (("cloakroom", "-m app "), ("python3", "")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} {arguments}"$@"\n')
        program.chmod(0o755)
    clone = folder / "app"
    if not clone.exists():
        # Not the code itself: Python would import it from the reader's directory.
        (clone / "sandbox").mkdir(parents=True)
        (clone / "sandbox" / "offer.sdp").write_bytes((ROOT / "app" / "sandbox" / "offer.sdp").read_bytes())
    return programs
