"""Where a loaded server spends its time, by Python function: samples of py-spy."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench import wrk
from tests.bench.contenders import Contender
from tests.bench.tools import BenchError, find
from tests.bench.wrk import Load

_RATE: Final = 400  # samples a second
_CONNECTIONS: Final = 32
# A thread of a pool that has nothing to do. It sleeps in C code, which py-spy takes for work.
_AT_REST: Final = "_worker (concurrent/futures/thread.py)"
_LINE_NUMBER = re.compile(r":\d+\)$")


@dataclass(frozen=True, slots=True)
class Shares:
    """Share of the samples, 0 to 1: in a function itself, and in it or anything that it called."""

    samples: int
    own: tuple[tuple[str, float], ...]
    cumulative: tuple[tuple[str, float], ...]


def record(contender: Contender, load: Load, *, seconds: int, cpus: set[int]) -> Shares:
    """Load the server and sample its stacks meanwhile.

    Raises:
        BenchError: py-spy is missing, or may not look into the process (it needs root or ptrace rights).
    """
    with tempfile.TemporaryDirectory(prefix="bench-pyspy-") as name:
        out = Path(name) / "folded"
        command = [
            *(str(find("py-spy")), "record", "--format", "raw", "--rate", str(_RATE)),
            *("--duration", str(seconds), "--output", str(out), "--pid", str(contender.pid)),
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as spy:
            try:
                wrk.run(contender.url, load, connections=_CONNECTIONS, seconds=seconds + 2, cpus=cpus)
                said, _ = spy.communicate(timeout=60)
            finally:
                spy.kill()
        if not out.exists():
            raise BenchError(f"py-spy recorded nothing; it said:\n{said}")
        return shares(out.read_text().splitlines())


def shares(folded: Iterable[str]) -> Shares:
    """Sum up folded stacks: ``outermost;...;innermost count``. Line numbers are left out."""
    own: Counter[str] = Counter()
    cumulative: Counter[str] = Counter()
    total = 0
    for line in folded:
        stack, _, count = line.rpartition(" ")
        if not stack:
            continue
        frames = [_LINE_NUMBER.sub(")", frame) for frame in stack.split(";")]
        if frames[-1] == _AT_REST:
            continue
        total += int(count)
        own[frames[-1]] += int(count)
        cumulative.update(dict.fromkeys(frames, int(count)))

    def ranked(counter: Counter[str]) -> tuple[tuple[str, float], ...]:
        return tuple((name, count / total) for name, count in counter.most_common())

    return Shares(total, ranked(own), ranked(cumulative))
