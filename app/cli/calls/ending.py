"""Waits until calls that are to end have ended, and says what has become of them.

The replicas do the work. A command only notes the calls and looks, so it may be interrupted at any time.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from app.cli.display import progress
from app.cli.failure import EXIT_UNREACHED, CliFailure
from app.cli.output import tell
from app.cli.reach.base import Operator
from app.store.listing.views import Stopped
from app.telemetry.redaction import legible

# Calls that one request looks up: their ids fit into the smallest body that a service usually allows.
_AT_ONCE: Final = 150
_LOOK_SECONDS: Final = 1.0
# The reason of a call that no replica can end.
_NO_HANGUP: Final = "no_hangup"
_NOT_TRIED: Final = "not_tried"


@dataclass(slots=True)
class Ending:
    """The calls that are to end. ``newer`` is how many a newer release wrote, which are not touched."""

    noted: int = 0
    newer: int = 0
    ended: int = 0
    # Each with the reason why it has not ended yet.
    _open: dict[str, str] = field(default_factory=dict)
    _known: set[str] = field(default_factory=set)

    @property
    def found(self) -> int:
        """All calls that were to end."""
        return self.ended + len(self._open)

    @property
    def left(self) -> int:
        """Calls that have not ended, as far as is known."""
        return len(self._open)

    @property
    def reasons(self) -> Counter[str]:
        """How many have not ended for which reason: ``not_tried``, ``no_hangup``, or an error's code."""
        return Counter(self._open.values())

    def add(self, step: Stopped) -> None:
        """Take the calls of one step along. A call that is known counts once."""
        self.noted += step.noted
        self.newer += step.newer
        new = [call_id for call_id in step.ids if call_id not in self._known]
        self._known.update(new)
        self._open.update(dict.fromkeys(new, _NOT_TRIED))

    async def wait(self, operator: Operator, *, seconds: float, quiet: bool) -> None:
        """Look until all have ended that can, at most for so many seconds.

        A replica that cannot be reached for a moment is asked again.

        Raises:
            CliFailure: it cannot be reached when the time is over, or it refuses.
        """
        deadline = time.monotonic() + seconds
        with self.told_how_far(), progress(shown=not quiet) as said:
            while True:
                unreached: CliFailure | None = None
                try:
                    await self._look(operator)
                except CliFailure as failure:
                    if failure.status != EXIT_UNREACHED:
                        raise
                    unreached = failure
                said(self.in_words())
                hopeless = all(reason == _NO_HANGUP for reason in self._open.values())
                if unreached is None and hopeless:
                    return
                pause = min(_LOOK_SECONDS, deadline - time.monotonic())
                if pause <= 0:
                    if unreached is not None:
                        raise unreached
                    return
                await asyncio.sleep(pause)

    @contextlib.contextmanager
    def told_how_far(self) -> Iterator[None]:
        """An interrupted or failed run says how far it is, and that the rest goes on without it."""
        try:
            yield
        except (asyncio.CancelledError, CliFailure):
            tell(
                f"stopped early: {self.in_words()} so far. What is noted stays noted: the replicas go on, or "
                "the next one that starts, where none runs. Run it again to see the rest."
            )
            raise

    def in_words(self) -> str:
        """``312 of 480 calls hung up``."""
        return f"{self.ended:,} of {_calls(self.found)} hung up"

    def tell_what_is_left(self) -> None:
        """One line for each reason, for people."""
        for reason, count in sorted(self.reasons.items()):
            tell(f"  {_calls(count)}: {_why(reason)}")
        if self.newer:
            tell(
                f"  {_calls(self.newer)}: a newer release wrote the record; use the 'cloakroom' of that "
                "release, or a replica of it with --url"
            )

    def as_json(self) -> dict[str, Any]:
        """The figures."""
        return {
            "found": self.found,
            "noted": self.noted,
            "ended": self.ended,
            "not_ended": dict(sorted(self.reasons.items())),
            "newer_release": self.newer,
        }

    async def _look(self, operator: Operator) -> None:
        for ids in _chunks(list(self._open)):
            found = await operator.calls_named(ids)
            for call_id in ids:
                call = found.get(call_id)
                # A record outlives its call by far.
                if call is None or call.ended_at is not None:
                    del self._open[call_id]
                    self.ended += 1
                else:
                    self._open[call_id] = call.not_ended_because or call.last_hangup_failure or _NOT_TRIED


def _chunks(ids: list[str]) -> Iterable[list[str]]:
    return (ids[first : first + _AT_ONCE] for first in range(0, len(ids), _AT_ONCE))


def _why(reason: str) -> str:
    if reason == _NO_HANGUP:
        return "the provider has no way to hang up; they last an hour at most"
    if reason == _NOT_TRIED:
        return "noted, and not tried yet; where no replica runs, the next one that starts does it"
    return f"the last try failed ({legible(reason)}); the replicas try again"


def _calls(count: int) -> str:
    return f"{count:,} call{'' if count == 1 else 's'}"
