"""``python -m tests.fuzz [target ...]``: those targets, or all of them, one after the other.

    --runs 10000000   in all, shared out by the targets' shares
    --minutes 50      in all, at most
    --replay FILE     one input again, at one target, in this process
    --keep            afterwards, write the corpus that reaches the same code with the fewest inputs

The exit status is 1 where an input shows a defect; the input is kept, and how to see it again is printed.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.fuzz.minimise import smallest
from tests.fuzz.target import CORPUS, Target, name_of, written_corpus
from tests.fuzz.targets import TARGETS
from tests.support.page import ROOT

RUNS: Final = 10_000_000
_PYTHON: Final = ROOT / ".fuzz-venv" / "bin" / "python"
_WORK: Final = ROOT / ".fuzz"
# "#1048576	pulse  cov: 812 ft: 3333 corp: 222/31Kb lim: 4096 exec/s: 21399 rss: 88Mb"
_STATE: Final = re.compile(r"#(?P<runs>\d+)\s+\w+\s+cov: (?P<cov>\d+)")
_EXECUTED: Final = re.compile(r"stat::number_of_executed_units: (\d+)")
_TELL_EVERY: Final = 15.0  # seconds
# For one input: it is a defect to need so long. A busy machine is none.
_HANG_SECONDS: Final = 60


@dataclass
class Outcome:
    """What a target's run came to. ``crash`` is the input that shows a defect."""

    target: str
    runs: int = 0
    coverage: int = 0
    seconds: float = 0.0
    crash: Path | None = None
    failed: bool = False


def main(arguments: Sequence[str]) -> int:
    """Run the targets and print what became of each."""
    options = _parser().parse_args(arguments)
    if unknown := set(options.targets) - TARGETS.keys():
        print(f"there is no target {sorted(unknown)[0]!r}; there are {', '.join(TARGETS)}", file=sys.stderr)
        return 2
    chosen = [target for target in TARGETS.values() if not options.targets or target.name in options.targets]
    if options.replay is not None:
        return _replay(chosen, options.replay)
    if not _PYTHON.exists():
        print("atheris is not installed: 'make fuzz' does it", file=sys.stderr)
        return 2
    outcomes = []
    whole = sum(target.share for target in chosen)
    for target in chosen:
        part = target.share / whole
        seconds = None if options.minutes is None else max(1, round(options.minutes * 60 * part))
        outcomes.append(_run(target, round(options.runs * part), seconds))
    if options.keep:
        for target in chosen:
            _keep(target)
    return _tell(outcomes)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Inputs found by machine.")
    parser.add_argument("targets", nargs="*", metavar="target", help=f"{', '.join(TARGETS)}; default: all")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"in all; default: {RUNS:,}")
    parser.add_argument("--minutes", type=float, help="in all, at most")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="one input again, at one target")
    parser.add_argument("--keep", action="store_true", help="write the smallest corpus that reaches as far")
    return parser


def _replay(chosen: Sequence[Target], file: Path) -> int:
    if len(chosen) != 1:
        print("name the one target whose input it is", file=sys.stderr)
        return 2
    data = file.read_bytes()
    print(f"{chosen[0].name}: {data!r}")
    # A defect raises here, with its whole traceback.
    chosen[0].check(data)
    print("nothing is wrong with it")
    return 0


def _run(target: Target, runs: int, seconds: int | None) -> Outcome:
    folder = _WORK / target.name
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for data in target.corpus():
        (corpus / name_of(data)).write_bytes(data)
    words = folder / "words.dict"
    words.write_text("".join(f'"{_quoted(word)}"\n' for word in target.words), encoding="ascii")
    options = [
        f"-runs={runs}",
        f"-max_len={target.longest}",
        f"-dict={words}",
        f"-artifact_prefix={folder}/found-",
        f"-timeout={_HANG_SECONDS}",
        "-rss_limit_mb=2048",
        "-print_final_stats=1",
        *([f"-max_total_time={seconds}"] if seconds is not None else []),
    ]
    print(f"--> {target.name}: {runs:,} runs, from {len(list(corpus.iterdir()))} inputs", flush=True)
    before = set(folder.glob("found-*"))
    begun = time.monotonic()
    outcome = _watched([str(_PYTHON), "-m", "tests.fuzz.engine", target.name, *options, str(corpus)], target)
    outcome.seconds = time.monotonic() - begun
    outcome.crash = next(iter(set(folder.glob("found-*")) - before), None)
    return outcome


def _quoted(word: bytes) -> str:
    """A word as libFuzzer's dictionaries have it."""
    return "".join(chr(one) if 32 <= one < 127 and one not in b'"\\' else f"\\x{one:02x}" for one in word)


def _watched(command: Sequence[str], target: Target) -> Outcome:
    """Run it, tell now and then how far it is, and print its last lines where it fails."""
    outcome, lines, told = Outcome(target.name), list[str](), time.monotonic()
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines = [*lines[-60:], line]
            if state := _STATE.match(line):
                outcome.runs, outcome.coverage = int(state["runs"]), int(state["cov"])
                if time.monotonic() - told >= _TELL_EVERY:
                    told = time.monotonic()
                    print(f"    {outcome.runs:,} runs, {outcome.coverage} branches", flush=True)
            elif executed := _EXECUTED.match(line):
                outcome.runs = int(executed[1])
    outcome.failed = process.returncode != 0
    if outcome.failed:
        print("".join(lines))
    return outcome


def _keep(target: Target) -> None:
    found = [path.read_bytes() for path in (_WORK / target.name / "corpus").iterdir()]
    kept = [data for data in smallest(target.check, [*target.seeds, *found]) if data not in target.seeds]
    file = CORPUS / f"{target.name}.txt"
    file.write_text(written_corpus(kept), encoding="ascii")
    print(f"    {target.name}: {len(kept)} inputs besides the seeds, {file.stat().st_size:,} bytes")


def _tell(outcomes: Sequence[Outcome]) -> int:
    print(f"\n{'target':<10} {'runs':>12} {'branches':>9} {'runs/s':>9}")
    for one in outcomes:
        a_second = one.runs / one.seconds if one.seconds else 0.0
        print(f"{one.target:<10} {one.runs:>12,} {one.coverage:>9} {a_second:>9,.0f}")
    print(f"{'in all':<10} {sum(one.runs for one in outcomes):>12,}")
    for one in outcomes:
        if one.crash is not None:
            file = one.crash.relative_to(ROOT)
            print(f"\nDEFECT at {one.target}: see it again with")
            print(f"    .venv/bin/python -m tests.fuzz {one.target} --replay {file}")
        elif one.failed:
            print(f"\nFAILED at {one.target}: the fuzzer ended by itself; its last lines stand above")
    return 1 if any(one.failed for one in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
