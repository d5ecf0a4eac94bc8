"""What a supervisor does where the system has no room for one more process."""

from __future__ import annotations

import errno
import signal

import pytest

from app.supervisor import supervisor
from app.supervisor.supervisor import Supervisor, WorkersFailed


def test_a_worker_that_cannot_be_started_is_an_end_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_: object) -> None:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(supervisor, "WorkerProcess", no_room)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(
        WorkersFailed, match=r"worker 0 could not be started \(Resource temporarily unavailable\)"
    ):
        Supervisor(2, lambda number, line: 0, [], ending_seconds=0).run()
    assert signal.getsignal(signal.SIGTERM) is before
