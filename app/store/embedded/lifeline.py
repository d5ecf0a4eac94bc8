"""Child processes that end with their parent, also when the parent is killed.

On Linux the kernel does it: ``PR_SET_PDEATHSIG`` survives ``execve``, so this file, run as a script
between parent and program, asks for the signal and then becomes the program under the same pid. A
``preexec_fn`` would do the same but runs Python between fork and exec, which can deadlock once the
parent has threads. Elsewhere there is no such signal, and only an orderly end of the parent helps.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

_PR_SET_PDEATHSIG: Final = 1  # <linux/prctl.h>
_EXIT_PARENT_GONE: Final = 125

_Job = Callable[[], None]
_jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
_spawner: threading.Thread | None = None
_spawner_lock = threading.Lock()


def bound_to_parent(argv: Sequence[str]) -> list[str]:
    """Return a command line that runs ``argv`` and has it SIGKILLed when its parent is gone.

    ``argv[0]`` must be a path: it is not looked up. The kernel watches the *thread* that starts the
    process, so start it from one that lives as long as the program: the main thread, or ``popen``.
    """
    if sys.platform != "linux":
        return list(argv)
    # -I and -S keep the detour at a few milliseconds and away from the user's site packages.
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *argv]


def popen(argv: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start ``argv`` bound to this process, from any thread.

    ``options`` are ``subprocess.Popen``'s.

    Raises:
        OSError: the program cannot be started.
    """
    done = threading.Event()
    started: list[subprocess.Popen[bytes]] = []
    failed: list[BaseException] = []

    def start() -> None:
        try:
            started.append(subprocess.Popen(bound_to_parent(argv), **options))  # noqa: S603 - ours, no shell
        except BaseException as error:
            failed.append(error)
        finally:
            done.set()

    _ensure_spawner()
    _jobs.put(start)
    done.wait()
    if failed:
        raise failed[0]
    return started[0]


def _ensure_spawner() -> None:
    """Keep one thread for the life of the process: a child would die with a shorter-lived one."""
    global _spawner  # noqa: PLW0603 - one for the process is the point
    with _spawner_lock:
        # A fork of a program that used it has no such thread, and starts another.
        if _spawner is None or not _spawner.is_alive():
            _spawner = threading.Thread(target=_run_jobs, name="lifeline-spawner", daemon=True)
            _spawner.start()


def _run_jobs() -> None:
    while True:
        _jobs.get()()


def _become(parent_pid: int, argv: list[str]) -> None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    # Where this is refused (a strict seccomp profile), the program runs without the lifeline.
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # The parent may have ended before the request took effect; then no signal comes.
    if os.getppid() != parent_pid:
        os._exit(_EXIT_PARENT_GONE)
    try:
        os.execv(argv[0], argv)  # noqa: S606 - no shell is the intention
    except OSError as error:
        sys.exit(f"cannot run {argv[0]}: {error.strerror}")


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2:])
