"""Machine instructions a request: callgrind's counts, which no other program on the machine disturbs.

The server runs under valgrind, its counters are set to zero once it is warm, and read after a counted
number of requests, one after another over one connection.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench import traffic
from tests.bench.contenders import Contender
from tests.bench.tools import BenchError, find
from tests.bench.wrk import Load

_WARM_UP: Final = 60
_NAME = re.compile(r"\((\d+)\)(?: (.*))?")


@dataclass(frozen=True, slots=True)
class Counted:
    """Instructions of one request, in all and by C function (its own, without what it calls)."""

    instructions: float
    functions: tuple[tuple[str, float], ...]


def counts(
    start: Callable[[tuple[str, ...]], Contender],
    kinds: Callable[[Contender], dict[str, Load]],
    *,
    requests: int,
) -> dict[str, Counted]:
    """Start a server under callgrind, send it each kind of load, and count.

    Args:
        start: starts the server with this command in front of it.
        kinds: makes the loads of the running server.
        requests: of each kind.

    Raises:
        BenchError: valgrind is missing, or did not do as asked.
    """
    with tempfile.TemporaryDirectory(prefix="bench-callgrind-") as name:
        out = Path(name) / "out"
        contender = start((str(find("valgrind")), "--tool=callgrind", f"--callgrind-out-file={out}"))
        with contender:
            found = {}
            for part, (kind, load) in enumerate(kinds(contender).items(), 1):
                traffic.send(contender.url, load, _WARM_UP)
                _control("-z", contender.pid)
                traffic.send(contender.url, load, requests)
                _control("-d", contender.pid)
                lines = Path(f"{out}.{part}").read_text(errors="replace").splitlines()
                found[kind] = _per_request(lines, requests)
            return found


def _control(option: str, pid: int) -> None:
    told = subprocess.run(
        [find("callgrind_control"), option, str(pid)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    if "OK" not in told.stdout:
        raise BenchError(f"callgrind_control {option} failed:\n{told.stdout}{told.stderr}")


def _per_request(lines: Iterable[str], requests: int) -> Counted:
    own = self_costs(lines)
    functions = tuple((name, cost / requests) for name, cost in own.most_common())
    return Counted(sum(own.values()) / requests, functions)


def self_costs(lines: Iterable[str]) -> Counter[str]:
    """Instructions of each function's own in callgrind's file.

    A cost line is ``<position> <count>``; the one after ``calls=`` is what a callee cost, and is left out.
    Names are given once and then stand as their number.
    """
    names: dict[str, str] = {}
    costs: Counter[str] = Counter()
    current, skip = "", False
    for line in lines:
        if line.startswith(("fn=", "cfn=")):
            found = _NAME.match(line.partition("=")[2])
            if found is None:
                continue
            number, name = found[1], found[2]
            if name:
                names[number] = name
            if line.startswith("fn="):
                current = names.get(number, number)
        elif line.startswith("calls="):
            skip = True
        elif line[:1] in "0123456789+-*" and line:
            fields = line.split()
            if not skip and len(fields) == 2:
                costs[current] += int(fields[1])
            skip = False
    return costs
