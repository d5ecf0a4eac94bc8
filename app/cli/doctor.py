"""``cloakroom doctor``: the command, and its report as a table, as lines or as JSON."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, Final, ParamSpec, TypeVar

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from app.cli.display import progress
from app.cli.failure import EXIT_DONE, EXIT_FAILED
from app.cli.output import for_people, write
from app.doctor.finding import Finding, Report, Status
from app.doctor.run import Options, examine
from app.settings.load import CONFIG_NAME
from app.telemetry.logs import without_logs
from app.telemetry.redaction import legible

# The words alone tell the status, also without colour and without these signs.
_WORDS: Final[Mapping[Status, str]] = {"ok": "ok", "warn": "warn", "fail": "FAIL", "skipped": "skip"}
_SIGNS: Final[Mapping[Status, str]] = {"ok": "✓", "warn": "!", "fail": "✗", "skipped": "·"}
_STYLES: Final[Mapping[Status, str]] = {"ok": "green", "warn": "yellow", "fail": "bold red", "skipped": "dim"}
_TITLES: Final[Mapping[str, str]] = {
    "settings": "Settings",
    "litellm": "LiteLLM's configuration",
    "store": "Store",
    "webhook": "Webhook of security events",
}
# A long name wraps, so that the detail keeps its room.
_SHARE_OF_NAMES: Final = 0.25
_LONGEST_WORD: Final = max(map(len, _WORDS.values()))

P = ParamSpec("P")
T = TypeVar("T")


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Tries:
    """What is tried for real."""

    mint: Annotated[
        bool,
        Parameter(negative=(), help="Mint a real key of 10 seconds at each deployment and throw it away."),
    ] = False
    webhook: Annotated[
        bool,
        Parameter(negative=(), help="Send a signed test message to CLOAKROOM_SECURITY_WEBHOOK_URL."),
    ] = False


_NONE: Final = Tries()


def doctor(
    *,
    config: Path | None = None,
    tries: Tries = _NONE,
    model: str | None = None,
    timeout: Annotated[float, Parameter(validator=Number(gte=0.1, lte=120))] = 10.0,
    as_document: Annotated[bool, Parameter(name="--json", negative=())] = False,
    quiet: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Check settings, store and every deployment, and say how to fix what is wrong.

    Exit status 0 when nothing failed (warnings do not count), 1 when something did, 2 for a wrong usage. It
    needs no running replica and no admin key, and never shows a secret.

    Args:
        config: Our own YAML file, or LiteLLM's config.yaml; default: what CLOAKROOM_CONFIG names.
        model: Look only at the deployments of this model.
        timeout: Seconds for each check; all together take at most three times as long.
        as_document: Print one JSON document.
        quiet: Print only what failed.
    """
    environ = dict(os.environ)
    if config is not None:
        environ[CONFIG_NAME] = str(config)
    options = Options(mint=tries.mint, webhook=tries.webhook, model=model, seconds=timeout)
    with without_logs(), progress(shown=not quiet) as said, asyncio.Runner() as runner:
        runner.get_loop().set_default_executor(AbandonableThreads())
        report = runner.run(examine(environ, options, tell=looking_at(said)))
    _print(report, as_document=as_document, quiet=quiet)
    return EXIT_DONE if report.healthy else EXIT_FAILED


def looking_at(said: Callable[[str], None]) -> Callable[[Sequence[str]], None]:
    """A function that takes the titles of the work that is left, and shows them."""
    return lambda waiting: said(f"looking at {', '.join(waiting)}") if waiting else None


class AbandonableThreads(ThreadPoolExecutor):
    """Runs each call in a daemon thread that nothing waits for.

    asyncio resolves host names in its executor. The loop and the interpreter wait at their end for the
    threads of an ordinary one, so a name server that hangs would hold up the command past any deadline.
    """

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:
                # The caller gets it, as from any executor.
                future.set_exception(error)
            else:
                future.set_result(result)

        threading.Thread(target=run, name="doctor-lookup", daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> Any:
        """Do nothing: the threads end with the process."""


def _print(report: Report, *, as_document: bool, quiet: bool) -> None:
    if as_document:
        write(as_json(report, only_failures=quiet) + "\n")
        return
    console = Console(highlight=False)
    with console.capture() as captured:
        # Not what rich takes for a terminal: FORCE_COLOR in a pipeline must not fold the lines.
        if for_people():
            print_table(console, report, only_failures=quiet)
        else:
            print_lines(console, report, only_failures=quiet)
    write(captured.get())


def as_json(report: Report, *, only_failures: bool) -> str:
    """``{"summary": {"healthy", "ok", "warn", "fail", "skipped", "seconds"}, "findings": [...]}``.

    The summary counts everything, also with ``only_failures``.
    """
    summary: dict[str, float] = {"healthy": report.healthy, "seconds": round(report.seconds, 3)}
    # None for what a finding does not have.
    findings = [
        {name: value or None for name, value in asdict(finding).items()}
        for finding in _shown(report, only_failures=only_failures)
    ]
    summary |= {str(status): count for status, count in report.counts.items()}
    return json.dumps({"summary": summary, "findings": findings}, indent=2)


def print_table(console: Console, report: Report, *, only_failures: bool) -> None:
    """Print one block for each area, wrapped to the terminal; the fix stands below its finding."""
    signs = console.encoding.lower().startswith("utf")
    findings = _legible(report, only_failures=only_failures)
    widest = max((len(finding.name) for finding in findings), default=0)
    width = min(widest, int(console.width * _SHARE_OF_NAMES))
    for place, group in groupby(findings, key=lambda finding: finding.place):
        rows = list(group)
        console.print(Text(_title(rows[0], place), style="bold"))
        console.print(Padding(_block(rows, width=width, signs=signs), (0, 0, 1, 2)))
    if not only_failures:
        console.print(Text(_summary(report), style="bold green" if report.healthy else "bold red"))


def print_lines(console: Console, report: Report, *, only_failures: bool) -> None:
    """Print one line for each finding: status, place, name, detail and fix, two spaces between them."""
    for finding in _legible(report, only_failures=only_failures):
        parts = [f"{_WORDS[finding.status]:<4}", finding.place, finding.name, finding.detail]
        parts += [f"fix: {finding.fix}"] if finding.fix else []
        console.print("  ".join(parts), soft_wrap=True, markup=False)
    if not only_failures:
        console.print(_summary(report), soft_wrap=True, markup=False)


def _shown(report: Report, *, only_failures: bool) -> Sequence[Finding]:
    return [finding for finding in report.findings if not only_failures or finding.status == "fail"]


def _legible(report: Report, *, only_failures: bool) -> Sequence[Finding]:
    """The findings to show. Settings, providers and stores wrote parts of their text."""
    return [
        replace(
            finding,
            name=legible(finding.name),
            detail=legible(finding.detail),
            fix=legible(finding.fix),
            subject=legible(finding.subject),
        )
        for finding in _shown(report, only_failures=only_failures)
    ]


def _title(finding: Finding, place: str) -> str:
    return _TITLES.get(place, f"Deployment {finding.subject}")


def _block(rows: Sequence[Finding], *, width: int, signs: bool) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    # The same width in every block, so that the columns of the whole report align.
    table.add_column(no_wrap=True, width=_LONGEST_WORD + (2 if signs else 0))
    table.add_column(width=width, overflow="fold")
    table.add_column(ratio=1, overflow="fold")
    for finding in rows:
        mark = f"{_SIGNS[finding.status]} " if signs else ""
        table.add_row(
            Text(f"{mark}{_WORDS[finding.status]}", style=_STYLES[finding.status]),
            Text(finding.name),
            Group(*_cell(finding)),
        )
    return table


def _cell(finding: Finding) -> Iterator[Text | Table]:
    yield Text(finding.detail, style="dim" if finding.status == "skipped" else "")
    if finding.fix:
        # In its own table, so that wrapped lines stay right of the word.
        fix = Table.grid(padding=(0, 1, 0, 0))
        fix.add_column(no_wrap=True)
        fix.add_column(overflow="fold")
        fix.add_row(Text("fix:", style=_STYLES[finding.status]), Text(finding.fix))
        yield fix


def _summary(report: Report) -> str:
    counts = report.counts
    parts = [
        f"{counts['ok']} ok",
        f"{counts['warn']} warning{'' if counts['warn'] == 1 else 's'}",
        f"{counts['fail']} failed",
        f"{counts['skipped']} skipped",
    ]
    verdict = "all is well" if report.healthy else "not well"
    return f"{verdict}: {', '.join(parts)}, in {report.seconds:.1f} s"
