"""When a worker that died is started again, when that is given up, and how a process ended. Pure."""

from __future__ import annotations

import signal
from collections import deque
from typing import Final

# So many deaths of one worker within this time are too many: a further start mends nothing.
MOST_DEATHS: Final = 5
WITHIN_SECONDS: Final = 60.0
# Before the second start of a row; it doubles with each further one. The first one is at once.
_PAUSE_SECONDS: Final = 0.5


class Deaths:
    """The deaths of one worker, by the supervisor's clock."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=MOST_DEATHS)
        self.number = 0

    def add(self, now: float) -> float | None:
        """Note a death; returns the seconds until the next start, or None where there have been too many."""
        self.number += 1
        self._times.append(now)
        while now - self._times[0] > WITHIN_SECONDS:
            self._times.popleft()
        recent = len(self._times)
        if recent == MOST_DEATHS:
            return None
        return 0.0 if recent == 1 else float(_PAUSE_SECONDS * 2 ** (recent - 2))


def how_it_ended(status: int) -> str:
    """In words, from the exit status of a process or minus its signal."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = str(-status)
    why = ", as the kernel does where memory runs out" if status == -signal.SIGKILL else ""
    return f"was killed by {name}{why}"
