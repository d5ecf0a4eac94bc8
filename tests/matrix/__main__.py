"""``python -m tests.matrix [debian] [pypi] [wheel]``: those servers, or all of them."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.matrix.servers import SOURCES, Source
from tests.matrix.summary import Outcome, read_outcome, status, table
from tests.support.page import ROOT
from tests.support.store_server import VARIABLE, NoServer, StoreServer

FOLDERS: Final = ("tests/store", "tests/system", "tests/web")


def main(arguments: Sequence[str]) -> int:
    """Run the tests on each server and print the table; the exit status is 0 if all passed on all."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.matrix", description="The store, system and web tests on each server."
    )
    keys = [source.key for source in SOURCES]
    parser.add_argument("servers", nargs="*", metavar="server", help=f"{', '.join(keys)}; default: all")
    wanted = parser.parse_args(arguments).servers or keys
    if unknown := set(wanted) - set(keys):
        parser.error(f"there is no server {sorted(unknown)[0]!r}: choose from {', '.join(keys)}")
    chosen = [source for source in SOURCES if source.key in wanted]

    # All are fetched before the first minutes of tests, so that what is missing is known at once.
    found = [(source, _get(source)) for source in chosen]
    outcomes = [_run(source, server, at, len(found)) for at, (source, server) in enumerate(found, start=1)]
    print(f"\n{table(outcomes)}", flush=True)
    return status(outcomes)


def _get(source: Source) -> StoreServer | str:
    print(f"--> looking for {source.where}", flush=True)
    try:
        return source.get()
    except NoServer as error:
        print(f"    {error}", flush=True)
        return str(error)


def _run(source: Source, server: StoreServer | str, at: int, of: int) -> Outcome:
    if isinstance(server, str):
        return Outcome(source.where, missing=server)
    print(f"\n--> {at} of {of}: {server} ({source.where}), {_shown(server.program)}", flush=True)
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        # As in "make test".
        options = ("--numprocesses", "4", "--dist", "loadfile", f"--junitxml={report}")
        ended = subprocess.run(
            (sys.executable, "-m", "pytest", *FOLDERS, *options),
            cwd=ROOT,
            env={**os.environ, VARIABLE: str(server.program)},
            check=False,
        )
        return read_outcome(source.where, server, report, ended.returncode)


def _shown(program: Path) -> Path:
    return program.relative_to(ROOT) if program.is_relative_to(ROOT) else program


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
