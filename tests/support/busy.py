"""``python -m tests.support.busy --workers 2``: the suite while every CPU has something else to do.

    --workers 2       pytest's processes
    --minutes 120     so long the CPUs stay busy at most
    anything else     goes to pytest: a folder, ``-k``, ``-x``

A test that passes only on an idle machine fails here. Each CPU gets a child that counts in a circle at the
same priority as the tests. The children end with the suite, on Ctrl-C or SIGTERM, and when this process is
killed; without any of that they end by themselves after ``--minutes``.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from app.store.embedded import lifeline

_ROOT: Final = Path(__file__).resolve().parents[2]
_UNWIND_SECONDS: Final = 60.0
_ENDINGS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_CIRCLE: Final = """
import sys, time
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    pass
"""


@contextmanager
def busy_cpus(seconds: float) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Keep every CPU that this process may use busy with one child each, for ``seconds`` at most."""
    children: list[subprocess.Popen[bytes]] = []
    try:
        for cpu in _cpus():
            command = [sys.executable, "-I", "-S", "-c", _CIRCLE, str(seconds)]
            # A session of its own: Ctrl-C is for this process, which ends its children.
            child = lifeline.popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
            children.append(child)
            if cpu is not None:
                os.sched_setaffinity(child.pid, {cpu})
        yield children
    finally:
        for child in children:
            child.kill()
        for child in children:
            child.wait()


def main() -> int:
    """Run the suite; returns pytest's exit status, or 1 when the CPUs were not busy to its end."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.busy", description="The suite on a busy machine."
    )
    parser.add_argument("--workers", default="2", help="pytest's processes")
    parser.add_argument("--minutes", type=float, default=120, help="so long the CPUs stay busy at most")
    chosen, for_pytest = parser.parse_known_args()
    for number in _ENDINGS:
        # Under nohup the hang-up of the terminal is ignored, and stays so.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _unwind)
    with busy_cpus(chosen.minutes * 60) as children:
        pids = ", ".join(str(child.pid) for child in children)
        _say(f"{len(children)} CPUs kept busy by processes {pids}; {chosen.workers} workers run the suite")
        begun, idle_before = time.monotonic(), _cpu_times()
        status = _suite(chosen.workers, for_pytest)
        idle, total = (after - before for after, before in zip(_cpu_times(), idle_before, strict=True))
        still_busy = all(child.poll() is None for child in children)
    share = f"; the CPUs were busy {100 * (1 - idle / total):.1f} % of the time" if total else ""
    _say(f"pytest ended with status {status} after {time.monotonic() - begun:.0f} s{share}")
    if not still_busy:
        _say(f"the CPUs were kept busy for {chosen.minutes:g} minutes only, so this run proves nothing")
        return status or 1
    return status


def _suite(workers: str, arguments: list[str]) -> int:
    command = [sys.executable, "-m", "pytest", "--numprocesses", workers, "--dist", "loadfile", *arguments]
    suite = lifeline.popen(command, cwd=_ROOT, start_new_session=True)
    try:
        return suite.wait()
    except BaseException:
        # As on Ctrl-C: pytest lets the fixtures of a running test end what they started.
        suite.send_signal(signal.SIGINT)
        try:
            suite.wait(_UNWIND_SECONDS)
        except subprocess.TimeoutExpired:
            suite.kill()
        raise


def _unwind(number: int, frame: object) -> None:
    del frame
    for other in _ENDINGS:
        signal.signal(other, signal.SIG_IGN)
    _say(f"{signal.Signals(number).name} ends this run")
    sys.exit(128 + number)


def _cpus() -> list[int | None]:
    if sys.platform == "linux":
        return [*sorted(os.sched_getaffinity(0))]
    return [None] * (os.cpu_count() or 1)


def _cpu_times() -> tuple[int, int]:
    """How long the machine's CPUs were idle, and all of their time, in ticks; zeros where nobody counts."""
    counted = Path("/proc/stat")
    if not counted.exists():
        return 0, 0
    user, nice, system, idle, waiting, *others = map(int, counted.read_text().split("\n", 1)[0].split()[1:9])
    return idle + waiting, user + nice + system + idle + waiting + sum(others)


def _say(text: str) -> None:
    sys.stderr.write(f"--> {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
