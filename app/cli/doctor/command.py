"""``cloakroom doctor``: is all well, and if not, what mends it?"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console

from app.cli.doctor.document import as_json
from app.cli.doctor.progress import progress
from app.cli.doctor.text import print_lines, print_table
from app.cli.doctor.threads import AbandonableThreads
from app.cli.output import write
from app.doctor.finding import Report
from app.doctor.run import Options, examine
from app.settings.load import CONFIG_NAME
from app.telemetry.logs import without_logs

EXIT_WELL: Final = 0
EXIT_FAILED: Final = 1


def doctor(
    *,
    config: Path | None = None,
    mint: Annotated[bool, Parameter(negative=())] = False,
    model: str | None = None,
    timeout: Annotated[float, Parameter(validator=Number(gte=0.1, lte=120))] = 10.0,
    as_document: Annotated[bool, Parameter(name="--json", negative=())] = False,
    quiet: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Check settings, store and every deployment, and say how to mend what is wrong.

    Exit status 0 when nothing failed (warnings do not count), 1 when something did, 2 for a wrong usage. It
    needs no running replica and no admin key, and never shows a secret.

    Args:
        config: Our own YAML file, or LiteLLM's config.yaml; default: what CLOAKROOM_CONFIG names.
        mint: Mint a real key of 10 seconds at each deployment and throw it away.
        model: Look only at the deployments of this model.
        timeout: Seconds for each check; all of them together take three times as long at the most.
        as_document: Print one JSON document.
        quiet: Print only what failed.
    """
    environ = dict(os.environ)
    if config is not None:
        environ[CONFIG_NAME] = str(config)
    options = Options(mint=mint, model=model, seconds=timeout)
    with without_logs(), progress(Console(stderr=True), shown=not quiet) as tell, asyncio.Runner() as runner:
        runner.get_loop().set_default_executor(AbandonableThreads())
        report = runner.run(examine(environ, options, tell=tell))
    _print(report, as_document=as_document, quiet=quiet)
    return EXIT_WELL if report.healthy else EXIT_FAILED


def _print(report: Report, *, as_document: bool, quiet: bool) -> None:
    if as_document:
        write(as_json(report, only_failures=quiet) + "\n")
        return
    console = Console(highlight=False)
    with console.capture() as captured:
        # Not what rich takes for a terminal: FORCE_COLOR in a pipeline must not fold the lines.
        if sys.stdout.isatty() and not console.is_dumb_terminal:
            print_table(console, report, only_failures=quiet)
        else:
            print_lines(console, report, only_failures=quiet)
    write(captured.get())
